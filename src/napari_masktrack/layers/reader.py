"""Open a session folder in napari: its movie and everything that was drawn on it."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from napari_masktrack.core.movie import LazyArray
from napari_masktrack.errors import MovieError
from napari_masktrack.io.session import Session, is_session
from napari_masktrack.io.session_head import NAMES
from napari_masktrack.layers.axes import LayerAxes
from napari_masktrack.layers.create import notes_of
from napari_masktrack.layers.description import image_layer
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.probability import ProbabilityStore
from napari_masktrack.layers.result import ResultStore
from napari_masktrack.layers.session import restore_layers, restore_look
from napari_masktrack.layers.stored import StoredFrames

LayerData = tuple[Any, dict[str, Any], str]


class ShownArray:
    """Another array-like with all that napari asks of one."""

    def __init__(self, source: LazyArray) -> None:
        self._source = source
        self.shape = tuple(int(size) for size in source.shape)
        self.dtype = np.dtype(source.dtype)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part."""
        return self._source[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Read everything."""
        return np.asarray(self._source[...], dtype)


def get_reader(path: str | Sequence[str]) -> Callable[[str | PathLike[str]], list[LayerData]] | None:
    """Give the reader of a session folder; None for anything else.

    Parameters
    ----------
    path : str or list of str
        What was dropped on napari: the folder, or the file that makes it a session.
    """
    return read_session if isinstance(path, str) and is_session(_folder(path)) else None


def read_session(path: str | PathLike[str], *, results: bool = True) -> list[LayerData]:
    """Read a session's movie, annotations and results as napari layers, shown as they were; takes no lock.

    Each layer's metadata name the session's folder under ``masktrack``, so that a dock can go on with it.

    Parameters
    ----------
    path : path-like
    results : bool, default: True
        Whether to read masks and probabilities, too; a dock reads them by itself.

    Raises
    ------
    InputError
        There is no session, or it is damaged beyond use.
    MovieError
        The movie is not where it was, or is another one.
    """
    with Session.open(_folder(path), read_only=True) as session:
        movie = session.open_movie()
        rgb = movie.axes[-1] == "c" and movie.data.shape[-1] in (3, 4)
        image = image_layer(ShownArray(movie.data), session.layer, name=movie.name, rgb=rgb)
        found = {axis: movie.axes.index(axis) for axis in "tzc" if axis in movie.axes}
        axes = LayerAxes(frame=found.get("t", found.get("z")), channel=found.get("c"))
        view = LayerMovie(image, axes, channels=movie.channels or None)
        layers = [image, *restore_layers(session, view).values()]
        for kept, role, kind in (
            (session.results, "result", ResultStore),
            (session.probabilities, "probability", ProbabilityStore),
        ):
            if results and kept.written:
                store: StoredFrames = kind(view, session=session)
                for _ in store.restore():
                    pass
                restore_look(session, role, store.layer)
                layers.append(store.layer)
        for layer in layers:
            notes_of(layer)["session"] = str(session.folder.absolute())
            notes_of(layer)["problems"] = list(session.problems)
        return [layer.as_layer_data_tuple() for layer in layers]


def read_drawings(path: str | PathLike[str], view: LayerMovie | None) -> list[LayerData]:
    """Read the layers to draw on of a session; those for a movie that is shown, else the movie, too.

    In any thread: the layers are not shown yet. Raises as `read_session`.
    """
    with Session.open(_folder(path), read_only=True) as session:
        try:
            layers = {} if view is None else restore_layers(session, view)
        except MovieError:  # of another movie
            layers = {}
    return [layer.as_layer_data_tuple() for layer in layers.values()] or read_session(path, results=False)


def _folder(path: str | PathLike[str]) -> Path:
    """Give the folder of a session whose file may be named instead."""
    place = Path(path)
    return place.parent if place.name in NAMES else place
