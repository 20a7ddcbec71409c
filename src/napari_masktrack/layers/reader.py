"""Open a session folder in napari: its movie and everything that was drawn on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from napari_masktrack.core.movie import LazyArray
from napari_masktrack.errors import MovieError
from napari_masktrack.io.session import MovieReference, Session, is_session
from napari_masktrack.io.session_head import NAMES
from napari_masktrack.io.session_movie import Section
from napari_masktrack.layers.create import notes_of
from napari_masktrack.layers.description import image_layer
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.notes import remember_session, remember_view
from napari_masktrack.layers.probability import ProbabilityStore
from napari_masktrack.layers.result import ResultStore
from napari_masktrack.layers.session import restore_layers, restore_look
from napari_masktrack.layers.stored import StoredFrames

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class Read:
    """What a session holds, before it is shown.

    Attributes
    ----------
    layers : list of LayerData
        To draw on; before them the movie's, if it is not shown yet.
    view : LayerMovie or None
        The movie that is shown already, seen as in the session.
    problems : list of str
        What could not be read, in words for the user.
    """

    layers: list[LayerData]
    view: LayerMovie | None
    problems: list[str]


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
        plane = movie.data if isinstance(movie.data, Section) else None
        data = movie.data if plane is None else plane.source
        rgb = movie.axes[-1] == "c" and data.shape[-1] in (3, 4)
        image = image_layer(ShownArray(data), session.layer, name=movie.name, rgb=rgb)
        seen = session.movie if plane else replace(session.movie, axes=movie.axes, planes=())
        view = LayerMovie.of(image, seen)
        remember_view(view)
        remember_session(view, session.folder)
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


def read_drawings(path: str | PathLike[str], shown: Sequence[Image]) -> Read:
    """Read the layers to draw on of a session; those for a movie that is shown, else the movie, too.

    In any thread: the layers are not shown yet. Raises as `read_session`.

    Parameters
    ----------
    path : path-like
    shown : sequence of napari.layers.Image
        Layers that may be the movie, whatever they are seen as now; the likeliest first.
    """
    with Session.open(_folder(path), read_only=True) as session:
        for view in (view for layer in shown for view in _views(layer, session.movie)):
            try:
                layers = restore_layers(session, view)
            except MovieError:  # of another movie
                continue
            return Read([each.as_layer_data_tuple() for each in layers.values()], view, session.problems)
    read = read_session(path, results=False)
    return Read(read, None, read[0][1]["metadata"]["masktrack"]["problems"])


def _views(layer: Image, reference: MovieReference) -> Iterator[LayerMovie]:
    """See a layer as a session did, and as one would without: a file may have had fewer dimensions."""
    with suppress(MovieError):
        yield LayerMovie.of(layer, reference)
    with suppress(MovieError):
        yield LayerMovie(layer, channels=reference.channels or None)


def _folder(path: str | PathLike[str]) -> Path:
    """Give the folder of a session whose file may be named instead."""
    place = Path(path)
    return place.parent if place.name in NAMES else place
