"""What is remembered of the objects on their annotated frames, so that each is told from its like later."""

from collections.abc import Mapping, Sequence
from typing import Any

from napari_masktrack.core.annotation import Annotation
from napari_masktrack.core.instances import Image, crop_image, window_around
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.region import Region
from napari_masktrack.core.segmenter import Recalling, Segmenter

SIDE = 320
"""Side of the crop that is remembered, in pixels."""
MARGIN = 2.0
"""Side of that crop, in sizes of the object's box: what is beside the object counts as well."""
MOST = 2
"""Annotated frames that are remembered of an object at a time: that it comes from and the nearest other;
more were no better (docs/benchmarks.md)."""


class Recollection:
    """A segmenter together with what it remembers, by object.

    Parameters
    ----------
    segment : callable
        See `Segmenter`; if it is no `Recalling`, nothing is remembered.
    movie : Movie
    wanted : bool
        Whether to remember anything.

    Attributes
    ----------
    segment : callable
        The segmenter with nothing remembered.
    """

    def __init__(self, segment: Segmenter, movie: Movie, *, wanted: bool) -> None:
        self.segment, self._movie = segment, movie
        self._able = segment if wanted and isinstance(segment, Recalling) else None
        self._memories: dict[int, dict[int, Any]] = {}
        self._seen: tuple[int, Image] | None = None

    def begin(
        self,
        label: int,
        frame: int,
        region: Region | None,
        image: Image,
        *,
        items: Mapping[int, Annotation],
    ) -> None:
        """Remember an object as it is on the frame that it is carried from, and on those painted near it.

        Parameters
        ----------
        label, frame : int
            The object, and the annotated frame.
        region : Region or None
            The object there; None where it is absent.
        image : uint8 (Y, X, C)
        items : mapping of frame to Annotation
            All annotations of this object.

        Raises
        ------
        MovieError
            Another annotated frame cannot be read.
        """
        former = self._memories.pop(label, {})
        if self._able is None:
            return
        memories = self._memories[label] = {}
        if region is not None:
            own = self._memory(region, image)
            if own is None:
                return
            memories[frame] = own
        for other in sorted(items.keys() - {frame}, key=lambda each: (abs(each - frame), each)):
            if len(memories) == MOST:
                return
            known = former[other] if other in former else self._elsewhere(items[other])
            if known is not None:
                memories[other] = known

    def _elsewhere(self, item: Annotation) -> Any:
        """Return what to remember of an object as it was painted on another frame; None if it was not."""
        region = Region.of(item.guidance(self._movie.shape)) if item.exact else None
        if region is None:
            return None
        if self._seen is None or self._seen[0] != item.frame:  # objects of one frame follow one another
            self._seen = item.frame, self._movie.image(item.frame)
        return self._memory(region, self._seen[1])

    def _memory(self, region: Region, image: Image) -> Any:
        if self._able is None:
            return None
        window = window_around(region.box, margin=MARGIN)
        return self._able.remember(crop_image(image, window, SIDE), region.crop(window, SIDE))

    def of(self, labels: Sequence[int]) -> Segmenter:
        """Return the segmenter for a batch of crops, one label for each."""
        memories = [list(self._memories.get(label, {}).values()) for label in labels]
        return self.segment if self._able is None or not any(memories) else self._able.recalling(memories)

    @property
    def able(self) -> bool:
        """Whether anything can be remembered, and is to be."""
        return self._able is not None

    def shown(self, seen: Sequence[tuple[Region, Image]]) -> Segmenter:
        """Return the segmenter for one crop of an object, remembered as it is on other frames."""
        memories = [memory for region, image in seen if (memory := self._memory(region, image)) is not None]
        return self.segment if self._able is None or not memories else self._able.recalling([memories])
