"""What a user draws, before it becomes annotations: label images, strokes, and shapes in pixels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.annotation import Absent, Annotation, Annotations, Box, Mask, Polygon, Scribble
from napari_masktrack.core.bitmap import BoolImage, Shape
from napari_masktrack.errors import AnnotationError, InputError
from napari_masktrack.io.refusal import shown
from napari_masktrack.io.session_files import read_json, write_json
from napari_masktrack.io.targets import saving

Labels = NDArray[Any]
Mark = tuple[int, int]
"""Frame and object of which the user said that it is absent there."""

KINDS = ("rectangle", "ellipse", "polygon", "path", "line")


@dataclass(frozen=True)
class DrawnShape:
    """A shape on one frame.

    Attributes
    ----------
    kind : str
        'rectangle' is a box around the object, also if it is turned: the box that holds all its
        corners. 'ellipse' and 'polygon' are the object. 'path' and 'line' are strokes on it.
    frame, label : int
        Index of the frame, id of the object.
    vertices : tuple of (float, float)
        Corners y, x; whole numbers are pixel centres. For an ellipse the four corners of the
        rectangle around it.
    width : float, default: 1
        Width of a stroke in pixels.
    """

    kind: str
    frame: int
    label: int
    vertices: tuple[tuple[float, float], ...]
    width: float = 1.0

    def annotation(self, shape: Shape) -> Annotation:
        """Say the same as an annotation.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the movie's frames.

        Raises
        ------
        AnnotationError
            It covers no pixel, or its id or corners make no sense.
        """
        corners = np.asarray(self.vertices, float).reshape(-1, 2)
        if not len(corners) or not np.isfinite(corners).all():
            raise AnnotationError(f"{self._said} has no corners; delete it and draw it again.")
        if self.kind == "rectangle":
            return self._box(corners)
        if self.kind == "polygon":
            return Polygon(self.frame, self.label, corners)
        if self.kind == "ellipse":
            return Mask(self.frame, self.label, self._checked(_fill_ellipse(corners, shape)))
        if self.kind in ("path", "line"):
            return Scribble(self.frame, self.label, self._checked(_draw_stroke(corners, self.width, shape)))
        raise AnnotationError(f"{self._said} is of an unknown kind; use one of {', '.join(KINDS)}.")

    @classmethod
    def of_box(cls, box: Box) -> Self:
        """Give the rectangle that becomes this box again."""
        y0, x0, y1, x1 = (side - 0.5 for side in box.box)
        return cls("rectangle", box.frame, box.label, ((y0, x0), (y0, x1), (y1, x1), (y1, x0)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Take what `to_json` gave.

        Raises
        ------
        InputError
            Something is missing or of the wrong type.
        """
        try:
            corners = tuple((float(y), float(x)) for y, x in content["vertices"])
            kind, width = str(content["kind"]), float(content.get("width", 1))
            return cls(kind, int(content["frame"]), int(content["label"]), corners, width)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"A stored shape is incomplete ({error}); draw it again.") from error

    def to_json(self) -> dict[str, Any]:
        """Give plain values for a JSON file."""
        content = {"kind": self.kind, "frame": self.frame, "label": self.label}
        return content | {"vertices": [list(corner) for corner in self.vertices], "width": self.width}

    @property
    def _said(self) -> str:
        return f"The {self.kind} of object {self.label} on frame {self.frame}"

    def _box(self, corners: NDArray[Any]) -> Box:
        """Count a pixel in when its centre lies within."""
        (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0)
        y0, x0, y1, x1 = ceil(top), ceil(left), floor(bottom) + 1, floor(right) + 1
        if y0 >= y1 or x0 >= x1:
            raise AnnotationError(f"{self._said} covers no pixel; draw it larger.")
        return Box(self.frame, self.label, (y0, x0, y1, x1))

    def _checked(self, image: BoolImage) -> BoolImage:
        if not image.any():
            raise AnnotationError(f"{self._said} covers no pixel; draw it larger and within the frame.")
        return image


