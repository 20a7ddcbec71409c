"""Arrays of layers of which only the frames that were drawn, or are looked at, are in memory."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_masktrack.errors import WorkError
from napari_masktrack.io.session_results import LabelStore
from napari_masktrack.layers.movie import Layout

Image = NDArray[np.uint16]


class FrameSource(Protocol):
    """Where frames come from and go to."""

    def read(self, frame: int) -> Image:
        """Give a frame, (Y, X), uint16; zeros where nothing was written. Not to be written into."""

    def write(self, frame: int, labels: Image) -> None:
        """Keep a frame, a copy."""

    @property
    def written(self) -> tuple[int, ...]:
        """The frames that may hold something, sorted."""


class SparseFrames:
    """Frames in memory, only those that hold something."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._frames: dict[int, Image] = {}
        self._empty = np.zeros(size, np.uint16)
        self._empty.flags.writeable = False

    @property
    def written(self) -> tuple[int, ...]:
        """The frames that hold something, sorted."""
        return tuple(sorted(self._frames))

    def read(self, frame: int) -> Image:
        """Give a frame, or zeros."""
        return self._frames.get(frame, self._empty)

    def write(self, frame: int, labels: Image) -> None:
        """Keep a copy of a frame; an empty one takes no memory."""
        if labels.any():
            self._frames[frame] = np.array(labels, np.uint16)
        else:
            self._frames.pop(frame, None)


