"""All annotations of a movie, by frame and by object."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_masktrack.core.bitmap import Bitmap, Shape
from napari_masktrack.core.marks import (
    LARGEST_LABEL,
    Absent,
    Annotation,
    Box,
    Combined,
    Mask,
    Polygon,
    Scribble,
)
from napari_masktrack.errors import AnnotationError

__all__ = [
    "LARGEST_LABEL",
    "Absent",
    "Annotation",
    "Annotations",
    "Box",
    "Combined",
    "Mask",
    "Polygon",
    "Scribble",
]


@dataclass(frozen=True, init=False)
class Annotations:
    """Everything that was annotated; cannot be changed, only joined with `+`.

    Parameters
    ----------
    items : iterable of Annotation
        In any order. Several of one object on one frame become one `Combined`; the same one twice
        counts once.

    Attributes
    ----------
    items : tuple of Annotation
        One per frame and object, sorted by frame, then by label.

    Raises
    ------
    AnnotationError
        An object is called absent on a frame where it is also drawn.
    """

    items: tuple[Annotation, ...]

    def __init__(self, items: Iterable[Annotation] = ()) -> None:
        groups: dict[tuple[int, int], dict[Annotation, None]] = defaultdict(dict)
        for item in items:
            parts = item.parts if isinstance(item, Combined) else (item,)
            groups[item.frame, item.label].update(dict.fromkeys(parts))
        object.__setattr__(self, "items", tuple(_combine(tuple(groups[key])) for key in sorted(groups)))

    @classmethod
    def from_labels(cls, images: Mapping[int, ArrayLike]) -> "Annotations":
        """Take label images over: one `Mask` per id and frame; images without an id say nothing.

        Parameters
        ----------
        images : mapping of int to array, (Y, X), integer or bool
            Frame index to label image, 0 is background.

        Raises
        ------
        AnnotationError
            An image is not two-dimensional, has other than whole numbers, or ids outside 1 to 65535.
        """
        return cls(mask for frame, image in images.items() for mask in _masks(frame, np.asarray(image)))

    def __add__(self, other: "Annotations") -> "Annotations":
        """Join two collections."""
        return Annotations(self.items + other.items)

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items)

    @property
    def frames(self) -> tuple[int, ...]:
        """Annotated frames, sorted."""
        return tuple(self._by_frame)

    @property
    def labels(self) -> tuple[int, ...]:
        """Ids of the annotated objects, sorted."""
        return tuple(sorted(self._by_label))

    def at(self, frame: int) -> tuple[Annotation, ...]:
        """Give the items of one frame, sorted by label; none is an empty tuple."""
        return self._by_frame.get(frame, ())

    def of(self, label: int) -> Mapping[int, Annotation]:
        """Give the items of one object by frame, sorted; none is an empty mapping."""
        return MappingProxyType(self._by_label.get(label, {}))

    def anchors(self, shape: Shape) -> dict[int, list[int]]:
        """Give for each object, sorted, the frames from which it is carried; its own are sorted as well.

        It is drawn or absent there: strokes beside an object alone do not say where it is.
        """
        found: dict[int, list[int]] = {}
        for item in self.items:
            if item.exact or item.is_painted(shape):
                found.setdefault(item.label, []).append(item.frame)
        return dict(sorted(found.items()))

    def painted(self, shape: Shape) -> list[Annotation]:
        """Give the items that are painted pixel by pixel, masks and polygons that are not empty."""
        return [item for item in self.items if item.exact and item.is_painted(shape)]

    def painted_near(self, label: int, frame: int, shape: Shape) -> list[int]:
        """Give the frames on which an object is painted pixel by pixel: nearest first, of two the earlier.

        Parameters
        ----------
        label, frame : int
        shape : tuple of int
            Height and width of the movie's frames.
        """
        items = self.of(label)
        painted = (each for each, item in items.items() if item.exact and item.is_painted(shape))
        return sorted(painted, key=lambda each: (abs(each - frame), each))

    @cached_property
    def _by_frame(self) -> dict[int, tuple[Annotation, ...]]:
        return {frame: tuple(items) for frame, items in groupby(self.items, lambda item: item.frame)}

    @cached_property
    def _by_label(self) -> dict[int, dict[int, Annotation]]:
        found: dict[int, dict[int, Annotation]] = defaultdict(dict)
        for item in self.items:
            found[item.label][item.frame] = item
        return dict(found)

    def label_image(self, frame: int, shape: Shape) -> NDArray[np.uint16]:
        """Draw what is painted on a frame: masks and polygons, not boxes and lone scribbles.

        Parameters
        ----------
        frame : int
            Index of the frame.
        shape : tuple of int
            Height and width of the movie's frames.

        Returns
        -------
        array, (Y, X), uint16
            The object's id on its pixels, 0 elsewhere. Where two objects overlap, the larger id.

        Raises
        ------
        AnnotationError
            An item does not fit frames of this shape.
        """
        image = np.zeros(shape, np.uint16)
        for item in self.at(frame):
            if item.exact:
                item.paint(image)
        return image

    def check(self, frames: int, shape: Shape) -> None:
        """Refuse what does not fit the movie, before any work is started.

        Parameters
        ----------
        frames : int
            Length of the movie.
        shape : tuple of int
            Height and width of its frames.

        Raises
        ------
        AnnotationError
            Nothing is annotated; a frame lies outside the movie; a size differs; a box or polygon
            lies outside the frame; or an object has no painted pixel on any frame.
        """
        if not self.items:
            raise AnnotationError("Nothing is annotated; paint an object on at least one frame.")
        seen: dict[int, list[int]] = defaultdict(list)
        painted: set[int] = set()
        for item in self.items:
            if item.frame >= frames:
                raise AnnotationError(
                    f"The annotation of {item.where} lies outside the movie, which has {frames} frame(s); "
                    f"use frames 0 to {frames - 1}."
                )
            seen[item.label].append(item.frame)
            if item.is_painted(shape):
                painted.add(item.label)
        for label, where in seen.items():
            if label not in painted:
                absent = all(isinstance(item, Absent) for item in self.of(label).values())
                only = ", where it is marked as absent" if absent else ""
                raise AnnotationError(
                    f"Label {label} has no painted pixel on frame {_list(where)}{only}; paint it on a frame "
                    "that shows it, then propagate."
                )


def _combine(parts: tuple[Annotation, ...]) -> Annotation:
    return parts[0] if len(parts) == 1 else Combined(parts[0].frame, parts[0].label, parts)


def _list(frames: list[int]) -> str:
    first = " or ".join(map(str, frames[:3]))
    return first if len(frames) <= 3 else f"{first} or {len(frames) - 3} more"


def _masks(frame: int, image: NDArray[np.generic]) -> Iterable[Mask]:
    from scipy.ndimage import find_objects

    if image.ndim != 2 or 0 in image.shape or image.dtype.kind not in "bui":
        raise AnnotationError(
            f"The label image of frame {frame} has shape {image.shape} and type {image.dtype}; "
            f"give one image (Y, X) of whole numbers."
        )
    if int(image.min()) < 0 or int(image.max()) > LARGEST_LABEL:
        raise AnnotationError(
            f"The label image of frame {frame} has ids from {image.min()} to {image.max()}; "
            f"use 0 for the background and 1 to {LARGEST_LABEL} for objects."
        )
    ids = image.astype(np.int32)
    shape = ids.shape[0], ids.shape[1]
    for label, place in enumerate(find_objects(ids), start=1):
        if place is not None:
            corner = place[0].start, place[1].start
            yield Mask(frame, label, Bitmap.pack(ids[place] == label, corner=corner, shape=shape))
