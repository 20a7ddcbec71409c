"""What is remembered of the objects on their annotated frames, so that each is told from its like later."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from napari_masktrack.core.instances import BoolImage, Image, Probability, crop_image, window_around
from napari_masktrack.core.refine import Segment
from napari_masktrack.core.region import Region

SIDE = 320
"""Side of the crop that is remembered, in pixels."""
MARGIN = 2.0
"""Side of that crop, in sizes of the object's box: what is beside the object counts as well."""


@runtime_checkable
class Recalling(Protocol):
    """A segmenter that can compare what it sees with what it was shown before."""

    def remember(self, image: Image, mask: BoolImage) -> Any:
        """Return what to remember of the object in a crop (S, S, C); None if that is of no use."""
        ...

    def recalling(self, memories: Sequence[Any]) -> Segment:
        """Return a segmenter of crops whose objects are remembered, one memory for each."""
        ...


class Recollection:
    """A segmenter together with what it remembers, by object.

    Parameters
    ----------
    segment : callable
        See `propagation.Segmenter`; if it is no `Recalling`, nothing is remembered.
    wanted : bool
        Whether to remember anything.
    """

    def __init__(self, segment: Segment, *, wanted: bool) -> None:
        self._segment = segment
        self._able = segment if wanted and isinstance(segment, Recalling) else None
        self._memories: dict[int, Any] = {}

    def remember(self, label: int, region: Region, image: Image) -> None:
        """Remember an object as it is on this frame, in place of what was remembered of it."""
        if self._able is None:
            return
        window = window_around(region.box, margin=MARGIN)
        memory = self._able.remember(crop_image(image, window, SIDE), region.crop(window, SIDE))
        if memory is not None:
            self._memories[label] = memory

    def of(self, labels: Sequence[int]) -> Segment:
        """Return the segmenter for a batch of crops, one label for each."""
        memories = [self._memories.get(label) for label in labels]
        if self._able is None or all(memory is None for memory in memories):
            return self._segment
        if any(memory is None for memory in memories):
            return partial(self._apart, memories)
        return self._able.recalling(memories)

    def _apart(self, memories: Sequence[Any], images: Image, guidance: BoolImage) -> Probability:
        """Segment the objects that are remembered, then those of which nothing is known."""
        assert self._able is not None
        known = np.array([memory is not None for memory in memories])
        answers = np.empty(guidance.shape, np.float32)
        recalling = self._able.recalling([memory for memory in memories if memory is not None])
        answers[known] = recalling(images[known], guidance[known])
        answers[~known] = self._segment(images[~known], guidance[~known])
        return answers
