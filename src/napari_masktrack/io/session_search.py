"""Find earlier sessions of a movie in a folder, by what they say of themselves; reads no pixel."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_masktrack.errors import InputError
from napari_masktrack.io.session_files import read_json
from napari_masktrack.io.session_head import NAMES
from napari_masktrack.io.session_lock import FolderLock
from napari_masktrack.io.session_movie import MovieReference


@dataclass(frozen=True)
class EarlierSession:
    """A session that nobody has open.

    Attributes
    ----------
    folder : Path
    saved : float
        When it was saved last, in seconds since the epoch.
    interrupted : bool
        Whether its process ended without closing it.
    """

    folder: Path
    saved: float
    interrupted: bool


def earlier_sessions(
    parent: Path, *, path: str | None, name: str, frames: int, shape: tuple[int, int]
) -> list[EarlierSession]:
    """List the sessions in a folder that may be of a movie, the newest first.

    Parameters
    ----------
    parent : Path
        Holds the folders of sessions; may be missing.
    path : str or None
        The movie's file. Without one, name and length count.
    name : str
        The movie's name, without the planes at which it is held.
    frames : int
    shape : (int, int)
        Height and width in pixels.
    """
    found = []
    for file, movie in _movies(parent):
        same_file = path is not None and movie.path == str(Path(path).absolute())
        same_name = movie.name == name or movie.name.startswith(f"{name} (")
        if movie.shape == tuple(shape) and (same_file or (same_name and movie.frames == frames)):
            state = FolderLock(file.parent).look()
            if state != "open":
                saved = _saved(file.parent)
                found.append(EarlierSession(file.parent, saved, state == "interrupted"))
    return sorted(found, key=lambda each: each.saved, reverse=True)


def _movies(parent: Path) -> Iterator[tuple[Path, MovieReference]]:
    for file in parent.glob(f"*/{NAMES[0]}"):
        with suppress(InputError):  # a damaged one is said when it is opened
            yield file, MovieReference.from_json(read_json(file).get("movie", {}))


def _saved(folder: Path) -> float:
    """Give the time of the latest of the files and folders that change with the work."""
    parts = (*folder.glob("*"), *folder.glob("annotations/*"))
    times = []
    for each in parts:
        with suppress(OSError):  # it was replaced at this moment
            times.append(each.stat().st_mtime)
    return max(times, default=0.0)
