"""A network that only answers needs no normalisation of its own: convolutions take it in, which is faster."""

from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """Return a copy in evaluation mode whose convolutions do what the normalisation after them did.

    Parameters
    ----------
    network : torch.nn.Module
        Stays as it is. What follows a convolution within an ``nn.Sequential`` is folded.

    Returns
    -------
    torch.nn.Module
        Gives the same answers, up to rounding; not to be trained or saved.
    """
    copied = deepcopy(network).eval()
    for module in copied.modules():
        if isinstance(module, nn.Sequential):
            _fold(module)
    return copied


def _fold(layers: nn.Sequential) -> None:
    for index, (first, second) in enumerate(pairwise(list(layers))):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            layers[index], layers[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
