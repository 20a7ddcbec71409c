"""An image layer seen as a movie: its frames, where they are in the viewer, and how labels lie over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image

from napari_masktrack.core.movie import Movie
from napari_masktrack.io.frames import View
from napari_masktrack.io.session_movie import Section
from napari_masktrack.layers.axes import LayerAxes, check_axes, full_resolution, guess_axes
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
        Named after the layer. It reads the layer's array, of a multiscale layer that of full
        resolution, and may be used in other threads.
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
        array = full_resolution(layer)
        self.shape = tuple(int(size) for size in array.shape)
        self.rows, self.columns = self.axes.spatial(len(self.shape))
        self.movie = Movie(self._plain(array), axes=self._letters(), channels=channels, name=str(layer.name))
        thin = {self.axes.channel, *self.axes.planes}
        shape = tuple(1 if axis in thin else self.shape[axis] for axis in range(layer.ndim))
        self.layout = Layout(shape, self.axes.frame, self.rows, self.columns)

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.movie)

    def frame_at(self, dims: Dims) -> int | None:
        """Give the frame that a viewer shows; None beside the movie's ends.

        Parameters
        ----------
        dims : napari.components.Dims
            Of the viewer, ``viewer.dims``.
        """
        if self.axes.frame is None:
            return 0
        frame = int(np.floor(self._position(dims)[self.axes.frame] + 0.5))
        return frame if 0 <= frame < len(self) else None

    def go_to(self, dims: Dims, frame: int) -> None:
        """Move a viewer's slider to a frame; one outside the movie becomes the nearest.

        Parameters
        ----------
        dims : napari.components.Dims
            Of the viewer, ``viewer.dims``.
        frame : int
        """
        axis = self.axes.frame
        if axis is None:
            return
        position = self._position(dims)
        position[axis] = min(max(frame, 0), len(self) - 1)
        world = np.asarray(self.layer.data_to_world(position)) / self._factors(dims)
        dims.set_point(dims.ndim - self.layer.ndim + axis, float(world[axis]))

    def shows_frame(self, dims: Dims, frame: int) -> bool:
        """Whether a viewer shows this frame; in 3D, or with time on an axis of the picture, every frame."""
        axis = self.axes.frame
        if axis is None or dims.ndim - self.layer.ndim + axis in dims.displayed:
            return True
        return self.frame_at(dims) == frame

    def _position(self, dims: Dims) -> np.ndarray[Any, Any]:
        """Give the viewer's point in the layer's pixels."""
        point = np.asarray(dims.point, float)
        ndim = self.layer.ndim
        point = np.concatenate([np.zeros(max(ndim - len(point), 0)), point])[-ndim:]
        return np.array(self.layer.world_to_data(point * self._factors(dims)), float)

    def _factors(self, dims: Dims) -> np.ndarray[Any, Any]:
        """How many of the layer's units one of the viewer's is."""
        return unit_factors(getattr(dims, "units", None), self.layer.units)

    def _plain(self, array: Any) -> Any:
        plain = Section(array, self.axes.planes) if self.axes.planes else array
        return View(plain, range(len(plain.shape)), alone=True) if self.axes.frame is None else plain

    def _letters(self) -> str:
        names = {self.axes.frame: "t", self.axes.channel: "c", self.rows: "y", self.columns: "x"}
        kept = (axis for axis in range(len(self.shape)) if axis not in self.axes.planes)
        return "t" * (self.axes.frame is None) + "".join(names[axis] for axis in kept)


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
