"""The file ``session.json``: which movie, with which settings, objects and absent marks."""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

from napari_masktrack import __version__
from napari_masktrack.errors import InputError, MovieError
from napari_masktrack.io.refusal import shown
from napari_masktrack.io.session_drawings import Mark
from napari_masktrack.io.session_files import is_gone, keep_damaged, read_json, write_json
from napari_masktrack.io.session_lock import LOCK_NAME
from napari_masktrack.io.session_movie import MovieReference

NAMES = ("session.json", "session.backup.json")
"""The file, and a second copy of it."""

_FORMAT = "napari-masktrack session"
_VERSION = 1


@dataclass(frozen=True)
class SessionObject:
    """What the user calls an object, and how it is shown.

    Attributes
    ----------
    name : str
    colour : tuple of four floats, or None
        Red, green, blue and alpha from 0 to 1; None for the colour that follows from the id.
    """

    name: str = ""
    colour: tuple[float, ...] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Take what `to_json` gave."""
        colour = content.get("colour")
        return cls(str(content.get("name", "")), None if colour is None else tuple(map(float, colour)))

    def to_json(self) -> dict[str, Any]:
        """Give plain values for a JSON file."""
        return {"name": self.name, "colour": None if self.colour is None else list(map(float, self.colour))}


class Head:
    """The content of ``session.json``; each change is written at once, from any thread.

    Attributes
    ----------
    movie : MovieReference
    problems : list of str
        What was damaged when it was read.
    """

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        self._folder, self._content = folder, content
        self._writing = threading.Lock()
        self.movie = MovieReference.from_json(content.get("movie", {}))
        self.problems: list[str] = []
        self._check()

    @classmethod
    def new(cls, folder: Path, movie: MovieReference, settings: Mapping[str, Any]) -> Self:
        """Begin; nothing is written yet."""
        created = time.strftime("%Y-%m-%dT%H:%M:%S")
        content = {"format": _FORMAT, "version": _VERSION, "created": created, "movie": movie.to_json()}
        return cls(folder, content | {"settings": dict(settings), "objects": {}, "absent": []})

    @classmethod
    def read(cls, folder: Path, *, heal: bool = False) -> Self:
        """Read the file, or its copy if the file is damaged.

        Parameters
        ----------
        folder : Path
        heal : bool, default: False
            Rename a damaged file, and write it anew from its copy.

        Raises
        ------
        InputError
            Both are damaged, it is of no session, a later version made it, or it cannot be read now.
        WorkError
            The disk refused.
        """
        file, copy = (folder / name for name in NAMES)
        try:
            return cls(folder, read_json(file))
        except InputError as error:
            try:
                head = cls(folder, read_json(copy))
            except InputError:
                raise error from None
            said = f"{error} Its copy {copy.name} was used"
            if not is_gone(error):
                keep_damaged(file, error, rename=heal)
                said += "; a damaged one is put aside before it is written anew"
        head.problems = [
            f"{said}."
        ]  # the same for who only looks, else a window that does both says it twice
        if heal:
            head.change()
        return head

    def change(self, **parts: Any) -> None:
        """Replace parts of the content and write both copies.

        Raises
        ------
        OutputError
            A value cannot be written as JSON; the content stays as it was.
        WorkError
            The disk refused.
        """
        with self._writing:
            content = self._content | parts
            for name in NAMES:
                write_json(self._folder / name, {**content, "napari_masktrack": __version__})
            self._content = content
            self.movie = MovieReference.from_json(content["movie"])

    def move(self, folder: Path) -> None:
        """Be in another folder; a movie that was found beside the one before is named with its place."""
        before, self._folder = self._folder, folder
        with suppress(MovieError):
            found = str(self.movie.find(before).absolute())
            if found != self.movie.path:
                self.change(movie=replace(self.movie, path=found).to_json())

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values by name, a copy."""
        return dict(self._content.get("settings", {}))

    @property
    def layer(self) -> dict[str, Any]:
        """How the window shows the movie: plain values by name, a copy."""
        return dict(self._content.get("layer", {}))

    @property
    def objects(self) -> dict[int, SessionObject]:
        """Names and colours by id, a copy."""
        stored: Mapping[str, Any] = self._content.get("objects", {})
        return {int(label): SessionObject.from_json(each) for label, each in stored.items()}

    @property
    def absent(self) -> tuple[Mark, ...]:
        """Frames and objects of which the user said that they are not there, sorted."""
        return tuple(sorted((int(frame), int(label)) for frame, label in self._content.get("absent", [])))

    def _check(self) -> None:
        content = self._content
        if content.get("format") != _FORMAT or not isinstance(content.get("version"), int):
            raise InputError(
                f"{shown(self._folder)} is no session of napari-masktrack; choose another folder."
            )
        if content["version"] > _VERSION:
            made = content.get("napari_masktrack", "a later version")
            raise InputError(
                f"The session {shown(self._folder)} was made by napari-masktrack {made}; update to open it."
            )
        try:
            _ = self.settings, self.layer, self.objects, self.absent
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"The objects or marks of {shown(self._folder)} make no sense ({error}); use a copy of it."
            ) from error


def objects_to_json(objects: Mapping[int, SessionObject]) -> dict[str, Any]:
    """Give plain values, sorted by id."""
    return {str(label): each.to_json() for label, each in sorted(objects.items())}


def marks_to_json(marks: Iterable[Mark]) -> list[list[int]]:
    """Give plain values, sorted by frame."""
    return sorted({(int(frame), int(label)): [int(frame), int(label)] for frame, label in marks}.values())


def is_session(path: str | PathLike[str]) -> bool:
    """Whether a folder holds a session."""
    return any((Path(path) / name).is_file() for name in NAMES)


def is_free(folder: Path) -> bool:
    """Whether nothing is in a folder but what a session leaves that was killed while it was made."""
    return all(path.name == LOCK_NAME or path.name.endswith(".part") for path in folder.iterdir())
