"""What a session holds for each frame, label images and probabilities: Zarr arrays, one file per frame."""

import re
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_masktrack.errors import InputError, OutputError, WorkError
from napari_masktrack.io.masks import check_ids
from napari_masktrack.io.refusal import reason, refusing, shown
from napari_masktrack.io.session_files import is_gone, keep_damaged, refusal, sweep
from napari_masktrack.io.session_movie import MovieReference
from napari_masktrack.io.targets import saving
from napari_masktrack.io.writers import LabelWriter, Layout

_REMEMBERED = 3  # frames: painting reads the same one many times

_CHUNK = re.compile(r"([0-9]+)\.0\.0")


class Owner(Protocol):
    """The session, as far as its results need it."""

    folder: Path
    read_only: bool
    results: "SessionResults"

    @property
    def movie(self) -> MovieReference:
        """Which movie it belongs to."""

    def note_problem(self, problem: str) -> None:
        """Add to the problems."""

    def require_writable(self) -> None:
        """Refuse if the session is open to read only."""


class LabelStore:
    """Label images of a movie on disk, (T, Y, X), one chunk per frame.

    A Zarr array of format 2 compressed with zstd, which every Zarr reader understands. Each chunk is
    written to a file of its own that takes its place at the end; a frame that was never written has
    no file.

    Parameters
    ----------
    path : Path
        The folder, which is made when the first frame is written.
    frames : int
        Number of frames.
    shape : (int, int)
        Height and width.
    dtype : data type, default: uint16
        Of unsigned integers.
    """

    def __init__(
        self, path: Path, *, frames: int, shape: tuple[int, int], dtype: DTypeLike = np.uint16
    ) -> None:
        self.path, self.frames, self.shape, self.dtype = path, frames, shape, np.dtype(dtype)
        self._array: Any = None
        self._opening = threading.Lock()
        self._recent: dict[int, NDArray[Any]] = {}

    @property
    def written(self) -> tuple[int, ...]:
        """The frames that were written, sorted; raises as `read`."""
        with refusing(self.path, InputError):
            names = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        frames = (int(match[1]) for match in map(_CHUNK.fullmatch, names) if match)
        return tuple(sorted(frame for frame in frames if frame < self.frames and self._has(frame)))

    def read(self, frame: int) -> NDArray[Any]:
        """Read a frame, (Y, X), not to be written into; zeros if it was never written.

        The frames read last are remembered.

        Raises
        ------
        InputError
            The frame is damaged, or cannot be read now.
        """
        known = self._recent.get(frame)
        if known is not None:
            return known
        if not self._has(frame):
            return np.zeros(self.shape, self.dtype)
        try:
            image: NDArray[Any] = np.asarray(self.open()[frame])
        except InputError:
            raise
        except Exception as error:
            # Codecs raise anything here, RuntimeError included, which a worker would swallow.
            refused = isinstance(error, OSError) and error.errno is not None
            said = (
                f"cannot be read now ({reason(error)}); see that the drive is there, then try again."
                if refused
                else f"is damaged ({reason(error)}); propagate it again."
            )
            raise InputError(f"Frame {frame} of {shown(self.path)} {said}") from error
        self._remember(frame, image)
        return image

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Write a frame.

        Parameters
        ----------
        frame : int
            Index of the frame.
        labels : array, (Y, X), bool or integer
            Ids from 0 to 65535.

        Raises
        ------
        OutputError
            The frame or its size does not fit.
        AnnotationError
            The values cannot be ids.
        WorkError
            The disk refused.
        """
        if labels.shape != self.shape or not 0 <= frame < self.frames:
            raise OutputError(
                f"Labels of shape {labels.shape} for frame {frame} do not fit {shown(self.path)}, which has "
                f"{self.frames} frame(s) of {self.shape} pixels; propagate on the session's movie."
            )
        check_ids(labels, f"Frame {frame} of the result")
        with saving(self.path):
            image = labels.astype(self.dtype)
            self.open(create=True)[frame] = image
        self._remember(frame, image)

    def _has(self, frame: int) -> bool:
        path = self.path / f"{frame}.0.0"
        try:
            with refusing(path, InputError):
                return path.stat().st_size > 0
        except InputError as error:
            if is_gone(error):
                return False
            raise

    def _remember(self, frame: int, image: NDArray[Any]) -> None:
        recent = {number: each for number, each in self._recent.items() if number != frame}
        image.flags.writeable = False
        self._recent = dict([*recent.items(), (frame, image)][-_REMEMBERED:])

    def forget(self, frame: int) -> None:
        """Take a frame away, as if it had never been written."""
        self._recent = {number: each for number, each in self._recent.items() if number != frame}
        with saving(self.path):
            (self.path / f"{frame}.0.0").unlink(missing_ok=True)

    def reread(self) -> None:
        """Forget what is in memory, because the files are others now."""
        self._array, self._recent = None, {}

    def open(self, *, create: bool = False) -> Any:
        """Give the Zarr array.

        Parameters
        ----------
        create : bool, default: False
            Make it if there is none.

        Raises
        ------
        InputError
            There is none, it is damaged, or it is of another movie.
        """
        import zarr

        with self._opening:
            if self._array is not None:
                return self._array
            if not (self.path / ".zarray").exists() and create:
                self._array = self._create()
                return self._array
            with refusing(self.path, InputError):
                with zarr.config.set({"array.write_empty_chunks": True}):  # as in `_create`
                    array = zarr.open_array(self.path, mode="r+" if create else "r")
                if array.shape != (self.frames, *self.shape) or array.dtype != self.dtype:
                    raise InputError(
                        f"{shown(self.path)} is of another movie (shape {array.shape}); remove it."
                    )
            if create:
                self._array = array
            return array

    def _create(self) -> Any:
        import zarr

        attributes: dict[str, Any] = {"_ARRAY_DIMENSIONS": ["t", "y", "x"], "axes": "tyx"}
        compressor: Mapping[str, Any] = {"id": "zstd", "level": 1}
        return zarr.create_array(
            store=str(self.path),
            shape=(self.frames, *self.shape),
            chunks=(1, *self.shape),
            dtype=self.dtype,
            compressors=dict(compressor),
            fill_value=0,
            zarr_format=2,
            attributes=attributes,
            config={"write_empty_chunks": True},  # else an empty frame would look like a missing one
        )


class DetachedStore(LabelStore):
    """Frames of another store, which is left as it is: what is written or taken away counts here only.

    Parameters
    ----------
    path : Path
        The folder for what is written here.
    base : LabelStore
    note : callable
        Is told once of each frame there that is damaged, and what is wrong with it.
    """

    def __init__(self, path: Path, base: LabelStore, note: Callable[[int, str], object]) -> None:
        super().__init__(path, frames=base.frames, shape=base.shape, dtype=base.dtype)
        self._base, self._own, self._note = base, set[int](), note
        self._damaged: set[int] = set()

    @property
    def written(self) -> tuple[int, ...]:
        """The frames that were written here or there, and not taken away here, sorted."""
        base = set(self._base.written) - self._own - self._damaged
        return tuple(sorted({*super().written, *base}))

    def read(self, frame: int) -> NDArray[Any]:
        """Read a frame, see `LabelStore.read`; zeros where it is damaged there.

        Raises
        ------
        InputError
            The frame cannot be read now.
        """
        if frame in self._own:
            return super().read(frame)
        if frame not in self._damaged:
            try:
                return self._base.read(frame)
            except InputError as error:
                if refusal(error) is not None:
                    raise
                self._damaged.add(frame)
                self._note(frame, str(error))
        return np.zeros(self.shape, self.dtype)

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Write a frame here; see `LabelStore.write`."""
        super().write(frame, labels)
        self._own.add(frame)

    def forget(self, frame: int) -> None:
        """Take a frame away here."""
        super().forget(frame)
        self._own.add(frame)


