"""Frames over a movie in a layer, in memory or on disk, in the session besides, and with a way back."""

import tempfile
import warnings
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from napari.components import Dims
from napari.layers import Layer
from numpy.typing import NDArray

from napari_masktrack.errors import InputError, MaskTrackError, MaskTrackWarning
from napari_masktrack.io.session import Session
from napari_masktrack.io.session_results import DetachedStore, LabelStore
from napari_masktrack.layers.create import notes_of
from napari_masktrack.layers.former import FormerFrames
from napari_masktrack.layers.frames import FrameArray
from napari_masktrack.layers.movie import LayerMovie

IN_MEMORY_UP_TO = 2**30
"""Bytes from which on frames lie on disk."""


class StoredFrames:
    """What results and probabilities share; only for the main thread.

    Up to `IN_MEMORY_UP_TO` bytes the layer holds a NumPy array, beyond it an array on disk of which
    napari reads the frame it shows. With a session each frame is on disk besides, as soon as it is
    written; without one, temporary files go with the layer.

    Parameters
    ----------
    view : LayerMovie
    session : Session, optional
        Open for writing. What it holds is taken over by `restore`.
    in_memory_up_to : int, optional
        Bytes.

    Attributes
    ----------
    layer : napari layer
        Named after the movie; to be added to the viewer.
    session : Session or None
        Where frames go besides.
    """

    dtype: ClassVar[Any] = np.uint16
    layer: Any

    def __init__(
        self, view: LayerMovie, *, session: Session | None = None, in_memory_up_to: int = IN_MEMORY_UP_TO
    ) -> None:
        self.view, self.session = view, session
        self._done: set[int] = set()
        self._former = FormerFrames(view.layout.size)
        self._begun = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        kept = None if session is None else self._kept_in(session)
        self._unread = set() if kept is None else set(kept.written)
        self._restoring = False
        self._going_back: Iterator[int] | None = None
        shape = view.layout.shape
        if np.dtype(self.dtype).itemsize * int(np.prod(shape, dtype=np.int64)) <= in_memory_up_to:
            array: Any = np.zeros(shape, self.dtype)
        else:
            array = FrameArray(view.layout, kept or self._temporary(), self.dtype)
        self.layer = self._make_layer(array)
        if session is not None:
            notes_of(self.layer)["session"] = str(session.folder.absolute())
        if self._folder is not None:  # not with the store: the layer may stay in the viewer
            weakref.finalize(self.layer, self._folder.cleanup)

    def _make_layer(self, array: Any) -> Layer:
        raise NotImplementedError

    def _kept_in(self, session: Session) -> LabelStore:
        """Give where a session keeps such frames."""
        raise NotImplementedError

    @property
    def on_disk(self) -> bool:
        """Whether the layer's array is on disk."""
        return isinstance(self.layer.data, FrameArray)

    @property
    def lies_in_session(self) -> bool:
        """Whether the layer's array is the session's own, so that each stroke is in it at once."""
        return (
            self.on_disk
            and self.session is not None
            and self.layer.data.source is self._kept_in(self.session)
        )

    @property
    def done(self) -> tuple[int, ...]:
        """The frames that are there, sorted."""
        return tuple(sorted(self._done))

    @property
    def unread(self) -> int:
        """How many frames `restore` has still to take over; 0 when it does not run."""
        return len(self._unread) if self._restoring else 0

    def labels(self, frame: int) -> NDArray[Any]:
        """Copy a frame, (Y, X); zeros if there is none."""
        return np.array(self.layer.data[self.view.layout.key(frame)], self.dtype)

    # A session

    def restore(self) -> Iterator[int]:
        """Take over what the session holds, one frame at each step; yields how many are left.

        A damaged frame is left out and noted in the session's problems. Nobody paints meanwhile.
        """
        self._restoring = self.session is not None
        self.layer.editable = not self._restoring
        return self._restore()

    def _restore(self) -> Iterator[int]:
        try:
            if self._restoring:
                self._restore_numbers()
            for frame in sorted(self._unread):
                if not self._restoring or self.session is None:
                    return
                if self._take_over(frame):
                    yield self.unread
            self._restored()
            self.layer.refresh(extent=False)
        finally:
            self._restoring = False
            self.layer.editable = True

    def _restore_numbers(self) -> None:
        """Take over what belongs to the frames."""

    def _restored(self) -> None:
        """Show what was taken over."""

    def _take_over(self, frame: int) -> bool:
        """Read a frame of the session that was not read yet; tells whether it was there and sound."""
        if frame not in self._unread or self.session is None:
            return False
        self._unread.discard(frame)
        try:
            image = self._kept_in(self.session).read(frame)
        except InputError as error:
            self.session.note_problem(str(error))
            return False
        self._done.add(frame)
        if not self.on_disk:
            self.layer.data[self.view.layout.key(frame)] = image
        return True

    def save_to(self, session: Session) -> Iterator[int]:
        """Write the frames into a session that was made later, one at each step; yields what is left.

        What is written or taken back meanwhile goes into the session, too.

        Raises
        ------
        OutputError, WorkError
            The session is read only or of another movie, or the disk refused.
        """
        frames, self.session = self.done, session
        try:
            for number, frame in enumerate(frames, start=1):
                image = self.labels(frame)  # which may show that it is damaged, and not there
                if frame in self._done and self.session is session:
                    self._kept_in(session).write(frame, image)
                yield len(frames) - number
        except MaskTrackError:
            self.session = None
            raise

    def leave_session(self) -> None:
        """Write into the session no more, which is being closed; a layer on disk goes on in other files.

        What `restore` has not taken over yet, the layer reads from the session when it is looked at.
        """
        self._finish_reverting()
        behind = self.lies_in_session or self._restoring
        session, self.session = self.session, None
        if behind and session is not None:
            self._read_from(self._kept_in(session))
        self._unread, self._restoring = set(), False

    def _read_from(self, store: LabelStore) -> None:
        """Go on with the frames of a store that is left as it is."""
        detached = DetachedStore(self._place(), store, self._lose)
        assert self._folder is not None
        weakref.finalize(self.layer, self._folder.cleanup)
        if self.on_disk:
            self.layer.data.source = detached
        else:
            self.layer.data = FrameArray(self.view.layout, detached, self.dtype)
        if self._restoring:
            self._done |= self._unread
            self._restored()
            self.layer.editable = True

    def _lose(self, frame: int, said: str) -> None:
        """Take note that a frame of the session that was left is damaged; napari shows the warning."""
        self._done.discard(frame)
        warnings.warn(said, MaskTrackWarning, stacklevel=2)

    def close(self, *, gone: bool = False) -> None:
        """Let the session go and forget former frames.

        Parameters
        ----------
        gone : bool, default: False
            Whether the user deleted the layer: then its temporary files go now. If not, the layer keeps
            its pixels.
        """
        self._finish_reverting()
        self._former.close()
        if not gone:
            self.leave_session()
        elif self._folder is not None:
            self._folder.cleanup()
        self._restoring = False

    # Frames

    def _started(self) -> bool:
        """Tell whether a propagation begins with this frame, which ends the way back of the last one.

        Raises
        ------
        WorkError
            There is no room for a new way back; the last one stays.
        """
        if not self._begun:
            return False
        following = FormerFrames(self.view.layout.size)
        if self._former.frames:
            following.reserve()
        self._former.close()
        self._former, self._begun = following, False
        return True

    def _replace(self, frame: int, image: NDArray[Any] | None) -> None:
        """Write a frame, or take it away; what was there before is kept for the way back."""
        self._take_over(frame)
        self._former.keep(frame, self.labels(frame) if frame in self._done else None)
        self._put(frame, image)

    def revert(self) -> tuple[int, ...]:
        """Take the last propagation back at once; gives the frames that were changed back, sorted.

        Raises
        ------
        WorkError
            The disk refused; it can be tried again.
        """
        frames = self._former.frames
        for _ in self.reverting():
            pass
        return frames

    def reverting(self) -> Iterator[int]:
        """As `revert`, one frame at each step; yields how many are left. Nobody paints meanwhile.

        What is left when the session or the layer is closed is done then.
        """
        self._going_back = self._go_back()
        return self._going_back

    @property
    def former_frames(self) -> tuple[int, ...]:
        """The frames that `revert` changes back, sorted."""
        return self._former.frames

    @property
    def is_reverting(self) -> bool:
        """Whether `reverting` has begun and not ended."""
        return self._going_back is not None

    def _go_back(self) -> Iterator[int]:
        frames, editable = self._former.frames, self.layer.editable
        self.layer.editable = False
        try:
            for number, frame in enumerate(frames, start=1):
                former = self._former.get(frame)
                self._put(frame, None if former is None else former.astype(self.dtype))
                yield len(frames) - number
            self._former.close()
            self._reverted(frames)
        finally:
            self._going_back = None
            self.layer.editable = editable
        self.layer.refresh(extent=False)

    def _reverted(self, frames: tuple[int, ...]) -> None:
        """Bring back what belongs to the frames."""

    def _finish_reverting(self) -> None:
        with suppress(MaskTrackError):  # what the disk refuses now can be tried no more
            for _ in self._going_back or ():
                pass

    def _put(self, frame: int, image: NDArray[Any] | None) -> None:
        """Write a frame into the array and the session; None takes it away."""
        array, key = self.layer.data, self.view.layout.key(frame)
        if image is None:
            self._done.discard(frame)
            for store in self._stores():
                store.forget(frame)
            if not self.on_disk:
                array[key] = 0
            return
        self._done.add(frame)
        if not self.on_disk:
            array[key] = image
        for store in self._stores():
            store.write(frame, image)

    def _stores(self) -> list[LabelStore]:
        own = [self.layer.data.source] if self.on_disk else []
        session = [] if self.session is None else [self._kept_in(self.session)]
        return own + [store for store in session if store not in own]

    def _redraw(self, frame: int, dims: Dims | None) -> None:
        if dims is None or (dims.ndisplay == 2 and self.view.shows_frame(dims, frame)):
            self.layer.refresh(extent=False, highlight=False)

    def _place(self) -> Path:
        """Give a new place for temporary files."""
        self._folder = tempfile.TemporaryDirectory(prefix="masktrack-", ignore_cleanup_errors=True)
        return Path(self._folder.name) / "frames.zarr"

    def _temporary(self) -> LabelStore:
        layout = self.view.layout
        return LabelStore(self._place(), frames=layout.frames, shape=layout.size, dtype=self.dtype)
