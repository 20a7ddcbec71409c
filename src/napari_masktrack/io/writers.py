"""Writers of label images: one frame at a time, in any order, never the whole movie in memory.

A writer refuses a bad target when it is made, before any work. What was written before a writer is
closed is kept, also when it is closed early because the work was interrupted. A single file is put
together at the closing; if its disk refuses that, it goes into the system's folder for temporary
files, and only if that refuses too, the frames are lost, which is said.
"""

import shutil
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_masktrack.errors import MaskTrackError, OutputError, WorkError
from napari_masktrack.io.targets import check_new_file, check_new_folder, replacing

Labels = npt.NDArray[Any]

LARGEST = 65535
CLASSIC_TIFF = 2**32 - 2**26  # larger files need 64-bit offsets (BigTIFF)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a writer must know before the first frame comes."""

    frames: int
    """How many frames will come."""
    shape: tuple[int, int]
    """Rows and columns of each."""
    labels_max: int = LARGEST
    """The largest id that may come; up to 255 it is stored in 8 bits, up to 65535 in 16."""
    first: int = 0
    """The index of the first frame in its movie."""

    def __post_init__(self) -> None:
        """Refuse numbers that no format can hold.

        Raises
        ------
        OutputError
            No frames, an empty frame, or ids beyond 65535.
        """
        if self.frames < 1 or self.first < 0 or min(self.shape) < 1:
            what = f"{self.frames} frames of {self.shape} pixels from frame {self.first} on"
            raise OutputError(f"There is nothing to save in {what}; give at least one frame.")
        if not 0 <= self.labels_max <= LARGEST:
            raise OutputError(f"Label {self.labels_max} cannot be saved; give ids from 1 to {LARGEST}.")

    @property
    def indices(self) -> range:
        """The frame numbers that are expected."""
        return range(self.first, self.first + self.frames)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds every id."""
        return np.dtype(np.uint8 if self.labels_max <= 255 else np.uint16)

    def number(self, frame: int, digits: int) -> str:
        """Give a frame's number with leading zeros, the same width for all frames."""
        return f"{frame:0{max(digits, len(str(self.indices[-1])))}d}"


