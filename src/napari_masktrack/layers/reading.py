"""Read what was drawn on layers into annotations; copies, on the main thread."""

from collections.abc import Iterable, Iterator
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
from napari.layers import Labels, Shapes
from numpy.typing import NDArray

from napari_masktrack.core.annotation import LARGEST_LABEL, Annotations
from napari_masktrack.errors import AnnotationError
from napari_masktrack.io.session_drawings import DrawnShape, annotations_of
from napari_masktrack.layers.create import absent_marks, role_of
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.placement import into_movie, shared_axes

_AREAS = ("rectangle", "ellipse", "polygon")
_CLICK = 1.5
"""An area whose sides are all shorter, in pixels of the movie, is what a click leaves behind."""


def read_annotations(view: LayerMovie, drawn: Iterable[AnnotationIndex | Labels | Shapes]) -> Annotations:
    """Read everything that was drawn for a movie.

    A label layer's role says what its ids mean, see `create.new_labels`: 'masks' are whole objects,
    'scribbles' strokes on objects (and so beside all other objects of the frame), 'beside' strokes
    that say where object k is not. A label layer made elsewhere holds masks. Shapes carry their id
    in the column ``label`` of their features: rectangles are boxes, ellipses and polygons masks, paths
    and lines strokes; what is no larger than a click is nothing. Frames marked absent are in the
    metadata of the layer of masks.

    Parameters
    ----------
    view : LayerMovie
    drawn : iterable of AnnotationIndex or napari layer
        An index is quick at every call; a label layer without one is looked through.

    Returns
    -------
    Annotations
        In the movie's own pixels. Not checked for being enough, see `Annotations.check`.

    Raises
    ------
    AnnotationError
        A layer does not lie over the movie, a shape has no id or no single frame, an id is
        impossible, or something contradicts itself.
    """
    found = Annotations()
    strokes: dict[str, list[tuple[int, NDArray[Any]]]] = {"scribbles": [], "beside": []}
    shapes: list[DrawnShape] = []
    absent: list[tuple[int, int]] = []
    for each in drawn:
        layer = each.layer if isinstance(each, AnnotationIndex) else each
        role = role_of(layer)
        if isinstance(layer, Shapes):
            shapes += read_shapes(layer, view)
            continue
        with (
            nullcontext(each)
            if isinstance(each, AnnotationIndex)
            else closing(AnnotationIndex(layer, view)) as index
        ):
            if role in strokes:
                strokes[role] += [(frame, index.image(frame)) for frame in index.frames]
            else:
                found += Annotations(index.masks())
                absent += absent_marks(layer)
    return found + annotations_of(
        view.layout.size, strokes=_strokes(strokes, view.layout.size), shapes=shapes, absent=absent
    )


def read_shapes(layer: Shapes, view: LayerMovie, *, lenient: bool = False) -> tuple[DrawnShape, ...]:
    """Read shapes in the movie's pixels; those on other planes than the movie's are left out.

    Parameters
    ----------
    layer : napari.layers.Shapes
    view : LayerMovie
    lenient : bool, default: False
        Leave shapes out that have no id or no single frame, instead of refusing all.

    Raises
    ------
    AnnotationError
        A shape has no id, or lies on several frames; or the layer has other dimensions.
    """
    return tuple(numbered_shapes(layer, view, lenient=lenient).values())


def numbered_shapes(layer: Shapes, view: LayerMovie, *, lenient: bool = False) -> dict[int, DrawnShape]:
    """As `read_shapes`, by the number that each has in the layer."""
    if not layer.data:
        return {}
    ndim = layer.data[0].shape[1]
    axes = shared_axes(layer, (1,) * ndim, view)
    reader = _ShapeReader(layer, view, axes)
    found = {}
    for number in range(len(layer.data)):
        try:
            found[number] = reader.read(number)
        except AnnotationError:
            if not lenient:
                raise
    return {number: shape for number, shape in found.items() if shape is not None}


class _ShapeReader:
    """Reads the shapes of one layer."""

    def __init__(self, layer: Shapes, view: LayerMovie, axes: tuple[int, ...]) -> None:
        self.layer, self.view = layer, view
        self.matrix = into_movie(layer, axes, view)
        place = {axis: own for own, axis in enumerate(axes)}
        self.spatial = [place[view.rows], place[view.columns]]
        self.frame = None if view.axes.frame is None else place.get(view.axes.frame)
        self.held = {place[axis]: plane for axis, plane in view.axes.planes.items() if axis in place}
        self.zoom = float(np.sqrt(abs(np.linalg.det(self.matrix[np.ix_(self.spatial, self.spatial)]))))

    def read(self, number: int) -> DrawnShape | None:
        """Read a shape; None if it lies on another plane than the movie, or is no more than a click."""
        layer = self.layer
        points = np.asarray(layer.data[number]) @ self.matrix[:-1, :-1].T + self.matrix[:-1, -1]
        if any(np.abs(points[:, own] - plane).max() > 0.5 + 1e-6 for own, plane in self.held.items()):
            return None
        vertices = tuple((float(y), float(x)) for y, x in points[:, self.spatial])
        kind = str(layer.shape_type[number])
        if kind in _AREAS and np.ptp(points[:, self.spatial], axis=0).max() < _CLICK:
            return None
        return DrawnShape(
            kind,
            _frame(points, self.frame, f"Shape {number} of {layer.name!r}"),
            _shape_label(layer, number),
            vertices,
            float(layer.edge_width[number]) * self.zoom,
        )


def _strokes(
    drawn: dict[str, list[tuple[int, NDArray[Any]]]], size: tuple[int, int]
) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Give frames with strokes on objects and beside them; of several layers the largest id counts."""
    for frame in sorted({frame for images in drawn.values() for frame, _ in images}):
        on, beside = np.zeros(size, np.uint16), np.zeros(size, np.uint16)
        for joined, role in ((on, "scribbles"), (beside, "beside")):
            for number, image in drawn[role]:
                if number == frame:
                    np.maximum(joined, image, out=joined)
        yield frame, on, beside


def _shape_label(layer: Shapes, number: int) -> int:
    column = layer.features.get("label")
    if column is None:
        raise AnnotationError(
            f"The shapes of {layer.name!r} belong to no object; add a column 'label' with the id of each to "
            f"the layer's features, or draw on a layer made here."
        )
    value = column.iloc[number]
    try:
        label = int(value)
    except (TypeError, ValueError):
        label = 0
    if label != value or not 1 <= label <= LARGEST_LABEL:
        raise AnnotationError(
            f"Shape {number} of {layer.name!r} has the id {value!r}; give it the id of an object, "
            f"1 to {LARGEST_LABEL}."
        )
    return label


def _frame(points: NDArray[Any], axis: int | None, what: str) -> int:
    if axis is None:
        return 0
    first, last = (int(np.floor(value + 0.5)) for value in (points[:, axis].min(), points[:, axis].max()))
    if first != last:
        raise AnnotationError(f"{what} lies on frames {first} to {last}; draw it on one frame.")
    if first < 0:
        raise AnnotationError(f"{what} lies before the first frame; move or delete it.")
    return first
