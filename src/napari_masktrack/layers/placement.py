"""Where layers lie in the world: transforms to copy, and pixels of one layer in those of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_masktrack.errors import AnnotationError

PLACING = ("scale", "translate", "rotate", "shear", "affine", "units")
"""What says where a layer lies: each is a property of layers, with an event of its name."""

_CLOSE = 0.01  # pixels, or frames, that nobody sees

Matrix = NDArray[np.float64]


class Placed(Protocol):
    """A movie that lies in a viewer, as far as placing needs it; see `LayerMovie`."""

    layer: Layer
    shape: tuple[int, ...]
    axes: Any
    rows: int
    columns: int
    layout: Any


@dataclass(frozen=True)
class Alignment:
    """Pixels of a drawn layer in the pixels of the movie.

    Attributes
    ----------
    slope, start : float
        The drawn layer's frame ``i`` is the movie's frame ``slope * i + start``.
    plane : array, (3, 3)
        Takes y, x, 1 of the drawn layer to the movie's.
    axes : tuple of (int or None, int, int)
        The drawn layer's axes of frames, height and width.
    thick : int or None
        An axis of channels of the drawn layer, over which it is summed up.
    held : dict of int to int
        Its other axes, and the index at which the movie is.
    """

    slope: float
    start: float
    plane: Matrix
    axes: tuple[int | None, int, int]
    thick: int | None
    held: dict[int, int]

    @property
    def is_plain(self) -> bool:
        """Whether pixels of the two are the same."""
        return bool(np.allclose(self.plane, np.eye(3), atol=1e-4))

    def equals(self, other: "Alignment") -> bool:
        """Whether another alignment is the same."""
        mine, its = ((a.slope, a.start, a.axes, a.thick, a.held) for a in (self, other))
        return mine == its and np.array_equal(self.plane, other.plane)

    def frame(self, own: float, name: str) -> int:
        """Give the movie's frame of a frame of the drawn layer.

        Raises
        ------
        AnnotationError
            It lies between two frames.
        """
        exact = self.slope * own + self.start
        frame = int(np.floor(exact + 0.5))
        if abs(exact - frame) > 0.1:
            raise AnnotationError(
                f"Frame {own:g} of {name!r} lies between frames {int(np.floor(exact))} and "
                f"{int(np.floor(exact)) + 1} of the movie; give the layer the movie's scale and translation."
            )
        return frame

    def own_frame(self, frame: int) -> int:
        """Give the drawn layer's frame that is nearest to a frame of the movie."""
        return int(np.floor((frame - self.start) / self.slope + 0.5))

    def points(self, points: Matrix) -> Matrix:
        """Take points y, x of the drawn layer, (N, 2), to the movie's pixels."""
        return points @ self.plane[:2, :2].T + self.plane[:2, 2]

    def image(self, image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        """Bring a label image of the drawn layer to the movie's pixels, nearest neighbour."""
        if self.is_plain and image.shape == size:
            return image
        back = np.linalg.inv(self.plane)
        y, x = np.mgrid[: size[0], : size[1]]
        own = [np.floor(row[0] * y + row[1] * x + row[2] + 0.5 + 1e-6).astype(np.intp) for row in back[:2]]
        inside = (own[0] >= 0) & (own[0] < image.shape[0]) & (own[1] >= 0) & (own[1] < image.shape[1])
        found = np.zeros(size, image.dtype)
        found[inside] = image[own[0][inside], own[1][inside]]
        return found


def over(view: Placed) -> dict[str, Any]:
    """Give the placement of a label layer of a movie's `Layout`, as arguments for a new layer.

    Along channels its one entry reaches over all of them, so that the labels are seen on each; on an
    axis that is held at one plane it lies on that plane.

    Returns
    -------
    dict
        scale, translate, rotate, shear, affine, units and axis_labels.
    """
    layer, ndim = view.layer, view.layer.ndim
    scale, shift = np.array(layer.scale, float), np.zeros(ndim)
    channel = view.axes.channel
    if channel is not None and channel < ndim:
        count = view.shape[channel]
        scale[channel] *= count
        shift[channel] = (count - 1) / 2
    for axis, plane in view.axes.planes.items():
        shift[axis] = plane
    outer = np.asarray(layer.affine.linear_matrix, float)
    inner = np.linalg.solve(outer, matrix_of(layer)[:-1, :-1])
    return {
        "scale": scale,
        "translate": np.asarray(layer.translate, float) + inner @ shift,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def lies_at(layer: Layer, placement: Mapping[str, Any]) -> bool:
    """Whether a layer lies as `over` once said."""
    affine = np.asarray(placement["affine"].affine_matrix)
    if layer.affine.affine_matrix.shape != affine.shape or layer.units != placement["units"]:
        return False
    pairs = [(getattr(layer, name), placement[name]) for name in ("scale", "translate", "rotate", "shear")]
    return all(np.allclose(own, wanted) for own, wanted in [*pairs, (layer.affine.affine_matrix, affine)])


def place(layer: Layer, placement: Mapping[str, Any]) -> None:
    """Let a layer lie as `over` says."""
    for name in PLACING:
        setattr(layer, name, placement[name])


def matrix_of(layer: Layer) -> Matrix:
    """Give the affine matrix, (N + 1, N + 1), from a layer's pixels to the world in its units."""
    ndim = layer.ndim
    origin = np.asarray(layer.data_to_world(np.zeros(ndim)), float)
    columns = [np.asarray(layer.data_to_world(unit), float) - origin for unit in np.eye(ndim)]
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = np.stack(columns, axis=1), origin
    return matrix


def unit_factors(units: Sequence[Any] | None, into: Sequence[Any]) -> Matrix:
    """How many of the second units one of the first is, axis by axis from the last; 1 where it is open."""
    factors = np.ones(len(into))
    known = list(units or ())[-len(into) :]
    for number, (unit, other) in enumerate(zip(reversed(known), reversed(into), strict=False), start=1):
        if unit != other and unit.dimensionality == other.dimensionality:
            factors[-number] = (1 * unit).to(other).magnitude
    return factors


def align(drawn: Layer, shape: tuple[int, ...], view: Placed) -> Alignment:
    """Find out how a drawn label layer lies over a movie.

    Parameters
    ----------
    drawn : napari.layers.Labels
    shape : tuple of int
        Of its array at full resolution.
    view : LayerMovie

    Returns
    -------
    Alignment

    Raises
    ------
    AnnotationError
        Dimensions or units differ, it lies beside the movie's plane, or it is turned against the movie so
        that its frames are none of the movie's.
    """
    axes = shared_axes(drawn, shape, view)
    matrix = into_movie(drawn, axes, view)
    place = {axis: own for own, axis in enumerate(axes)}
    frame, rows, columns = (place.get(axis) for axis in (view.axes.frame, view.rows, view.columns))
    assert rows is not None
    assert columns is not None
    reach = np.array(shape) - 1
    own_spatial = [rows, columns]
    mixed = [own for own in range(len(axes)) if own not in own_spatial]
    if _moves(matrix[own_spatial][:, mixed], reach[mixed]) or (
        frame is not None and _moves(np.delete(matrix[frame, :-1], frame), np.delete(reach, frame))
    ):
        raise AnnotationError(
            f"{drawn.name!r} is turned or sheared against {view.layer.name!r}, so that its frames are none "
            f"of the movie's; give it the movie's transform, or draw on a layer made here."
        )
    plane = np.eye(3)
    plane[:2, :2], plane[:2, 2] = matrix[np.ix_(own_spatial, own_spatial)], matrix[own_spatial, -1]
    slope, start = (1.0, 0.0) if frame is None else (float(matrix[frame, frame]), float(matrix[frame, -1]))
    held = {
        place[axis]: int(np.floor((index - matrix[place[axis], -1]) / matrix[place[axis], place[axis]] + 0.5))
        for axis, index in view.axes.planes.items()
        if axis in place
    }
    if any(not 0 <= index < shape[own] for own, index in held.items()):
        raise AnnotationError(
            f"{drawn.name!r} lies beside the plane at which {view.layer.name!r} is held; choose that plane "
            f"in 1 Movie, or draw on a layer made here."
        )
    return Alignment(slope, start, plane, (frame, rows, columns), place.get(view.axes.channel), held)


def shared_axes(drawn: Layer, shape: tuple[int, ...], view: Placed) -> tuple[int, ...]:
    """Give for each axis of a drawn layer the movie's: all, or all but channels and held axes.

    Raises
    ------
    AnnotationError
        It has other dimensions.
    """
    ndim, frame = view.layer.ndim, view.axes.frame
    if len(shape) == ndim:
        return tuple(range(ndim))
    thin = {view.axes.channel, *view.axes.planes}
    kept = tuple(axis for axis in range(ndim) if axis not in thin)
    if len(shape) == len(kept) and (frame is None or shape[kept.index(frame)] <= view.layout.frames):
        return kept
    flat = tuple(axis for axis in kept if axis != frame)
    if len(shape) == len(flat) and view.layout.frames == 1:
        return flat
    raise AnnotationError(
        f"{drawn.name!r} has {len(shape)} dimensions and {view.layer.name!r} has {ndim}; draw on a layer "
        f"with the movie's dimensions, best one made here."
    )


def into_movie(drawn: Layer, axes: tuple[int, ...], view: Placed) -> Matrix:
    """Give the affine matrix from a drawn layer's pixels to the movie's, on the axes that both have.

    Raises
    ------
    AnnotationError
        Units differ in kind, or the missing axes are mixed with the others.
    """
    movie = matrix_of(view.layer)
    rest = [axis for axis in range(view.layer.ndim) if axis not in axes]
    if np.abs(movie[np.ix_(axes, rest)]).max(initial=0) > 1e-9:
        raise AnnotationError(
            f"{view.layer.name!r} is turned so that {drawn.name!r}, with fewer dimensions, lies across it; "
            f"draw on a layer made here."
        )
    units = [view.layer.units[axis] for axis in axes]
    for own, unit in zip(drawn.units, units, strict=True):
        if own.dimensionality != unit.dimensionality:
            raise AnnotationError(
                f"{drawn.name!r} is measured in {own} and {view.layer.name!r} in {unit}; "
                f"give both the same units."
            )
    kept = [*axes, view.layer.ndim]
    scale = np.diag([*unit_factors(drawn.units, units), 1.0])
    inverse = np.linalg.inv(movie[np.ix_(kept, kept)])
    result: Matrix = inverse @ scale @ matrix_of(drawn)
    return result


def _moves(slopes: Matrix, reach: NDArray[Any]) -> bool:
    """Whether going along other axes, as far as they reach, changes a coordinate."""
    return bool((np.abs(slopes) * reach).max(initial=0) > _CLOSE)