class LabelWriter(ABC):
    """Takes label images frame by frame; a context manager.

    Parameters
    ----------
    path : path-like
        The file or folder to be written.
    layout : Layout
        Frames, shape and ids that will come.

    Raises
    ------
    OutputError
        The target is taken or cannot be written.
    """

    def __init__(self, path: str | PathLike[str], layout: Layout) -> None:
        self.path, self.layout = Path(path), layout
        self._written: set[int] = set()
        self._failed: WorkError | None = None
        self._closed = False
        self._check()

    @property
    def missing(self) -> tuple[int, ...]:
        """The frames that have not been written, in order; also known after closing."""
        return tuple(index for index in self.layout.indices if index not in self._written)

    def write(self, frame: int, labels: Labels) -> None:
        """Write one frame; a frame written twice keeps the later labels.

        Parameters
        ----------
        frame : int
            The frame's index in its movie, from ``layout.first`` on.
        labels : ndarray
            (Y, X), integer or boolean, 0 for background.

        Raises
        ------
        OutputError
            The frame, its shape, its type or an id is not what the layout announced.
        WorkError
            The disk refused; what becomes of frames written before, `close` says.
        """
        if self._closed:
            raise OutputError(f"{self.path} is closed already; open a new writer for frame {frame}.")
        checked = self._checked(frame, labels)
        frame = int(frame)
        try:
            self._write(frame, checked)
        except OSError as error:
            self._failed = WorkError(
                f"Frame {frame} was not saved in {self.path} ({_reason(error)}); make room."
            )
            raise self._failed from error
        self._written.add(frame)

    def close(self) -> None:
        """Complete what was written; without any frame nothing is left behind.

        Raises
        ------
        WorkError
            The disk refused; says where the frames are now, or that they are lost, and which frame was
            refused before.
        """
        try:
            self._complete()
        except WorkError as error:
            if self._failed is None:
                raise
            raise WorkError(f"{self._failed} {error}") from error

    def __enter__(self) -> Self:
        """Give the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, whatever happened in the block; its error stays, with what went wrong at the closing."""
        try:
            self._complete()
        except WorkError as failed:
            if isinstance(error, MaskTrackError):
                raise type(error)(f"{error} {failed}") from error
            if not isinstance(error, Exception):
                raise
            error.add_note(str(failed))

    @abstractmethod
    def _check(self) -> None:
        """Refuse a bad target with an OutputError."""

    @abstractmethod
    def _write(self, frame: int, labels: Labels) -> None:
        """Keep one frame of the layout's dtype."""

    def _finish(self) -> None:  # noqa: B027  formats of independent files have nothing left to do
        """Do what remains after the last frame; once more with another path, if the disk refuses a file."""

    def _discard(self) -> None:  # noqa: B027  only some formats hold anything
        """Let go what is not needed any more."""

    def _complete(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        except OSError as error:
            raise WorkError(f"{self.path} was not completed ({_reason(error)}); {self._rescue()}") from error
        finally:
            self._discard()

    def _rescue(self) -> str:
        """Put a single file together in another place; says what to do."""
        if self.path.is_dir():
            return "the frames in there are kept; make room, save again."
        target = self.path
        try:
            self.path = Path(tempfile.mkdtemp(prefix="masktrack-")) / target.name
            self._finish()
        except OSError as error:
            if self.path != target:
                shutil.rmtree(self.path.parent, ignore_errors=True)
            said = "nor could it be written to the folder for temporary files"
            return f"{said} ({_reason(error)}): its frames are lost; make room, compute them again."
        else:
            return f"it was written to {self.path} instead: move it from there."
        finally:
            self.path = target

    def _checked(self, frame: int, labels: Labels) -> Labels:
        layout, labels = self.layout, np.asarray(labels)
        if frame not in layout.indices:
            first, last = layout.indices[0], layout.indices[-1]
            raise OutputError(
                f"Frame {frame} cannot be saved in {self.path}; it was opened for {first} to {last}."
            )
        if labels.shape != layout.shape:
            raise OutputError(
                f"The labels of frame {frame} have the shape {labels.shape}; give {layout.shape}."
            )
        if labels.dtype.kind not in "bui":
            raise OutputError(f"The labels of frame {frame} are {labels.dtype}; give whole numbers.")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high > layout.labels_max:
            worst = low if low < 0 else high
            raise OutputError(
                f"Frame {frame} has the label {worst}; give labels from 0 to {layout.labels_max}."
            )
        return labels.astype(layout.dtype)


class PngWriter(LabelWriter):
    """A folder with one grey 8- or 16-bit PNG per frame, named by zero-padded index (``00000.png``)."""

    def _check(self) -> None:
        check_new_folder(self.path)

    def _write(self, frame: int, labels: Labels) -> None:
        self.path.mkdir(exist_ok=True)
        with replacing(self.path / f"{self.layout.number(frame, 5)}.png") as part:
            Image.fromarray(labels).save(part, format="PNG")


class TifWriter(LabelWriter):
    """One TIFF stack, deflate-compressed, a page and a strip per frame; missing frames are zero.

    Label images shrink a hundredfold, so compressed frames wait in an unnamed file beside the target
    in the order in which they come, and are put in order, still compressed, when the writer closes.
    Any reader can then fetch any single frame without reading the others. For that moment there must
    be room for the compressed frames twice.
    """

    _spool: IO[bytes] | None = None

    def _check(self) -> None:
        check_new_file(self.path)
        self._places: dict[int, tuple[int, int]] = {}

    def _write(self, frame: int, labels: Labels) -> None:
        if self._spool is None:
            # unbuffered, so that a full disk refuses this frame, and not a later one or all
            self._spool = tempfile.TemporaryFile(dir=self.path.parent, buffering=0)  # noqa: SIM115
        page = self._compress(labels)
        start = self._spool.seek(0, 2)
        rest = memoryview(page)
        while rest:
            rest = rest[self._spool.write(rest) :]
        self._places[frame] = start, len(page)

    def _finish(self) -> None:
        if self._spool is None:
            return
        import tifffile

        layout = self.layout
        with replacing(self.path) as part:
            size = self._spool.seek(0, 2) + 1024 * layout.frames
            tifffile.imwrite(
                part,
                self._pages(self._spool),
                shape=(layout.frames, *layout.shape),
                dtype=layout.dtype,
                byteorder="<",
                bigtiff=size > CLASSIC_TIFF,
                photometric="minisblack",
                compression="zlib",
                rowsperstrip=layout.shape[0],
                metadata={"axes": "TYX"},
            )

    def _discard(self) -> None:
        if self._spool is not None:
            self._spool.close()

    def _pages(self, spool: IO[bytes]) -> Iterator[bytes]:
        empty = self._compress(np.zeros(self.layout.shape, self.layout.dtype))
        for frame in self.layout.indices:
            start, length = self._places.get(frame, (0, 0))
            spool.seek(start)
            yield spool.read(length) if length else empty

    def _compress(self, labels: Labels) -> bytes:
        return zlib.compress(labels.astype(labels.dtype.newbyteorder("<")).tobytes(), 4)


class ZarrWriter(LabelWriter):
    """A Zarr array (format 2, axes t y x), one compressed chunk per frame; missing frames are zero.

    Format 2 and zlib are what every Zarr reader of any language and age understands.
    """

    _array: Any = None
    _begun = False

    def _check(self) -> None:
        check_new_folder(self.path)
        self._was_there = self.path.exists()

    def _write(self, frame: int, labels: Labels) -> None:
        self._begun = True
        if self._array is None:
            self._array = self._create()
        self._array[frame - self.layout.first] = labels

    def _finish(self) -> None:
        if self._begun and not self._written and self.path.exists():
            shutil.rmtree(self.path)  # an array without frames would only take the place
            if self._was_there:
                self.path.mkdir()

    def _create(self) -> Any:
        import zarr

        zlib_level: dict[str, Any] = {"id": "zlib", "level": 4}
        axes: dict[str, Any] = {"_ARRAY_DIMENSIONS": ["t", "y", "x"], "axes": "tyx"}
        return zarr.create_array(
            store=str(self.path),
            shape=(self.layout.frames, *self.layout.shape),
            chunks=(1, *self.layout.shape),
            dtype=self.layout.dtype,
            compressors=zlib_level,
            fill_value=0,
            zarr_format=2,
            attributes=axes | {"first_frame": self.layout.first},
            config={
                "write_empty_chunks": True
            },  # a finished frame without objects differs from a missing one
        )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
