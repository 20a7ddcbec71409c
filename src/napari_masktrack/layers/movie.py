"""An image layer seen as a movie: its frames, where they are in the viewer, and how labels lie over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from napari.components import Dims
from napari.layers import Image

from napari_masktrack.core.movie import Movie
from napari_masktrack.io.frames import View
from napari_masktrack.io.session_movie import MovieReference, Section
from napari_masktrack.layers.axes import LayerAxes, axis_name, check_axes, full_resolution, guess_axes
from napari_masktrack.layers.placement import unit_factors


@dataclass(frozen=True)
class Layout:
    """How the frames of a movie lie in a label array of several dimensions.

    Attributes
    ----------
    shape : tuple of int
        Of the whole array.
    frame : int or None
        The axis that numbers the frames; None for an array of one frame.
    rows, columns : int
        The axes of height and width. All others have size one.
    """

    shape: tuple[int, ...]
    frame: int | None
    rows: int
    columns: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return 1 if self.frame is None else self.shape[self.frame]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[self.rows], self.shape[self.columns]

    def key(self, frame: int) -> tuple[int | slice, ...]:
        """Give the index with which one frame is read or written as (Y, X)."""
        wanted: list[int | slice] = [0] * len(self.shape)
        wanted[self.rows] = wanted[self.columns] = slice(None)
        if self.frame is not None:
            wanted[self.frame] = frame
        return tuple(wanted)


class LayerMovie:
    """An image layer, what its axes mean, and the movie that follows.

    Parameters
    ----------
    layer : napari.layers.Image
    axes : LayerAxes, optional
        Guessed if it is left out; see `guess_axes`.
    channels : int or up to three ints, optional
        Channels to look at; see `Movie`.

    Attributes
    ----------
    movie : Movie
        Named as `name`. It reads the layer's array, of a multiscale layer that of full resolution, and
        may be used in other threads.
    layout : Layout
        Of label arrays that lie over the layer: like its data, but with one entry on the axis of
        channels and on held axes. See `placement.over` for the transform that belongs to it.

    Raises
    ------
    MovieError
        The layer is no image, or the axes do not describe it.
    """

    def __init__(
        self, layer: Image, axes: LayerAxes | None = None, *, channels: int | Sequence[int] | None = None
    ) -> None:
        self.layer = layer
        self.axes = guess_axes(layer).axes if axes is None else axes
        check_axes(layer, self.axes)
        self._array = array = full_resolution(layer)
        self.shape = tuple(int(size) for size in array.shape)
        self.rows, self.columns = self.axes.spatial(len(self.shape))
        letters = self.axes.letters(len(self.shape))
        self.movie = Movie(self._plain(array), axes=letters, channels=channels, name=self.name)
        thin = {self.axes.channel, *self.axes.planes}
        shape = tuple(1 if axis in thin else self.shape[axis] for axis in range(layer.ndim))
        self.layout = Layout(shape, self.axes.frame, self.rows, self.columns)

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.movie)

    @classmethod
    def of(cls, layer: Image, reference: MovieReference) -> Self:
        """Look at a layer as a session did; the inverse of `reference`.

        Raises
        ------
        MovieError
            The layer has other dimensions, too few planes or too few channels.
        """
        ndim = len(full_resolution(layer).shape)
        axes = LayerAxes.from_letters(reference.axes, dict(reference.planes), ndim)
        return cls(layer, axes, channels=reference.channels or None)

    def reference(self) -> MovieReference:
        """Say which movie it is, for a session; reads five frames. Raises as `MovieReference.of`."""
        planes = tuple(sorted(self.axes.planes.items()))
        return MovieReference.of(self.movie, path=self.layer.source.path, planes=planes)

    @property
    def name(self) -> str:
        """The layer's name, with the planes at which it is held, so that each plane is a movie of its own."""
        held = ", ".join(
            f"{axis_name(self.layer, axis) or f'axis {axis}'} at {plane}"
            for axis, plane in sorted(self.axes.planes.items())
            if self.shape[axis] > 1
        )
        return f"{self.layer.name} ({held})" if held else str(self.layer.name)

    @property
    def channel(self) -> int | None:
        """The one channel that is looked at; None where it is all of them."""
        axis, channels = self.axes.channel, self.movie.channels
        return channels[0] if axis is not None and len(channels) == 1 < self.shape[axis] else None

    def lies_like(self, other: "LayerMovie | None") -> bool:
        """Whether what is drawn on one is drawn on the other: all is equal but the channels."""
        if other is None or self.layer is not other.layer or self._array is not other._array:
            return False
        return (self.axes, self.layout) == (other.axes, other.layout)

    @property
    def is_current(self) -> bool:
        """Whether the layer still has the pixels that the movie reads."""
        return full_resolution(self.layer) is self._array

    def frame_at(self, dims: Dims) -> int | None:
        """Give the frame that a viewer shows; None beside the movie's ends, or on another plane.

        Parameters
        ----------
        dims : napari.components.Dims
            Of the viewer, ``viewer.dims``.
        """
        shown = shown_at(self.layer, dims)
        if any(shown.get(axis, plane) != plane for axis, plane in self.axes.planes.items()):
            return None
        if self.axes.frame is None:
            return 0
        frame = int(np.floor(_position(self.layer, dims)[self.axes.frame] + 0.5))
        return frame if 0 <= frame < len(self) else None

    def go_to(self, dims: Dims, frame: int | None = None) -> None:
        """Move a viewer's sliders to a frame, on the planes at which the movie is held.

        Parameters
        ----------
        dims : napari.components.Dims
            Of the viewer, ``viewer.dims``.
        frame : int, optional
            The viewer's present one if it is left out. One outside the movie becomes the nearest.
        """
        position, places = _position(self.layer, dims), dict(self.axes.planes)
        if self.axes.frame is not None:
            wanted = int(np.floor(position[self.axes.frame] + 0.5)) if frame is None else frame
            places[self.axes.frame] = min(max(wanted, 0), len(self) - 1)
        if not places:
            return
        for axis, place in places.items():
            position[axis] = place
        world = np.asarray(self.layer.data_to_world(position)) / _factors(self.layer, dims)
        beside = dims.ndim - self.layer.ndim
        dims.set_point([beside + axis for axis in places], [float(world[axis]) for axis in places])

    def shows_frame(self, dims: Dims, frame: int) -> bool:
        """Whether a viewer shows this frame; in 3D, or with time on an axis of the picture, every frame."""
        axis = self.axes.frame
        if axis is None or dims.ndim - self.layer.ndim + axis in dims.displayed:
            return True
        return self.frame_at(dims) == frame

    def _plain(self, array: Any) -> Any:
        plain = Section(array, self.axes.planes) if self.axes.planes else array
        return View(plain, range(len(plain.shape)), alone=True) if self.axes.frame is None else plain