class SessionResults(LabelStore):
    """What a session holds for each frame; a damaged array is put aside, and noted in its problems.

    Parameters
    ----------
    session : Owner
    name : str, default: "results.zarr"
        Of the folder in the session.
    dtype : data type, default: uint16
    """

    def __init__(self, session: Owner, name: str = "results.zarr", dtype: DTypeLike = np.uint16) -> None:
        movie = session.movie
        super().__init__(session.folder / name, frames=movie.frames, shape=movie.shape, dtype=dtype)
        self._session = session
        self._checked = False

    @property
    def written(self) -> tuple[int, ...]:
        """The frames that were written, sorted; none if the array is damaged."""
        self._check()
        return super().written

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Write a frame; see `LabelStore.write`."""
        self._session.require_writable()
        self._check()
        super().write(frame, labels)

    def forget(self, frame: int) -> None:
        """Take a frame away; see `LabelStore.forget`. Raises as `clear`."""
        self._session.require_writable()
        super().forget(frame)

    def reread(self) -> None:
        """As of `LabelStore`; also the session may be in another folder now."""
        super().reread()
        self.path = self._session.folder / self.path.name

    def clear(self) -> None:
        """Delete all frames.

        Raises
        ------
        OutputError
            The session is open to read only.
        WorkError
            The disk refused.
        """
        self._session.require_writable()
        self.reread()
        with saving(self.path):
            if self.path.exists():
                shutil.rmtree(self.path)

    def _check(self) -> None:
        if self._checked or not self.path.exists():
            return
        if not self._session.read_only:
            sweep(self.path)
        try:
            self.open()
        except InputError as error:
            try:
                said = keep_damaged(self.path, error, rename=not self._session.read_only)
            except WorkError as failed:
                said = f"{error} {failed}"
            self._session.note_problem(f"{said} The rest of the session was loaded.")
        self._checked = True


class SessionWriter(LabelWriter):
    """Writes results into a session, which may hold some: only frames that come are replaced.

    Parameters
    ----------
    session : Owner
        Open for writing.
    frames : range
        The frames that will come.
    """

    def __init__(self, session: Owner, frames: range) -> None:
        self._session = session
        layout = Layout(frames=len(frames), shape=session.movie.shape, first=frames.start)
        super().__init__(session.folder, layout)

    def _check(self) -> None:
        self._session.require_writable()

    def _write(self, frame: int, labels: NDArray[Any]) -> None:
        self._session.results.write(frame, labels)
