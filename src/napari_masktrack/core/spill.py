"""Pieces of frames that wait for their other half, on disk, so that memory does not grow."""

import os
import zlib
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_masktrack.core.carrier import Piece
from napari_masktrack.errors import WorkError

_HEAD, _FACTS = 4, 7


class Spill:
    """A temporary store of pieces by frame; gone when the context is left."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        self._there: set[tuple[int, str]] = set()

    def __enter__(self) -> Self:
        """Open the store; nothing is written until something has to wait."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete what is left."""
        if self._folder is not None:
            self._folder.cleanup()

    def put(self, frame: int, pieces: list[Piece], *, kind: str = "carried") -> None:
        """Keep the pieces of a frame; probabilities in half precision.

        Parameters
        ----------
        frame : int
        pieces : list of Piece
        kind : str
            Each frame has a place for every kind.

        Raises
        ------
        WorkError
            The temporary folder cannot be written.
        """
        facts = [(p.label, *p.box, p.source, p.confidence) for p in pieces]
        values = b"".join(p.values.astype(np.float16).tobytes() for p in pieces)
        try:
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix="masktrack-")
            with open(self._path(frame, kind), "wb") as file:
                file.write(len(pieces).to_bytes(_HEAD, "little") + np.array(facts, float).tobytes())
                file.write(zlib.compress(values, level=1))
        except OSError as error:
            raise WorkError(
                f"Frame {frame} cannot be kept in the temporary folder ({error.strerror or error}); "
                "make room there, or let TMPDIR name a folder with room."
            ) from error
        self._there.add((frame, kind))

    def take(self, frame: int, *, kind: str = "carried") -> list[Piece]:
        """Return the pieces of a frame and forget them; none is an empty list.

        Raises
        ------
        WorkError
            What was put cannot be read any more.
        """
        if (frame, kind) not in self._there:
            return []
        self._there.remove((frame, kind))
        path = self._path(frame, kind)
        try:
            with open(path, "rb") as file:
                count = int.from_bytes(file.read(_HEAD), "little")
                facts = np.frombuffer(file.read(count * _FACTS * 8)).reshape(count, _FACTS)
                values = np.frombuffer(zlib.decompress(file.read()), np.float16)
            os.remove(path)
        except (OSError, ValueError, zlib.error) as error:
            raise WorkError(
                f"Frame {frame} cannot be read back from the temporary folder ({error}); keep other programs "
                "from clearing it, or let TMPDIR name another, then run again."
            ) from error
        pieces, start = [_piece(each) for each in facts], 0
        for piece in pieces:
            piece.values[...] = values[start : start + piece.values.size].reshape(piece.values.shape)
            start += piece.values.size
        return pieces

    def _path(self, frame: int, kind: str) -> str:
        # no Path: the interpreter would keep a growing table of all the frames' names
        assert self._folder is not None
        return os.path.join(self._folder.name, f"{frame}.{kind}")


def _piece(facts: npt.NDArray[np.float64]) -> Piece:
    """Return a piece whose values are still to be filled in."""
    label, y0, x0, y1, x1, source = (int(fact) for fact in facts[:6])
    return Piece(label, np.empty((y1 - y0, x1 - x0), np.float32), (y0, x0, y1, x1), float(facts[6]), source)
