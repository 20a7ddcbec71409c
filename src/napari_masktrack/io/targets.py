"""Where results go: checked before work starts, and every file appears whole or not at all."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_masktrack.errors import OutputError, WorkError
from napari_masktrack.io.refusal import reason, shown


def check_new_file(path: Path) -> None:
    """Refuse a file that exists or cannot be created.

    Parameters
    ----------
    path : Path
        The file to be written.

    Raises
    ------
    OutputError
        It exists, is a folder, its folder is missing, or nothing can be written there.
    """
    if _ask(path, Path.is_dir):
        raise OutputError(f"{path} is a folder, but a file is needed; choose another name.")
    if _ask(path, Path.exists):
        raise OutputError(f"{path} exists already; choose another name, or delete it first.")
    _check_writable(path.parent)


def check_new_folder(path: Path) -> None:
    """Refuse a folder that holds anything or cannot be created; an empty one is welcome.

    Parameters
    ----------
    path : Path
        The folder to be filled; its parent must exist.

    Raises
    ------
    OutputError
        It is not empty, is a file, its parent is missing, or nothing can be written there.
    """
    if not _ask(path, Path.exists):
        _check_writable(path.parent)
    elif not _ask(path, Path.is_dir):
        raise OutputError(f"{path} is a file, but a folder is needed; choose another name.")
    elif _ask(path, lambda folder: any(folder.iterdir())):
        raise OutputError(f"The folder {path} is not empty; choose a new or an empty one.")
    else:
        _check_writable(path)


def check_folder(path: Path) -> None:
    """Refuse a folder that can neither be written into nor be made; what it holds may stay.

    Parameters
    ----------
    path : Path
        It and the folders above it need not exist.

    Raises
    ------
    OutputError
        It is a file, or lies in one, or nothing can be written there.
    """
    if _ask(path, Path.exists):
        if not _ask(path, Path.is_dir):
            raise OutputError(f"{path} is a file, but a folder is needed; choose another name.")
        _check_writable(path)
    else:
        check_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside a file; what was written there takes the file's place at the end.

    Parameters
    ----------
    path : Path
        The file to appear, or to be replaced.

    Yields
    ------
    Path
        Write here. After an error in the block this file is removed and ``path`` stays as it was.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn what the system says while a file is written into a WorkError."""
    try:
        yield
    except OSError as error:
        raise WorkError(
            f"{shown(path)} was not saved ({reason(error)}); make room or check the disk, then save again."
        ) from error


def _check_writable(folder: Path) -> None:
    if not _ask(folder, Path.is_dir):
        raise OutputError(f"The folder {folder} does not exist; create it, or choose another place.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(_closed_to_us(folder, error)) from error


def _ask(path: Path, question: Callable[[Path], bool]) -> bool:
    try:
        return question(path)
    except OSError as error:
        raise OutputError(_closed_to_us(path, error)) from error


def _closed_to_us(path: Path, error: OSError) -> str:
    return f"{path} cannot be written ({error.strerror or error}); choose another place."
