"""One writer at a time: a lock that the system lets go when its process ends, however it ends."""

import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from napari_masktrack.errors import OutputError
from napari_masktrack.io.refusal import reason, shown

LOCK_NAME = "session.lock"

_PLACE = 1 << 20  # Windows makes locked bytes unreadable, so lock one beyond the text


class FolderLock:
    """The right to write into a folder.

    Parameters
    ----------
    folder : Path
        Receives the file ``session.lock`` that says who holds it. The lock itself is the system's:
        after a crash the file remains, but no longer counts.

    Attributes
    ----------
    interrupted : bool
        Whether the holder before ended without letting go, after `acquire`.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self.interrupted = False
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    def acquire(self) -> None:
        """Take the lock, or say who has it.

        Raises
        ------
        OutputError
            Another process, or another window of this one, has it; or the folder cannot be written.
        """
        try:
            file = self.path.open("r+b" if self.path.exists() else "w+b")
        except OSError as error:
            folder = shown(self.path.parent)
            raise OutputError(
                f"{folder} cannot be written ({reason(error)}); open it read only, or choose another."
            ) from error
        owner = _read_owner(file)
        if not _take(file, owner):
            file.close()
            raise OutputError(
                f"The session {shown(self.path.parent)} is open elsewhere ({_describe(owner)}); "
                f"close it there, or open it read only."
            )
        self.interrupted = bool(owner)
        self._file = file
        self._write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))

    def look(self) -> str:
        """Tell whether the folder is 'free', 'open' elsewhere, or 'interrupted': left behind by a crash."""
        try:
            file = self.path.open("r+b")
        except OSError:
            return "free"
        with file:
            owner = _read_owner(file)
            here = (owner.get("pid"), owner.get("host")) == (os.getpid(), socket.gethostname())
            if here or not _take(file, owner):  # a lock of this process must not be tried: it might be lost
                return "open"
            _give(file)
        return "interrupted" if owner else "free"

    def release(self) -> None:
        """Let go; without the lock nothing happens."""
        if self._file is None:
            return
        self._write("")
        _give(self._file)
        self._file.close()
        self._file = None

    def _write(self, text: str) -> None:
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text.encode("ascii"))
        self._file.flush()


def _read_owner(file: IO[bytes]) -> dict[str, Any]:
    """Who wrote himself into the file; nobody after an orderly end."""
    try:
        text = file.read(_PLACE)
        owner = json.loads(text) if text else {}
    except (OSError, ValueError):
        return {"pid": None}
    return owner if isinstance(owner, dict) else {"pid": None}


def _describe(owner: dict[str, Any]) -> str:
    since = owner.get("since")
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(since)) if isinstance(since, int | float) else "?"
    return f"process {owner.get('pid', '?')} on {owner.get('host', 'this computer')} since {moment}"


if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes], owner: dict[str, Any]) -> bool:  # noqa: ARG001
        file.seek(_PLACE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _give(file: IO[bytes]) -> None:
        file.seek(_PLACE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file: IO[bytes], owner: dict[str, Any]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return not _is_alive(owner)  # some network disks know no locks
        return True

    def _give(file: IO[bytes]) -> None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)

    def _is_alive(owner: dict[str, Any]) -> bool:
        """Whether the process that wrote itself into the file still runs; unknown on another computer."""
        pid = owner.get("pid")
        if not isinstance(pid, int) or owner.get("host") != socket.gethostname():
            return bool(owner)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