class FrameArray:
    """An array as napari needs it for a label layer, over frames that lie elsewhere.

    Reading one displayed frame reads that frame only. It can be painted on, filled and undone. It is
    indexed with integers, slices, or integer and boolean arrays, as napari does.

    Parameters
    ----------
    layout : Layout
        Its shape, and where its frames are in it.
    source : FrameSource
        For example `SparseFrames`, or a session's results.
    dtype : data type, default: uint16
        Of the source's frames.
    """

    def __init__(self, layout: Layout, source: FrameSource, dtype: DTypeLike = np.uint16) -> None:
        self.layout, self.source, self.dtype = layout, source, np.dtype(dtype)
        self.shape = layout.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        """Size of the first dimension."""
        return self.shape[0]

    def __repr__(self) -> str:
        """Shape and frames with content, for a debugger."""
        return f"FrameArray(shape={self.shape}, frames={len(self.source.written)})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything; large for a long movie."""
        return np.asarray(self[...], dtype)

    def max(self, *_: Any, **__: Any) -> int:
        """Give the largest id of all frames."""
        return max((int(self.source.read(frame).max()) for frame in self.source.written), default=0)

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part."""
        if isinstance(key, int) and key in (0, -1) and self._is_thin():
            return self._inner()  # napari asks it for its type at each stroke
        keys = self._expand(key)
        if _is_fancy(keys):
            return self._gather(keys)
        _, block, place = self._block(keys)
        return self._arrange(block)[place]

    def __setitem__(self, key: Any, value: ArrayLike, /) -> None:
        """Write a part; a value of fewer entries is spread as NumPy does."""
        keys = self._expand(key)
        if _is_fancy(keys):
            self._scatter(keys, value)
            return
        frames, block, place = self._block(keys)
        self._arrange(block)[place] = value
        rows, columns = self._cut(keys)
        for frame, part in zip(frames, block, strict=True):
            image = np.array(self.source.read(frame))
            image[rows, columns] = part
            self.source.write(frame, image)

    def _is_thin(self) -> bool:
        """Whether the first dimension has one entry, before that of the frames."""
        return self.shape[0] == 1 and self.layout.frame is not None and self.layout.frame > 0

    def _inner(self) -> "FrameArray":
        """Give the same without the first dimension; nothing is read."""
        layout = self.layout
        assert layout.frame is not None
        inner = Layout(layout.shape[1:], layout.frame - 1, layout.rows - 1, layout.columns - 1)
        return FrameArray(inner, self.source, self.dtype)

    def _expand(self, key: Any) -> tuple[Any, ...]:
        """Give one key per dimension."""
        if isinstance(key, np.ndarray) and key.dtype == bool:
            return tuple(np.nonzero(key))
        keys = key if isinstance(key, tuple) else (key,)
        if any(each is Ellipsis for each in keys):
            at = next(number for number, each in enumerate(keys) if each is Ellipsis)
            middle = (slice(None),) * (self.ndim - len(keys) + 1)
            keys = (*keys[:at], *middle, *keys[at + 1 :])
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices for an array of {self.ndim} dimensions")
        return (*keys, *(slice(None),) * (self.ndim - len(keys)))

    def _block(self, keys: tuple[Any, ...]) -> tuple[list[int], Image, tuple[Any, ...]]:
        """Read the frames of a selection.

        Returns
        -------
        frames : list of int
        block : array, (F, R, C)
            The selected rows and columns of each frame.
        place : tuple
            What remains to be selected once the block is arranged as the array is.
        """
        layout = self.layout
        chosen = np.arange(layout.frames)[slice(None) if layout.frame is None else keys[layout.frame]]
        frames = [int(frame) for frame in np.atleast_1d(chosen)]
        rows, columns = self._cut(keys)
        parts = [self.source.read(frame)[rows, columns] for frame in frames]
        block = np.stack(parts) if parts else np.empty((0, *layout.size), self.dtype)[:, rows, columns]
        done = (layout.frame, layout.rows, layout.columns)
        whole = [slice(None) if isinstance(key, slice) else 0 for key in keys]
        return frames, block, tuple(whole[axis] if axis in done else keys[axis] for axis in range(self.ndim))

    def _cut(self, keys: tuple[Any, ...]) -> tuple[slice, slice]:
        rows, columns = (_as_slice(keys[axis]) for axis in (self.layout.rows, self.layout.columns))
        return rows, columns

    def _arrange(self, block: Image) -> Image:
        """Give a view of a block (F, R, C) with the dimensions of the array."""
        layout = self.layout
        order = [axis for axis in (layout.frame, layout.rows, layout.columns) if axis is not None]
        view = block if layout.frame is not None else block[0]
        missing = [axis for axis in range(self.ndim) if axis not in order]
        return np.expand_dims(view.transpose(np.argsort(order)), missing)

    def _points(self, keys: tuple[Any, ...]) -> Iterator[tuple[int, NDArray[Any], tuple[Any, Any]]]:
        """Give for each frame that single pixels lie on: their numbers, their rows and columns."""
        if any(isinstance(key, slice) for key in keys):
            raise IndexError("give an index array for every dimension, or for none")
        points = np.broadcast_arrays(*(np.asarray(key) for key in keys))
        flat = []
        for each, size in zip(points, self.shape, strict=True):
            place = np.where(each < 0, each + size, each).ravel()
            if place.size and not 0 <= place.min() <= place.max() < size:
                raise IndexError("index outside the array")
            flat.append(place)
        axis = self.layout.frame
        frames = np.zeros(flat[0].shape, int) if axis is None else flat[axis]
        for frame in np.unique(frames):
            chosen = np.flatnonzero(frames == frame)
            yield int(frame), chosen, (flat[self.layout.rows][chosen], flat[self.layout.columns][chosen])

    def _gather(self, keys: tuple[Any, ...]) -> NDArray[Any]:
        shape = np.broadcast_shapes(*(np.shape(key) for key in keys if not isinstance(key, slice)))
        found = np.zeros(int(np.prod(shape, dtype=np.int64)), self.dtype)
        for frame, chosen, place in self._points(keys):
            found[chosen] = self.source.read(frame)[place]
        return found.reshape(shape)

    def _scatter(self, keys: tuple[Any, ...], value: ArrayLike) -> None:
        shape = np.broadcast_shapes(*(np.shape(key) for key in keys if not isinstance(key, slice)))
        values = np.broadcast_to(np.asarray(value), shape).ravel()
        for frame, chosen, place in self._points(keys):
            image = np.array(self.source.read(frame))
            image[place] = values[chosen]
            self.source.write(frame, image)


def frames_of(array: Any) -> tuple[int, ...] | None:
    """Give the frames of an array that may hold something, if it knows; else None."""
    return array.source.written if isinstance(array, FrameArray) else None


def stored_frames(layout: Layout, store: LabelStore) -> FrameArray:
    """Give the array of a layer whose frames lie on disk.

    Raises
    ------
    WorkError
        The store is of another movie.
    """
    if (store.frames, store.shape) != (layout.frames, layout.size):
        raise WorkError(f"{store.path} is of another movie; make a new session.")
    return FrameArray(layout, store)


def _is_fancy(keys: tuple[Any, ...]) -> bool:
    return any(not isinstance(key, slice | int | np.integer) for key in keys)


def _as_slice(key: Any) -> slice:
    """Give a slice that picks what an integer or a slice picks."""
    if isinstance(key, slice):
        return key
    return slice(key, key + 1 or None)
