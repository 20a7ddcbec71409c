"""The guided segmentation network: image and rough mask in, refined mask of that object out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_masktrack.model.backbone import BACKBONES, Trunk, load_pretrained
from napari_masktrack.model.matching import Matching, Memory


def _convolution(inputs: int, outputs: int, kernel: int = 1, *, dilation: int = 1) -> nn.Sequential:
    """Return convolution, normalisation, ReLU; 3x3 kernels are split into depthwise and pointwise."""
    layers: list[nn.Module] = []
    if kernel > 1:
        pad = dilation * (kernel // 2)
        layers += [nn.Conv2d(inputs, inputs, kernel, 1, pad, dilation, inputs, bias=False)]
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
    layers += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Context(nn.Module):
    """Atrous spatial pyramid: one pixel, three neighbourhoods and the whole crop, side by side."""

    RATES = (4, 8, 12)

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.reduce = _convolution(inputs, width)
        self.branches = nn.ModuleList(_convolution(width, width, 3, dilation=rate) for rate in self.RATES)
        self.pool = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(inplace=True))
        self.project = _convolution(width * (2 + len(self.RATES)), outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for features (B, inputs, H, W)."""
        near = self.reduce(x)
        whole = self.pool(near.mean(dim=(2, 3), keepdim=True)).expand_as(near)
        views = [near, *(branch(near) for branch in self.branches), whole]
        mixed: Tensor = self.project(torch.cat(views, dim=1))
        return mixed


class Refine(nn.Module):
    """One step of the decoder: enlarge twofold and join the finer features of the trunk."""

    def __init__(self, inputs: int, skip: int, joined: int, outputs: int) -> None:
        super().__init__()
        self.skip = _convolution(skip, joined)
        self.mix = _convolution(inputs + joined, outputs, 3)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return features at the size of `fine`."""
        enlarged = functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(torch.cat([enlarged, self.skip(fine)], dim=1))
        return mixed


class GuidedNetwork(nn.Module):
    """What every network of this package is: (B, 4, H, W) in, log odds (B, 1, H, W) out.

    Attributes
    ----------
    description : dict
        What rebuilds the network: its name in ``registry.NETWORKS`` and its options. Saved with the weights.
    recalls : bool
        Whether it can compare a crop with the annotated frame: `remember` and `compare` work, and what
        `compare` gives is the second argument of the network.
    """

    description: dict[str, Any]
    recalls: bool = False

    def remember(self, image: Tensor, mask: Tensor, known: Tensor) -> Memory:
        """Return what is to be remembered of annotated objects.

        Parameters
        ----------
        image : float32 (B, 3, H, W)
            RGB in [0, 1].
        mask, known : float32 (B, 1, H, W)
            The object, and where that is known, in {0, 1}.
        """
        raise NotImplementedError

    def compare(self, image: Tensor, memory: Memory) -> Tensor:
        """Return float32 (B, 3, h, w): how a crop (B, 3, H, W) in [0, 1] is like what is remembered."""
        raise NotImplementedError

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Return the pretrained part, which learns slowly."""
        raise NotImplementedError

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the new layers, which learn fast."""
        slow = {id(p) for p in self.trunk_parameters()}
        return [p for p in self.parameters() if id(p) not in slow]

    def freeze_pretrained_statistics(self) -> None:
        """Keep the normalisation statistics of the pretrained part as they are; nothing by default."""

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Start the pretrained part from weights of ImageNet, named as they were published.

        Raises
        ------
        CheckpointError, KeyError or RuntimeError
            A tensor is missing or has another shape.
        """
        raise NotImplementedError


class MaskNetwork(GuidedNetwork):
    """Trunk, context and a decoder with skip connections down to stride 2.

    Parameters
    ----------
    backbone : str
        A name in ``BACKBONES``.
    context : int
        Channels of each branch of the context module.
    matching : int
        Channels by which a crop is compared with the annotated frame; 0 leaves that out.
    """

    def __init__(self, backbone: str = "mobilenet", *, context: int = 96, matching: int = 0) -> None:
        super().__init__()
        self.description = {"network": "masknet", "backbone": backbone, "context": context}
        self.trunk: Trunk = BACKBONES[backbone]()
        two, four, eight, sixteen = self.trunk.widths
        self.context = Context(sixteen, context, 128)
        self.refine8 = Refine(128, eight, 48, 128)
        self.refine4 = Refine(128, four, 32, 96)
        self.refine2 = Refine(96, two, 16, 32)
        self.score = nn.Conv2d(32, 1, 3, padding=1)
        if matching:
            self.description["matching"] = matching
            self.matching = Matching(eight, sixteen, 128, width=matching)
            self.recalls = True

    def forward(self, x: Tensor, maps: Tensor | None = None) -> Tensor:
        """Score every pixel.

        Parameters
        ----------
        x : float32 (B, 4, H, W)
            RGB in [0, 1] and the mask as -1 (background) or 1 (object).
        maps : float32 (B, 3, h, w), optional
            What `compare` gave; without them, or where they are zero, the mask alone guides.

        Returns
        -------
        float32 (B, 1, H, W)
            Log odds of the object.
        """
        guiding, joined = (None, None) if maps is None else self.matching(maps)
        two, four, eight, sixteen = self.trunk(x, guiding)
        h = self.refine8(self.context(sixteen), eight)
        h = self.refine2(self.refine4(h if joined is None else h + joined, four), two)
        score = self.score(h)
        return functional.interpolate(score, size=x.shape[-2:], mode="bilinear", align_corners=False)

    def _keys(self, image: Tensor) -> Tensor:
        """Return the keys of a crop as it is without guidance; the trunk does not learn from them."""
        with torch.no_grad():
            x = torch.cat([image, torch.full_like(image[:, :1], -1)], dim=1)
            _, _, eight, sixteen = self.trunk(x.contiguous(memory_format=torch.channels_last))
        return self.matching.keys(eight, sixteen)

    def remember(self, image: Tensor, mask: Tensor, known: Tensor) -> Memory:
        """Return the keys of a crop and which of them are object."""
        keys = self._keys(image)
        size = (keys.shape[-2], keys.shape[-1])
        inside, clear = (functional.adaptive_avg_pool2d(plane, size) for plane in (mask * known, known))
        return Memory(keys.flatten(2), torch.cat([inside, clear - inside], dim=1).flatten(2))

    def compare(self, image: Tensor, memory: Memory) -> Tensor:
        """Return how every place of a crop is like the object, like the rest, and which of them more."""
        return self.matching.compare(self._keys(image), memory)

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Return the pretrained part, which learns slowly."""
        return list(self.trunk.parameters())

    def freeze_pretrained_statistics(self) -> None:
        """Keep the trunk's normalisation statistics."""
        self.trunk.eval()

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Fill the trunk."""
        load_pretrained(self.trunk, weights)
