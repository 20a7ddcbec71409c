"""The frames of a result as they were before the last propagation, compressed in a temporary file."""

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.errors import WorkError
from napari_masktrack.io.refusal import reason, shown

Labels = NDArray[np.uint16]

ROOM = 2**20
"""Bytes that are taken before a former way back is given up; compressed label images need far less."""


class FormerFrames:
    """Keeps each frame once, outside the memory; gone with the object.

    Parameters
    ----------
    size : (int, int)
        Height and width of the frames.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._file: IO[bytes] | None = None
        self._end = 0
        self._places: dict[int, tuple[int, int, slice, slice] | None] = {}

    def __contains__(self, frame: int) -> bool:
        """Whether a frame is kept."""
        return frame in self._places

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that are kept, sorted."""
        return tuple(sorted(self._places))

    def reserve(self) -> None:
        """Take room for the first frame. Raises as `keep`."""
        try:
            with _temporary(_KEPT):
                file = self._open()
                file.write(bytes(ROOM))
                file.flush()
        except WorkError:
            self.close()
            raise

    def keep(self, frame: int, labels: Labels | None) -> None:
        """Keep a frame; None for one that there was not. Only the first counts.

        Raises
        ------
        WorkError
            The disk refused; the frame is not kept.
        """
        if frame in self._places:
            return
        if labels is None or not labels.any():
            self._places[frame] = None if labels is None else (0, 0, slice(0, 0), slice(0, 0))
            return
        rows, columns = _hull(labels, 0), _hull(labels, 1)
        packed = zlib.compress(labels[rows, columns].astype(np.uint16).tobytes(), 1)
        with _temporary(_KEPT):
            file = self._open()
            file.seek(self._end)
            file.write(packed)
            file.flush()  # else a full disk would be noticed only when the frame is wanted back
        self._places[frame] = self._end, len(packed), rows, columns
        self._end += len(packed)

    def get(self, frame: int) -> Labels | None:
        """Give a kept frame back; None if there was none.

        Raises
        ------
        WorkError
            The disk refused; it can be tried again.
        """
        place = self._places[frame]
        if place is None:
            return None
        start, length, rows, columns = place
        labels = np.zeros(self._size, np.uint16)
        if length:
            assert self._file is not None
            with _temporary(_READ):
                self._file.seek(start)
                packed = self._file.read(length)
            part = np.frombuffer(zlib.decompress(packed), np.uint16)
            labels[rows, columns] = part.reshape(rows.stop - rows.start, columns.stop - columns.start)
        return labels

    def close(self) -> None:
        """Forget everything."""
        if self._file is not None:
            with suppress(OSError):  # what the disk did not take is tried once more, and is wanted no more
                self._file.close()
        self._file, self._end, self._places = None, 0, {}

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="masktrack-")  # noqa: SIM115  closed by `close`
        return self._file


_KEPT = "could not be kept in {place} ({reason}); make room there, then try again."
_READ = "could not be read from {place} ({reason}); see that its drive is there, then try again."


@contextmanager
def _temporary(text: str) -> Iterator[None]:
    """Turn what the system says of the temporary file into a WorkError."""
    try:
        yield
    except OSError as error:
        said = text.format(place=shown(tempfile.gettempdir()), reason=reason(error))
        raise WorkError(f"The former masks {said}") from error


def _hull(labels: Labels, axis: int) -> slice:
    """Give the rows (axis 0) or columns (axis 1) that hold something."""
    used = np.flatnonzero(labels.any(axis=1 - axis))
    return slice(int(used[0]), int(used[-1]) + 1)
