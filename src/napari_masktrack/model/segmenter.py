"""The network as the engine sees it: NumPy crops in, NumPy probabilities out."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from napari_masktrack.model.device import half_precision
from napari_masktrack.model.matching import Memory
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

    def remember(self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Memory | None:
        """Return what is to be remembered of an annotated object; None if the network has no use for it.

        Parameters
        ----------
        image : uint8 (S, S, 3)
            A crop of the annotated frame.
        mask : bool (S, S)
        """
        if not self.network.recalls:
            return None
        with torch.inference_mode(), half_precision(self._device):
            plane = torch.from_numpy(mask).to(self._device)[None, None].float()
            return self.network.remember(self._image(image[None]), plane, torch.ones_like(plane))

    def recalling(self, memories: Sequence[Sequence[Memory]]) -> "partial[npt.NDArray[np.float32]]":
        """Return this segmenter for crops whose objects are remembered: for each, some memories, or none."""
        return partial(self, memories=memories)

    def __call__(
        self,
        images: npt.NDArray[np.uint8],
        guidance: npt.NDArray[np.bool_],
        memories: Sequence[Sequence[Memory]] = (),
    ) -> npt.NDArray[np.float32]:
        """Segment one object in each crop.

        Parameters
        ----------
        images : uint8 (B, S, S, 3)
        guidance : bool (B, S, S)
            The rough masks.
        memories : sequence of sequences of Memory
            What is remembered of each object; nothing at all by default.

        Returns
        -------
        float32 (B, S, S)
            Probability of the object.
        """
        count = max(1, AT_ONCE // max(1, guidance[0].size)) if len(guidance) else 1
        if len(guidance) <= count:
            return self._answer(images, guidance, memories)
        parts = [slice(start, start + count) for start in range(0, len(guidance), count)]
        return np.concatenate([self._answer(images[p], guidance[p], memories[p]) for p in parts])

    def _answer(
        self,
        images: npt.NDArray[np.uint8],
        guidance: npt.NDArray[np.bool_],
        memories: Sequence[Sequence[Memory]],
    ) -> npt.NDArray[np.float32]:
        with torch.inference_mode(), half_precision(self._device):
            image = self._image(images)
            mask = torch.from_numpy(guidance).to(self._device)[:, None].float().mul_(2).sub_(1)
            x = torch.cat([image, mask], dim=1).contiguous(memory_format=torch.channels_last)
            # a mirrored crop is compared as its mirror image is
            planes = [x, self.network.compare(image, Memory.joined(memories))] if any(memories) else [x]
            probability = torch.sigmoid(self.network(*planes).float())
            if self.flip:
                mirrored = self.network(*(plane.flip(-1) for plane in planes)).float().flip(-1)
                probability = (probability + torch.sigmoid(mirrored)) / 2
        return probability[:, 0].cpu().numpy()

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _image(self, images: npt.NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float().div_(255)
