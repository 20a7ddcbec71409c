"""Files of a session: JSON and label images that appear whole or not at all, and damaged ones put aside."""

import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_masktrack.errors import InputError, MaskTrackError, OutputError, WorkError
from napari_masktrack.io.masks import check_ids, read_mask
from napari_masktrack.io.refusal import reason, refusing, shown
from napari_masktrack.io.targets import replacing, saving

T = TypeVar("T")

LEFT_OVER = ("*.part", "*.partial")
"""What a killed process leaves behind: our own unfinished files, and Zarr's."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises
    ------
    InputError
        It cannot be read, or is no such file.
    """
    with refusing(path, InputError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file; an existing one is replaced.

    Raises
    ------
    OutputError
        The content cannot be written as JSON.
    WorkError
        The disk refused.
    """
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"{shown(path.name)} cannot be written ({reason(error)}); use plain values."
        ) from error
    with saving(path), replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_labels(path: Path) -> NDArray[np.uint16]:
    """Read a label image, (Y, X), uint16.

    Raises
    ------
    AnnotationError
        The file is damaged, or holds no ids.
    """
    return read_mask(path).astype(np.uint16)


def write_labels(path: Path, labels: NDArray[Any]) -> None:
    """Write a label image as PNG, 8-bit where that holds the ids, else 16-bit.

    Parameters
    ----------
    path : Path
        An existing file is replaced; folders are made.
    labels : array, (Y, X), bool or integer
        Ids from 0 to 65535.

    Raises
    ------
    AnnotationError
        The values cannot be ids.
    WorkError
        The disk refused.
    """
    check_ids(labels, f"The label image for {shown(path.name)}")
    small = labels.size and int(labels.max()) <= 255
    image = Image.fromarray(np.ascontiguousarray(labels, np.uint8 if small else np.uint16))
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            image.save(part, format="PNG", compress_level=1)


def list_frames(folder: Path, note: Callable[[str], object]) -> tuple[int, ...]:
    """List the frames that have a label image in a folder, sorted.

    Parameters
    ----------
    folder : Path
        May be missing.
    note : callable
        Is told of images that have a number for a name, but not as a session writes it.

    Raises
    ------
    InputError
        The folder cannot be read.
    """
    frames = []
    with refusing(folder, InputError):
        paths = sorted(folder.iterdir()) if folder.exists() else []
    for path in paths:
        if path.suffix != ".png" or not path.stem.isdecimal():
            continue
        name = f"{int(path.stem):05d}.png"
        if path.name == name:
            frames.append(int(path.stem))
        else:
            note(f"{shown(path)} was left out; if it is the drawing of that frame, name it {name}.")
    return tuple(sorted(frames))


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with the columns' names in its first line.

    Raises
    ------
    InputError
        It cannot be read.
    """
    with refusing(path, InputError), path.open(encoding="utf-8", newline="") as stream:
        return [dict(row) for row in csv.DictReader(stream)]


def remove(path: Path) -> None:
    """Delete a file that may be gone already.

    Raises
    ------
    WorkError
        The disk refused.
    """
    with saving(path):
        path.unlink(missing_ok=True)


def attempt(
    path: Path, read: Callable[[Path], T], note: Callable[[str], object], *, rename: bool
) -> T | None:
    """Read a file of a session, which goes on without it; None if it is gone or damaged.

    Parameters
    ----------
    path : Path
    read : callable
    note : callable
        Is told of damage.
    rename : bool
        Whether to put a damaged file aside.

    Raises
    ------
    InputError, WorkError
        As `keep_damaged`.
    """
    try:
        return read(path)
    except InputError as error:
        if not is_gone(error):
            note(f"{keep_damaged(path, error, rename=rename)} The rest of the session was loaded.")
        return None


def is_gone(error: InputError) -> bool:
    """Whether a file could not be read because there is none any more."""
    return refusal(error) == errno.ENOENT


def keep_damaged(path: Path, error: InputError, *, rename: bool = True) -> str:
    """Rename a damaged file or folder, and say so; see `put_aside`.

    Parameters
    ----------
    path : Path
    error : InputError
        What was raised when it was read.
    rename : bool, default: True
        If not, everything is only said.

    Raises
    ------
    InputError
        The system refused to read it, which tells nothing of its content: it is left as it is.
    WorkError
        It cannot be renamed.
    """
    if refusal(error) is not None:
        raise InputError(
            f"{error} Nothing was changed: see that the drive is there and lets you read it, then try again."
        ) from error
    return f"{error} It was kept as {put_aside(path)}." if rename else str(error)


def put_aside(path: Path) -> str:
    """Rename a damaged file or folder, so that nothing is written over it; gives the new name."""
    for number in range(1000):
        place = path.with_name(f"{path.name}.damaged{number or ''}")
        if not place.exists():
            with saving(path):
                os.replace(path, place)
            return place.name
    raise WorkError(f"{shown(path.parent)} holds a thousand damaged files; clear it up.")


def sweep(folder: Path) -> None:
    """Delete the unfinished files that a killed process left in a folder."""
    for pattern in LEFT_OVER:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def refusal(error: BaseException | None) -> int | None:
    """Give the number of what the system said when it refused to read; None where it gave what there is."""
    while isinstance(error, MaskTrackError):
        error = error.__cause__
    return error.errno if isinstance(error, OSError) else None
