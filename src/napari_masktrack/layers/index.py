"""Which frames of a label layer are painted, and with what: known from its events, not by searching."""

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, product
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Labels
from numpy.typing import NDArray

from napari_masktrack.core.annotation import LARGEST_LABEL, Annotation, Annotations
from napari_masktrack.errors import AnnotationError
from napari_masktrack.layers.axes import full_resolution
from napari_masktrack.layers.frames import FrameArray, SparseFrames, frames_of
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.placement import Alignment, align

_REMEMBERED = 100
"""Frames painted last that an undo may change; napari keeps as many steps."""

_PLACING = ("scale", "translate", "rotate", "shear", "affine", "units")


class AnnotationIndex:
    """The painted frames of a label layer, kept up to date while the user paints.

    A stroke is announced by napari when it ends, with the region it touched. An undo is not: after any
    redraw, the regions that were painted last are compared with what they were, and so is the frame
    that is shown, on which a stroke may be under way. What others write into other frames of the
    layer's array, past napari, `compare` finds, or `touch` names.

    Parameters
    ----------
    layer : napari.layers.Labels
    view : LayerMovie
        The movie. The layer may have another transform, if its pixels can be found in the movie's.
    known : iterable of int, optional
        Frames of the layer that may be painted. If it is left out, an array made here knows its own,
        and any other is looked through by `scan`, or all at once when it is needed.
    dims : napari.components.Dims, optional
        Of the viewer, ``viewer.dims``; without it the shown frame is not known.
    on_change : callable, optional
        Called without arguments when something may have changed, many times in a row.

    Attributes
    ----------
    version : int
        Grows with each frame that is found changed; for `changed_since`.

    Raises
    ------
    AnnotationError
        The layer does not lie over the movie so that its frames are the movie's.
    """

    _labels: dict[int, tuple[int, ...]]
    _length: int
    _touched: set[int]
    _changes: dict[int, int]

    def __init__(
        self,
        layer: Labels,
        view: LayerMovie,
        *,
        known: Iterable[int] | None = None,
        dims: Dims | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.layer, self.view = layer, view
        self._dims, self._on_change = dims, on_change
        self.version, self._settled, self._changes = 0, 0, {}
        self._begin(known)
        self._watched = {
            "paint": self._painted,
            "labels_update": self._redrawn,
            "set_data": self._redrawn,
            "data": self._replaced,
        }
        for name, react in self._watched.items():
            layer.events[name].connect(react)
        for each, name in product((layer, view.layer), _PLACING):
            each.events[name].connect(self._moved)

    def close(self) -> None:
        """Stop listening to the layers."""
        for name, react in self._watched.items():
            self.layer.events[name].disconnect(react)
        for each, name in product((self.layer, self.view.layer), _PLACING):
            each.events[name].disconnect(self._moved)

    def scan(self) -> Iterator[int]:
        """Look through frames that are unknown or were touched, one at each step; yields what is left."""
        while self._unseen or self._touched:
            self._look((self._unseen or self._touched).pop())
            yield len(self._unseen) + len(self._touched)

    def touch(self, frames: Iterable[int] | None = None) -> None:
        """Say that frames of the movie may have been changed past napari; all if none are named."""
        if frames is None:
            self._unseen.update(range(self._length))
        else:
            own = {self._align().own_frame(frame) for frame in frames}
            self._touched |= own & set(range(self._length))
        self._announce()

    def compare(self) -> None:
        """Look, where frames are in memory, for what was written into them past napari."""
        if self._is_in_memory:
            written = frames_of(self._array)
            there = set(range(self._length) if written is None else (*written, *self._labels))
            self._touched |= {own for own in there - self._unseen if self._differs(own)}

    def forget(self) -> None:
        """Take nothing for known, because the program wrote into the array; what is touched next counts."""
        for known in (self._labels, self._sums, self._masks, self._regions, self._touched, self._changes):
            known.clear()
        self._doubtful, self._forgotten = False, set(range(self._length))

    def settle(self, *, budget: float | None = None) -> tuple[int, ...]:
        """As `catch_up`; gives the movie's frames that differ from what they were at the last call."""
        self.catch_up(budget=budget)
        changed = self.changed_since(self._settled)
        self._settled = self.version
        return changed

    def changed_since(self, version: int) -> tuple[int, ...]:
        """Give the movie's frames that were found changed after a `version`, sorted; looks at nothing."""
        return tuple(sorted(self._frame(own) for own, when in self._changes.items() if when > version))

    def catch_up(self, *, budget: float | None = None) -> None:
        """Look at the frames that were touched.

        Parameters
        ----------
        budget : float, optional
            Seconds after which the rest is left to the next call; one frame is looked at in any case.

        Raises
        ------
        AnnotationError
            The layer was moved so that its frames are none of the movie's any more.
        """
        self._align()
        if self._doubtful:
            self._doubtful = False
            regions = self._regions.items()
            self._touched |= {own for own, (region, sum_) in regions if self._checksum(own, region) != sum_}
            self._touched |= self._shown()
        began = time.perf_counter()
        while self._touched:
            self._look(self._touched.pop())
            if budget is not None and time.perf_counter() - began > budget:
                break

    @property
    def known(self) -> dict[int, tuple[int, ...]]:
        """The movie's frames that are known to be painted, and their ids; looks at nothing."""
        return {self._frame(own): labels for own, labels in sorted(self._labels.items())}

    @property
    def frames(self) -> tuple[int, ...]:
        """The movie's frames that are painted, sorted."""
        self._finish()
        return tuple(sorted(self._frame(own) for own in self._labels))

    def largest(self) -> int:
        """Give the largest id; of what is in memory also that of frames that were not looked at yet.

        Raises
        ------
        AnnotationError
            Other frames were not looked at yet.
        """
        if (left := len(self._unseen)) and not self._is_in_memory:
            raise AnnotationError(
                f"{self.layer.name!r} is still being looked through, {left} frames are left; "
                "wait a moment, then try again."
            )
        unseen = (int(self._read(own).max(initial=0)) for own in self._unseen)
        return max(chain(unseen, *self._labels.values()), default=0)

    def image(self, frame: int) -> NDArray[np.uint16]:
        """Copy a frame in the movie's pixels, (Y, X), uint16.

        Raises
        ------
        AnnotationError
            It holds ids beyond 65535, or below 0.
        """
        alignment = self._align()
        own = alignment.own_frame(frame)
        size = self.view.layout.size
        if not 0 <= own < self._length:
            return np.zeros(size, np.uint16)
        image = self._read(own)
        if image.size and (image.min() < 0 or image.max() > LARGEST_LABEL):
            raise AnnotationError(
                f"{self.layer.name!r} has ids from {image.min()} to {image.max()} on frame {frame}; "
                f"use 1 to {LARGEST_LABEL}."
            )
        return np.array(alignment.image(image, size), np.uint16)

    def masks(self) -> tuple[Annotation, ...]:
        """Give the painted frames as masks, in the movie's pixels; unchanged frames are remembered.

        Raises
        ------
        AnnotationError
            A frame lies between two of the movie's, or holds impossible ids.
        """
        self._finish(thorough=True)
        for _ in self.remember():
            pass
        return tuple(item for own in sorted(self._masks) for item in self._masks[own])

    def remember(self) -> Iterator[int]:
        """Read ahead what `masks` gives, one frame at each step; yields how many are left, raises as it."""
        while unread := self._labels.keys() - self._masks.keys():
            own = unread.pop()
            frame = self._frame(own)
            self._masks[own] = Annotations.from_labels({frame: self.image(frame)}).items
            yield len(unread)

    # Events of the layer

    def _painted(self, event: Any) -> None:
        for edit in event.value:
            for own, region in self._regions_of(edit[0]):
                self._touched.add(own)
                self._remember(own, region)
        self._announce()

    def _redrawn(self, event: Any = None) -> None:  # noqa: ARG002  napari hands an event over
        if self._regions or self._dims is not None:
            self._doubtful = True
            self._announce()

    def _replaced(self, event: Any = None) -> None:  # noqa: ARG002
        before = self._labels
        self._begin(None)
        self._labels = {own: labels for own, labels in before.items() if own < self._length}
        self._touched = set(self._labels)
        self._announce()

    def _moved(self, event: Any = None) -> None:  # noqa: ARG002
        self._misplaced = True
        self._announce()

    def _announce(self) -> None:
        if self._on_change is not None:
            self._on_change()

    # What is known

    def _begin(self, known: Iterable[int] | None) -> None:
        self._array = full_resolution(self.layer)
        self._labels, self._touched, self._doubtful = {}, set(), False
        self._forgotten = set[int]()
        self._sums: dict[int, int] = {}
        self._masks: dict[int, tuple[Annotation, ...]] = {}
        self._regions: dict[int, tuple[tuple[slice, slice], int | None]] = {}
        self._alignment, self._misplaced = align(self.layer, tuple(self._array.shape), self.view), False
        axis = self._alignment.axes[0]
        self._length = 1 if axis is None else int(self._array.shape[axis])
        own = frames_of(self._array) if known is None else known
        self._unseen = set(range(self._length)) if own is None else set(own)

    def _align(self) -> Alignment:
        """Find out where the layer lies; if it was moved, what is remembered counts no more."""
        if not self._misplaced:
            return self._alignment
        found = align(self.layer, tuple(self._array.shape), self.view)
        self._misplaced = False
        if not found.equals(self._alignment):
            self._alignment = found
            self._masks.clear()
            for own in self._labels:
                self._note_change(own)
        return found

    def _finish(self, *, thorough: bool = False) -> None:
        """Look at everything that is open; thoroughly also at what an undo on a hidden layer may change."""
        for _ in self.scan():
            pass
        self._doubtful |= thorough
        self.catch_up()

    def _look(self, own: int) -> None:
        """Read a frame of the layer; if it is another than before, or that was forgotten, note its ids."""
        self._unseen.discard(own)
        is_known = own not in self._forgotten
        self._forgotten.discard(own)
        image = self._read(own)
        if own in self._regions:
            region, _ = self._regions[own]
            self._regions[own] = region, _sum(image[region])
        labels = _ids(image)
        sum_ = _sum(image) if labels else 0
        if is_known and self._sums.get(own, 0) == sum_ and self._labels.get(own, ()) == labels:
            return
        self._note_change(own)
        self._masks.pop(own, None)
        if labels:
            self._labels[own], self._sums[own] = labels, sum_
        else:
            self._labels.pop(own, None)
            self._sums.pop(own, None)

    def _note_change(self, own: int) -> None:
        self.version += 1
        self._changes[own] = self.version

    def _differs(self, own: int) -> bool:
        """Whether a frame that was looked at is another now."""
        image = self._read(own)
        return _sum(image) != self._sums[own] if own in self._sums else bool(image.any())

    @property
    def _is_in_memory(self) -> bool:
        """Whether all frames are in memory, so that looking at them is quick."""
        if isinstance(self._array, FrameArray):
            return isinstance(self._array.source, SparseFrames)
        return isinstance(self._array, np.ndarray) and not isinstance(self._array, np.memmap)

    def _shown(self) -> set[int]:
        """Give the frame that is shown, if it is in memory, so that looking at it is quick."""
        frame = None if self._dims is None else self.view.frame_at(self._dims)
        if frame is None or not isinstance(self._array, np.ndarray | FrameArray):
            return set()
        own = self._alignment.own_frame(frame)
        return {own} if 0 <= own < self._length else set()

    def _read(self, own: int, region: tuple[slice, slice] | None = None) -> NDArray[Any]:
        """Read a frame of the layer, (Y, X), or a part of it; over channels the largest id counts."""
        alignment = self._alignment
        frame, rows, columns = alignment.axes
        key: list[Any] = [0] * len(self._array.shape)
        for axis, index in alignment.held.items():
            if not 0 <= index < self._array.shape[axis]:
                return np.zeros((self._array.shape[rows], self._array.shape[columns]), np.uint16)
            key[axis] = index
        key[rows], key[columns] = region or (slice(None), slice(None))
        if frame is not None:
            key[frame] = own
        thick = alignment.thick
        if thick is not None:
            key[thick] = slice(None)
        part = np.asarray(self._array[tuple(key)])
        if thick is not None:
            part = part.max(axis=sum(isinstance(each, slice) for each in key[:thick]))
        return part if rows < columns else part.T

    def _frame(self, own: int) -> int:
        return self._alignment.frame(own, str(self.layer.name))

    def _remember(self, own: int, region: tuple[slice, slice]) -> None:
        old, _ = self._regions.pop(own, (region, None))
        self._regions[own] = (_hull(old[0], region[0]), _hull(old[1], region[1])), None
        while len(self._regions) > _REMEMBERED:
            del self._regions[next(iter(self._regions))]

    def _checksum(self, own: int, region: tuple[slice, slice]) -> int:
        return _sum(self._read(own, region))

    def _regions_of(self, place: Any) -> Iterator[tuple[int, tuple[slice, slice]]]:
        """Give frames and regions of an edit, which napari names by slices or by index arrays."""
        frame, rows, columns = self._alignment.axes
        spans = [_span(part) for part in place]
        owns = range(1) if frame is None else range(spans[frame].start, spans[frame].stop)
        for own in owns:
            yield own, (spans[rows], spans[columns])


def _sum(image: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(image).view(np.uint8).data)


def _span(part: Any) -> slice:
    """Give the smallest range that holds a slice or some indices."""
    if isinstance(part, slice):
        return part
    indices = np.asarray(part)
    return slice(int(indices.min()), int(indices.max()) + 1) if indices.size else slice(0, 0)


def _hull(one: slice, other: slice) -> slice:
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def _ids(image: NDArray[Any]) -> tuple[int, ...]:
    """Give the ids of a label image, sorted, without 0."""
    if not image.any():
        return ()
    if image.dtype.kind in "bu" and int(image.max()) <= LARGEST_LABEL:
        return tuple(int(label) for label in np.flatnonzero(np.bincount(image.ravel())) if label)
    return tuple(int(label) for label in np.unique(image) if label)
