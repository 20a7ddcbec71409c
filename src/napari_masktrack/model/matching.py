"""Compare each place of a crop with the annotated frame: is it like the object, or like what was beside it.

The comparison is learned from still images and joins the previous mask as guidance, so that an object is
told from its like. Source of the idea: Hu et al., "VideoMatch", ECCV 2018; Voigtlaender et al., "FEELVOS",
CVPR 2019.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MAPS = 3
_LEAST = 1e-6


class Memory(NamedTuple):
    """What is remembered of the annotated frame, for a batch of objects.

    Attributes
    ----------
    keys : float32 (B, C, M)
        Unit vectors, one per place.
    weights : float32 (B, 2, M)
        How much of each place is object, and how much is known to be something else.
    """

    keys: Tensor
    weights: Tensor

    @classmethod
    def joined(cls, memories: "Sequence[Sequence[Memory]]") -> "Memory":
        """Return what is remembered of several objects as one batch: of each some memories, or none."""
        known = next(memory for each in memories for memory in each)
        nothing = cls(*(part[..., :0] for part in known))
        rows = [[torch.cat(parts, dim=-1) for parts in zip(nothing, *each, strict=True)] for each in memories]
        places = max(keys.shape[-1] for keys, _ in rows)
        even = [[functional.pad(part, (0, places - part.shape[-1])) for part in row] for row in rows]
        return cls(*(torch.cat(parts) for parts in zip(*even, strict=True)))


class Matching(nn.Module):
    """Make keys of features, compare them, and turn the comparison into features that guide.

    Parameters
    ----------
    fine, coarse : int
        Channels of the trunk's features at strides 8 and 16.
    decoder : int
        Channels of the decoder at stride 8.
    width : int
        Channels of a key.
    """

    def __init__(self, fine: int, coarse: int, decoder: int, *, width: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, width, 1)
        self.coarse = nn.Conv2d(coarse, width, 1, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(2.5))
        self.look = nn.Sequential(
            nn.Conv2d(MAPS, 32, 3, padding=1, bias=False), nn.ReLU(inplace=True),
            nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.to_trunk = nn.Conv2d(32, fine, 1, bias=False)
        self.to_joined = nn.Conv2d(32, decoder, 1, bias=False)
        # an untrained comparison changes nothing
        nn.init.zeros_(self.to_trunk.weight)
        nn.init.zeros_(self.to_joined.weight)

    def keys(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return unit vectors (B, width, h, w) at the size of `fine`."""
        enlarged = functional.interpolate(
            self.coarse(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False
        )
        return functional.normalize(self.fine(fine) + enlarged, dim=1, eps=_LEAST)

    def compare(self, keys: Tensor, memory: Memory) -> Tensor:
        """Return float32 (B, 3, h, w): likeness to the object, to the rest, and which of them is greater.

        All is 0 for objects of which nothing is remembered.
        """
        height, width = keys.shape[-2:]
        sharpness = self.sharpness.exp()
        # the largest arrays of the network: worked on in place where that is possible, and in full precision
        with torch.autocast(keys.device.type, enabled=False):
            scaled = (keys.flatten(2).float() * sharpness).transpose(1, 2)
            weight = torch.bmm(scaled, memory.keys.float()).exp_()
            mass = torch.bmm(memory.weights.float(), weight.transpose(1, 2)) * (-sharpness).exp() + _LEAST
        share = mass[:, :1] / mass.sum(dim=1, keepdim=True) * 2 - 1
        nearest = 1 + mass.log() / sharpness
        known = memory.weights.flatten(1).any(dim=1)[:, None, None]
        return (torch.cat([nearest, share], dim=1) * known).reshape(-1, MAPS, height, width)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is added to trunk and decoder, both at stride 8; maps of zeros add nothing."""
        seen = self.look(maps)
        return self.to_trunk(seen), self.to_joined(seen)
