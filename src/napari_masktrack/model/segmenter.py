"""The network as the engine sees it: NumPy crops in, NumPy probabilities out."""

import numpy as np
import numpy.typing as npt
import torch

from napari_masktrack.model.device import half_precision
from napari_masktrack.model.network import GuidedNetwork

AT_ONCE = 8 * 320**2
"""Pixels of crops that go through the network at once, so that hundreds of objects fit into memory."""


class NetworkSegmenter:
    """Refine the masks of a batch of crops with a network.

    Parameters
    ----------
    network : GuidedNetwork
        Stays where it is and is put into evaluation mode.
    flip : bool
        Average the answer with that on the mirrored crop: slower, a little better.
    """

    def __init__(self, network: GuidedNetwork, *, flip: bool = False) -> None:
        self.network = network.eval()
        self.flip = flip

    def __call__(
        self, images: npt.NDArray[np.uint8], guidance: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Segment one object in each crop.

        Parameters
        ----------
        images : uint8 (B, S, S, 3)
        guidance : bool (B, S, S)
            The rough masks.

        Returns
        -------
        float32 (B, S, S)
            Probability of the object.
        """
        count = max(1, AT_ONCE // max(1, guidance[0].size)) if len(guidance) else 1
        if len(guidance) <= count:
            return self._answer(images, guidance)
        parts = [slice(start, start + count) for start in range(0, len(guidance), count)]
        return np.concatenate([self._answer(images[part], guidance[part]) for part in parts])

    def _answer(
        self, images: npt.NDArray[np.uint8], guidance: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        device = next(self.network.parameters()).device
        with torch.inference_mode(), half_precision(device):
            image = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255)
            mask = torch.from_numpy(guidance).to(device)[:, None].float().mul_(2).sub_(1)
            x = torch.cat([image, mask], dim=1).contiguous(memory_format=torch.channels_last)
            probability = torch.sigmoid(self.network(x).float())
            if self.flip:
                mirrored = torch.sigmoid(self.network(x.flip(-1)).float()).flip(-1)
                probability = (probability + mirrored) / 2
        return probability[:, 0].cpu().numpy()
