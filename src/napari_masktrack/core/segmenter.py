"""What the engine asks of a network: masks of crops, and, where it can, to remember objects it was shown."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


class Segmenter(Protocol):
    """Anything that refines rough masks: the network, or a fake one in tests."""

    def __call__(
        self, images: npt.NDArray[np.uint8], guidance: npt.NDArray[np.bool_], /
    ) -> npt.NDArray[np.float32]:
        """Return the probability (B, S, S) of the objects that `guidance` (B, S, S) means in the images."""
        ...


@runtime_checkable
class Recalling(Protocol):
    """A segmenter that can compare what it sees with what it was shown before."""

    def remember(self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Any:
        """Return what to remember of the object in a crop (S, S, C); None if that is of no use."""
        ...

    def recalling(self, memories: Sequence[Sequence[Any]]) -> Segmenter:
        """Return a segmenter of crops whose objects are remembered: for each, all that is, or nothing."""
        ...
