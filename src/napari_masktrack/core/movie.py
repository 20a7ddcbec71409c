"""One lazily read frame at a time, with named axes and intensities that stay consistent over the movie."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from math import ceil, sqrt
from operator import index
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.intensity import Image, Scale, three_planes
from napari_masktrack.errors import AxesError, ChannelsError, MaskTrackError, MovieError

Array: TypeAlias = NDArray[Any]

_SAMPLED_FRAMES = 12
_SAMPLED_PIXELS = 65_536
_HASHED_FRAMES = 5


class LazyArray(Protocol):
    """What a movie may be made of: NumPy, dask, Zarr, or anything that is indexed like them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""

    @property
    def dtype(self) -> Any:
        """Type of one value."""

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part."""


class Movie:
    """A movie, or a stack in depth, of which one frame at a time is read.

    Parameters
    ----------
    data : array-like
        Has ``shape``, ``dtype`` and lazy indexing; bool, integer or float. For a multiscale image
        its full-resolution level.
    axes : str, default: "tyx"
        One letter per dimension: ``y``, ``x``, either ``t`` (time) or ``z`` (depth), along which
        masks are carried, and optionally ``c`` (channels). Three or four channels at the end are
        RGB or RGBA; alpha is left out.
    channels : int or up to three ints, optional
        Channels to look at. One is shown in grey; of two, the third plane is their mean; three are
        red, green and blue. All, if there are at most three.
    name : str, default: "movie"
        Used in messages and for layers.

    Raises
    ------
    AxesError
        The axes do not describe the data.
    ChannelsError
        A channel must be chosen, or there is none such.
    MovieError
        The data are no images.
    """

    def __init__(
        self,
        data: LazyArray,
        *,
        axes: str = "tyx",
        channels: int | Sequence[int] | None = None,
        name: str = "movie",
    ) -> None:
        self.name = name
        self.data = data
        self.axes = axes.lower()
        self._check_data()
        self._check_axes()
        self._sizes = {axis: int(size) for axis, size in zip(self.axes, data.shape, strict=True)}
        self._propagated = "t" if "t" in self.axes else "z"
        if 0 in self._sizes.values():
            raise MovieError(f"{name!r} has shape {tuple(data.shape)}: nothing in it; choose another movie.")
        self.channels = self._chosen(channels)

    def __len__(self) -> int:
        """Count the frames."""
        return self._sizes[self._propagated]

    def __repr__(self) -> str:
        """Name, shape and type, for a debugger."""
        return f"Movie({self.name!r}, {tuple(self.data.shape)}, axes={self.axes!r}, dtype={self.dtype})"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self._sizes["y"], self._sizes["x"]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as stored."""
        stored: np.dtype[Any] = np.dtype(self.data.dtype)
        return stored

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Names of the frames' files without their endings; empty where frames are not files."""
        return tuple(getattr(self.data, "frame_names", ()))

    def raw(self, frame: int) -> Array:
        """Read one frame as it is stored.

        Parameters
        ----------
        frame : int
            Index from 0.

        Returns
        -------
        array, (Y, X) or (Y, X, C), dtype of the movie
            With channels last. May be a view of the movie's data: do not write into it.

        Raises
        ------
        MovieError
            The frame lies outside the movie or cannot be read.
        """
        return self._read(frame, None)

    def image(self, frame: int) -> Image:
        """Read one frame as the network sees it.

        8-bit colour is taken as it is. Everything else, three equal planes too, is scaled between two
        percentiles of the whole movie, so that brightness stays comparable between frames; RGB planes
        share theirs, chosen channels have their own. NaN and infinity become 0; a constant movie is
        mid grey.

        Parameters
        ----------
        frame : int
            Index from 0.

        Returns
        -------
        array, (Y, X, 3), uint8
            C-contiguous and the caller's own.

        Raises
        ------
        MovieError
            The frame lies outside the movie or cannot be read.
        """
        planes = self._planes(frame)
        if self._is_plain:
            return np.array(planes, np.uint8, order="C")
        if self.dtype.kind == "b":
            return three_planes([planes[..., i].astype(np.uint8) * 255 for i in range(planes.shape[-1])])
        scaled = [self._scales[i].apply(planes[..., i]) for i in range(planes.shape[-1])]
        return three_planes(scaled)

    def fingerprint(self) -> str:
        """Hash length, frame shape, type and a few frames: the same movie in another file is equal.

        Returns
        -------
        str
            SHA-256 as 64 hexadecimal digits.
        """
        first = self.raw(0)
        little = self.dtype.newbyteorder("<")
        digest = sha256(f"{len(self)} {first.shape} {little.str}".encode())
        for frame in _spread(len(self), _HASHED_FRAMES):
            digest.update(np.ascontiguousarray(self.raw(frame), little).tobytes())
        return digest.hexdigest()

    @property
    def _is_rgb(self) -> bool:
        return self.axes[-1] == "c" and self._sizes["c"] in (3, 4) and len(self.channels) == 3

    @cached_property
    def _is_plain(self) -> bool:
        return self._is_rgb and self.dtype == np.uint8 and not self._is_grey

    @property
    def _is_grey(self) -> bool:
        """Whether three equal planes were stored: grey stored as colour, often too dark."""
        return all((part == part[..., :1]).all() for part in self._sample())

    @cached_property
    def _scales(self) -> tuple[Scale, ...]:
        sample = np.concatenate([part.reshape(-1, max(1, len(self.channels))) for part in self._sample()])
        if self._is_rgb:
            return (Scale.fit(sample),) * 3
        return tuple(Scale.fit(plane) for plane in sample.T)

    def _sample(self) -> Iterator[Array]:
        """Read some pixels of some frames, (Y, X, channels)."""
        step = max(1, ceil(sqrt(self.shape[0] * self.shape[1] / _SAMPLED_PIXELS)))
        for frame in _spread(len(self), _SAMPLED_FRAMES):
            yield self._planes(frame)[::step, ::step]

    def _planes(self, frame: int) -> Array:
        """Read the chosen channels of a frame, (Y, X, 1 to 3)."""
        if not self.channels:
            return self._read(frame, None)[..., np.newaxis]
        if len(self.channels) == 1:
            return self._read(frame, self.channels[0])[..., np.newaxis]
        everything = self._read(frame, None)
        if self.channels == tuple(range(len(self.channels))):
            return everything[..., : len(self.channels)]
        return everything[..., list(self.channels)]

    def _read(self, frame: int, channel: int | None) -> Array:
        frame = index(frame)
        if not 0 <= frame < len(self):
            raise MovieError(
                f"Frame {frame} is outside {self.name!r}, which has {len(self)} frame(s); "
                f"give one from 0 to {len(self) - 1}."
            )
        wanted: dict[str, int | slice] = {self._propagated: frame}
        if channel is not None:
            wanted["c"] = channel
        key = tuple(wanted.get(axis, slice(None)) for axis in self.axes)
        try:
            part = np.asarray(self.data[key])
        except (MaskTrackError, MemoryError):
            raise
        except Exception as error:
            # Array libraries raise anything here, RuntimeError included, which a worker would swallow.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise MovieError(
                f"Frame {frame} of {self.name!r} cannot be read ({reason}); check what it is stored in."
            ) from error
        kept = [axis for axis in self.axes if axis not in wanted]
        return part.transpose([kept.index(axis) for axis in "yxc" if axis in kept])

    def _check_data(self) -> None:
        if not hasattr(self.data, "shape") or not hasattr(self.data, "dtype"):
            raise MovieError(
                f"{self.name!r} is a {type(self.data).__name__}, not an array; "
                f"give one array, of a multiscale image the full-resolution one."
            )
        if self.dtype.kind not in "buif":
            raise MovieError(
                f"{self.name!r} holds values of type {self.dtype}; give bool, integer or float intensities."
            )

    def _check_axes(self) -> None:
        shape, axes = tuple(self.data.shape), self.axes
        said = f"{self.name!r} has shape {shape} and the axes {axes!r}"
        if len(axes) != len(shape):
            raise AxesError(f"{said}; give one letter per dimension, e.g. 'tyx', 'tcyx' or 'tyxc'.")
        unknown = sorted(set(axes) - set("tzcyx"))
        if unknown or len(set(axes)) != len(axes):
            raise AxesError(f"{said}; use each of t or z, c, y, x at most once and no other letter.")
        if "t" in axes and "z" in axes:
            raise MovieError(
                f"{said}: time and depth; choose one plane or a projection along z, or one time point."
            )
        if not {"y", "x"} <= set(axes) or not {"t", "z"} & set(axes):
            raise AxesError(f"{said}; name y, x and the axis along which masks are carried, t or z.")

    def _chosen(self, channels: int | Sequence[int] | None) -> tuple[int, ...]:
        count = self._sizes.get("c")
        if count is None:
            if channels is not None:
                raise ChannelsError(f"{self.name!r} has no axis of channels; leave the channels out.")
            return ()
        if channels is None:
            if count > 3 and not (count == 4 and self.axes[-1] == "c"):
                raise ChannelsError(f"{self.name!r} has {count} channels; choose one to three of them.")
            return tuple(range(min(count, 3)))
        chosen = tuple(map(index, channels if isinstance(channels, Iterable) else (channels,)))
        if not 1 <= len(chosen) <= 3 or not all(0 <= each < count for each in chosen):
            raise ChannelsError(
                f"Channels {list(chosen)} of {self.name!r} cannot be shown; "
                f"choose one to three from 0 to {count - 1}."
            )
        return chosen


def _spread(frames: int, count: int) -> list[int]:
    return [int(frame) for frame in np.unique(np.linspace(0, frames - 1, min(frames, count)).round())]