def annotations_of(
    shape: Shape,
    *,
    masks: Iterable[tuple[int, Labels]] = (),
    strokes: Iterable[tuple[int, Labels, Labels]] = (),
    shapes: Iterable[DrawnShape] = (),
    absent: Iterable[Mark] = (),
) -> Annotations:
    """Turn drawings into annotations.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the movie's frames.
    masks : iterable of (int, array)
        Frame and label image: each id's pixels are its whole mask.
    strokes : iterable of (int, array, array)
        Frame, strokes on objects and strokes beside them; see `scribbles`.
    shapes : iterable of DrawnShape
    absent : iterable of (int, int)
        Frame and object. What is only said not to be the object there is left out: it is said twice.

    Raises
    ------
    AnnotationError
        Something contradicts itself, or covers no pixel.
    """
    items: list[Annotation] = []
    gone = set(absent)
    for frame, image in masks:
        items += Annotations.from_labels({frame: image}).items
    for frame, on, beside in strokes:
        drawn = scribbles(frame, on, beside)
        items += [each for each in drawn if each.on.bits or (frame, each.label) not in gone]
    items += [each.annotation(shape) for each in shapes]
    items += [Absent(frame, label) for frame, label in sorted(gone)]
    return Annotations(items)


def scribbles(frame: int, on: Labels, beside: Labels | None = None) -> tuple[Scribble, ...]:
    """Read strokes: who is scribbled on, and where an object is not.

    A stroke with the id of one object is a stroke beside every other object of the frame.

    Parameters
    ----------
    frame : int
        Index of the frame.
    on : array, (Y, X), integer
        Ids where strokes lie on objects, else 0.
    beside : array, (Y, X), integer, optional
        Ids where strokes say "this is not object k", else 0.

    Raises
    ------
    AnnotationError
        A pixel is called object k and not object k, or an id is none.
    """
    beside = np.zeros_like(on) if beside is None else beside
    labels = np.union1d(np.unique(on), np.unique(beside))
    found = []
    for label in labels[labels != 0]:
        inside = on == label
        outside = ((on != 0) & ~inside) | (beside == label)
        found.append(Scribble(frame, int(label), inside, outside))
    return tuple(found)


def read_shapes(path: Path) -> tuple[DrawnShape, ...]:
    """Read what `write_shapes` wrote.

    Raises
    ------
    InputError
        The file is damaged.
    """
    shapes = read_json(path).get("shapes")
    if not isinstance(shapes, list):
        raise InputError(f"{shown(path)} lists no shapes; draw them again.")
    return tuple(DrawnShape.from_json(each) for each in shapes)


def write_shapes(path: Path, shapes: Iterable[DrawnShape]) -> None:
    """Write shapes as JSON; an existing file is replaced.

    Raises
    ------
    WorkError
        The disk refused.
    """
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"shapes": [shape.to_json() for shape in shapes]})


def _fill_ellipse(corners: NDArray[Any], shape: Shape) -> BoolImage:
    """Fill the ellipse within a rectangle or parallelogram of four corners."""
    image = np.zeros(shape, bool)
    if len(corners) != 4:
        return image
    centre = corners.mean(axis=0)
    axes = np.stack([corners[1] - corners[0], corners[3] - corners[0]], axis=1) / 2
    if abs(np.linalg.det(axes)) < 1e-9:
        return image
    rows, columns = _within(corners, 0.0, shape)
    y, x = np.mgrid[rows, columns]
    along = np.einsum("ij,jyx->iyx", np.linalg.inv(axes), np.stack([y - centre[0], x - centre[1]]))
    image[rows, columns] = (along**2).sum(axis=0) <= 1 + 1e-9
    return image


def _draw_stroke(corners: NDArray[Any], width: float, shape: Shape) -> BoolImage:
    """Mark the pixels within half a width of a line through points; at least one pixel wide."""
    radius = max(width, 1.0) / 2 + 1e-9
    image = np.zeros(shape, bool)
    for start, stop in pairwise(corners if len(corners) > 1 else corners.repeat(2, axis=0)):
        rows, columns = _within(np.stack([start, stop]), radius, shape)
        y, x = np.mgrid[rows, columns]
        step = stop - start
        along = (y - start[0]) * step[0] + (x - start[1]) * step[1]
        share = np.clip(along / (float(step @ step) or 1.0), 0, 1)
        distance = np.hypot(y - start[0] - share * step[0], x - start[1] - share * step[1])
        image[rows, columns] |= distance <= radius
    return image


def _within(corners: NDArray[Any], radius: float, shape: Shape) -> tuple[slice, slice]:
    """Give the rows and columns that can be touched."""
    low, high = np.floor(corners.min(axis=0) - radius), np.ceil(corners.max(axis=0) + radius) + 1
    y0, x0 = (int(np.clip(low[i], 0, shape[i])) for i in (0, 1))
    y1, x1 = (int(np.clip(high[i], 0, shape[i])) for i in (0, 1))
    return slice(y0, max(y0, y1)), slice(x0, max(x0, x1))
