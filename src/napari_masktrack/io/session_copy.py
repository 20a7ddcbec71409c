"""Go on with a session in another folder: all is copied there while work goes on, then it is the session."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.errors import OutputError
from napari_masktrack.io.refusal import shown
from napari_masktrack.io.session_head import NAMES, is_free
from napari_masktrack.io.session_lock import LOCK_NAME, FolderLock
from napari_masktrack.io.targets import saving

if TYPE_CHECKING:
    from napari_masktrack.io.session import Session

_Version = tuple[int, int, int]


class SessionCopy:
    """A copy of a session that is being made; see `Session.go_on_in`.

    Parameters
    ----------
    session : Session
        Open for writing.
    folder : Path
        New or empty; locked from now on.

    Raises
    ------
    OutputError
        The folder holds something, lies within the session, or cannot be written.
    """

    def __init__(self, session: "Session", folder: Path) -> None:
        session.require_writable()
        self.source, self.folder = session.folder, folder
        if folder.absolute().is_relative_to(self.source.absolute()):
            raise OutputError(f"{shown(folder)} lies within the session itself; choose another place.")
        if folder.exists() and not (folder.is_dir() and is_free(folder)):
            raise OutputError(f"{shown(folder)} is not an empty folder; choose a new one.")
        with saving(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.lock = FolderLock(folder)
        self.lock.acquire()
        self._copied: dict[Path, _Version] = {}

    def run(self) -> Iterator[Path]:
        """Copy, in any thread; yields each file. If it is not driven to its end, nothing stays.

        Raises
        ------
        WorkError
            The disk refused.
        """
        try:
            yield from self._copy()
        except BaseException:
            self.drop()
            raise

    def finish(self) -> None:
        """Copy what was changed meanwhile, and take away what is gone; nobody writes. Raises as `run`."""
        for _ in self._copy():
            pass
        with saving(self.folder):
            for name in set(self._copied) - set(self._files()):
                (self.folder / name).unlink(missing_ok=True)

    def drop(self) -> None:
        """Take the copy away."""
        self.lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copy(self) -> Iterator[Path]:
        for name in self._files():
            source, target = self.source / name, self.folder / name
            with saving(target):
                try:
                    version = _version(source)
                    if self._copied.get(name) == version:
                        continue
                    target.parent.mkdir(parents=True, exist_ok=True)
                    part = target.with_name(f"{target.name}.part")
                    shutil.copyfile(source, part)
                except FileNotFoundError:
                    continue  # it left meanwhile, or was replaced; `finish` looks again
                os.replace(part, target)
            self._copied[name] = version
            yield name

    def _files(self) -> list[Path]:
        """Give the files of the session; last those by which it is recognised."""
        names = [path.relative_to(self.source) for path in self.source.rglob("*") if path.is_file()]
        kept = [name for name in names if name.name != LOCK_NAME and not name.name.endswith(".part")]
        return sorted(kept, key=lambda name: (str(name) in NAMES, name))


def _version(path: Path) -> _Version:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
