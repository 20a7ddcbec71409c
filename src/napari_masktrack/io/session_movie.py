"""Which movie a session belongs to: where it lies, and how it is recognised again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.movie import LazyArray, Movie
from napari_masktrack.errors import InputError, MovieError
from napari_masktrack.io.readers import movie_name, open_array, open_movie
from napari_masktrack.io.refusal import shown


class Section:
    """Another array-like of which some dimensions are held at one index and left out.

    Parameters
    ----------
    source : array-like
        What is read.
    held : mapping of int to int
        Dimension to the index at which it is held.
    """

    def __init__(self, source: LazyArray, held: Mapping[int, int]) -> None:
        self.source, self._held = source, dict(held)
        self._kept = [axis for axis in range(len(source.shape)) if axis not in held]
        self.shape = tuple(int(source.shape[axis]) for axis in self._kept)
        self.dtype = np.dtype(source.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Read a part; integers and slices, as NumPy takes them."""
        keys = key if isinstance(key, tuple) else (key,)
        wanted: list[Any] = [slice(None)] * len(self.source.shape)
        for axis, index in self._held.items():
            wanted[axis] = index
        for axis, part in zip(self._kept, keys, strict=False):
            wanted[axis] = part
        return np.asarray(self.source[tuple(wanted)])


@dataclass(frozen=True, kw_only=True)
class MovieReference:
    """A movie by name, place and looks.

    Attributes
    ----------
    name : str
        For messages and layers.
    path : str or None
        Its file or folder; None for a movie that lies in memory only.
    axes : str
        One letter per dimension of the file, without those in `planes`.
    planes : tuple of (int, int)
        Dimensions of the file that are held at one index.
    channels : tuple of int
        The channels that are looked at; none for a movie without channels.
    frames : int
    shape : (int, int)
        Height and width in pixels.
    dtype : str
        Type of the values, e.g. ``uint16``.
    fingerprint : str
        `Movie.fingerprint`.
    """

    name: str
    path: str | None
    axes: str
    planes: tuple[tuple[int, int], ...] = ()
    channels: tuple[int, ...] = ()
    frames: int
    shape: tuple[int, int]
    dtype: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        movie: Movie,
        *,
        path: str | Path | None = None,
        planes: tuple[tuple[int, int], ...] = (),
    ) -> Self:
        """Describe a movie; reads five of its frames.

        Raises
        ------
        MovieError
            A frame cannot be read.
        """
        return cls(
            name=movie.name,
            path=None if path is None else str(Path(path).absolute()),
            axes=movie.axes,
            planes=planes,
            channels=movie.channels,
            frames=len(movie),
            shape=movie.shape,
            dtype=movie.dtype.name,
            fingerprint=movie.fingerprint(),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Take what `to_json` gave.

        Raises
        ------
        InputError
            Something is missing or of the wrong type.
        """
        try:
            height, width = content["shape"]
            return cls(
                name=str(content["name"]),
                path=None if content["path"] is None else str(content["path"]),
                axes=str(content["axes"]),
                planes=tuple((int(axis), int(index)) for axis, index in content["planes"]),
                channels=tuple(int(channel) for channel in content["channels"]),
                frames=int(content["frames"]),
                shape=(int(height), int(width)),
                dtype=np.dtype(content["dtype"]).name,
                fingerprint=str(content["fingerprint"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"The session does not say which movie it belongs to ({error}); make a new session."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Give plain values for a JSON file."""
        return asdict(self)

    def check(self, movie: Movie) -> None:
        """Refuse another movie; reads five frames only if everything else fits.

        Raises
        ------
        MovieError
            Says what differs.
        """
        mine = {
            "frames": (self.frames, len(movie)),
            "height and width": (self.shape, movie.shape),
            "type of the values": (self.dtype, movie.dtype.name),
            "channels": (_in_words(self.channels), _in_words(movie.channels)),
        }
        different = [f"{what} {a} there, {b} here" for what, (a, b) in mine.items() if a != b]
        if not different and movie.fingerprint() != self.fingerprint:
            different = ["the same size and type, but other pixels on the frames that were compared"]
        if different:
            raise MovieError(
                f"The session belongs to the movie {self.name!r}, and {movie.name!r} is another one: "
                f"{'; '.join(different)}. Choose {self.path or self.name}, or make a new session."
            )

    def find(self, folder: Path) -> Path:
        """Find the movie's file again, also if it was moved together with the session folder.

        Raises
        ------
        MovieError
            It is nowhere.
        """
        if self.path is None:
            raise MovieError(
                f"The movie {self.name!r} of the session {shown(folder)} was in memory only; show "
                f"it in napari first, or give its path."
            )
        place = Path(self.path)
        for candidate in (place, folder / place.name, folder.parent / place.name):
            if candidate.exists():
                return candidate
        raise MovieError(
            f"The movie {shown(place)} of the session {shown(folder)} is not there any more; "
            f"put it back, or give its new path."
        )

    def open(self, folder: Path, path: Path | None = None) -> Movie:
        """Open the movie and make sure that it is the right one.

        Parameters
        ----------
        folder : Path
            The session's folder.
        path : Path, optional
            Where the movie lies now, if it was moved.

        Raises
        ------
        MovieError
            It is not there, cannot be read, or is another one.
        """
        movie = self._open(path or self.find(folder))
        self.check(movie)
        return movie

    def _open(self, path: Path) -> Movie:
        channels = self.channels or None
        if self.planes:
            return self._open_plane(path)
        try:
            return open_movie(path, axes=self.axes, channels=channels)
        except MovieError:
            if self.frames > 1:
                raise
            return open_movie(path, channels=channels)  # the file of a single image names no frames

    def _open_plane(self, path: Path) -> Movie:
        array, held = open_array(path), dict(self.planes)
        letters = self.axes
        if len(array.shape) != len(letters) + len(held):  # the file's axes of one entry may be left out
            return open_movie(path, axes=letters, channels=self.channels or None)
        if any(index >= array.shape[axis] for axis, index in held.items()):
            raise MovieError(f"{shown(path)} has fewer planes than the session's movie; choose {self.name}.")
        name = movie_name(path)
        return Movie(Section(array, held), axes=letters, channels=self.channels or None, name=name)


def _in_words(channels: tuple[int, ...]) -> str:
    return ", ".join(map(str, channels)) or "none"