def shown_at(layer: Image, dims: Dims) -> dict[int, int]:
    """Give the plane of each of a layer's axes on which a viewer is, without the axes of the picture."""
    position, beside = _position(layer, dims), dims.ndim - layer.ndim
    axes = (axis for axis in range(layer.ndim) if beside + axis not in dims.displayed)
    return {axis: int(np.floor(position[axis] + 0.5)) for axis in axes}


def _position(layer: Image, dims: Dims) -> np.ndarray[Any, Any]:
    """Give a viewer's point in a layer's pixels."""
    point = np.asarray(dims.point, float)
    ndim = layer.ndim
    point = np.concatenate([np.zeros(max(ndim - len(point), 0)), point])[-ndim:]
    return np.array(layer.world_to_data(point * _factors(layer, dims)), float)


def _factors(layer: Image, dims: Dims) -> np.ndarray[Any, Any]:
    """How many of a layer's units one of a viewer's is."""
    return unit_factors(getattr(dims, "units", None), layer.units)


def movie_of(
    layer: Image,
    *,
    frame_axis: int | None,
    channel_axis: int | None = None,
    planes: dict[int, int] | None = None,
    channels: int | Sequence[int] | None = None,
) -> Movie:
    """Give the movie of an image layer whose axes are known; short for `LayerMovie`.

    Parameters
    ----------
    layer : napari.layers.Image
    frame_axis : int or None
        Time or depth; None for a single image.
    channel_axis : int, optional
        Channels; need not be said for an RGB layer.
    planes : dict of int to int, optional
        Other axes and the index at which each is held.
    channels : int or up to three ints, optional
        Channels to look at.

    Raises
    ------
    MovieError
        The layer is no image, or the axes do not describe it.
    """
    if channel_axis is None and getattr(layer, "rgb", False):
        channel_axis = layer.ndim
    axes = LayerAxes(frame=frame_axis, channel=channel_axis, planes=planes or {})
    return LayerMovie(layer, axes, channels=channels).movie
