"""A session: annotations, settings, weights, results and metrics of one movie in one folder.

Every file appears whole or not at all, so a process may be killed at any moment: what was saved
before is there. The layout of the folder::

    session.json                       movie, settings, objects, absent marks (and session.backup.json)
    annotations/masks/00012.png        one label image per painted frame; also scribbles/ and beside/
    annotations/shapes.json            boxes, ellipses, polygons and paths
    weights/finetuned.safetensors      the network as it was fine-tuned
    results.zarr                       label images, (T, Y, X), one chunk per frame
    probability.zarr                   how probable the pixels are, if that was asked for, likewise
    metrics.csv                        one row per frame and object
    scores.csv                         the last comparison with a reference, or leave-one-out
    former/                            drawings of deleted layers, former weights, the result before the last
    session.lock                       who is writing
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError, MaskTrackError, OutputError
from napari_masktrack.io.refusal import shown
from napari_masktrack.io.session_copy import SessionCopy
from napari_masktrack.io.session_drawings import DrawnShape, Mark, annotations_of, read_shapes, write_shapes
from napari_masktrack.io.session_files import attempt, list_frames, read_labels, remove, sweep
from napari_masktrack.io.session_files import write_labels as write_label_file
from napari_masktrack.io.session_former import FormerWork
from napari_masktrack.io.session_head import (
    NAMES,
    Head,
    SessionObject,
    is_free,
    is_session,
    marks_to_json,
    objects_to_json,
)
from napari_masktrack.io.session_lock import FolderLock
from napari_masktrack.io.session_movie import MovieReference
from napari_masktrack.io.session_numbers import SessionNumbers
from napari_masktrack.io.session_results import SessionResults
from napari_masktrack.io.targets import saving

__all__ = ["LAYERS", "SESSION_SUFFIX", "MovieReference", "Session", "SessionObject", "is_session"]

SESSION_SUFFIX = ".masktrack"
"""Ending of a session folder's name, by which napari recognises one that is dropped on it."""

LAYERS = ("masks", "scribbles", "beside")
"""Kinds of label images: whole masks, strokes on objects, strokes beside them."""

T = TypeVar("T")


class Session:
    """A session folder that is open; made by `create` and `open`, a context manager.

    Attributes
    ----------
    folder : Path
    read_only : bool
    interrupted : bool
        Whether the process that wrote it last ended without closing it.
    problems : list of str
        What is damaged, in words for the user; the rest was loaded. A damaged file is renamed, never
        written over; only the copy of ``session.json`` is, where the file itself is whole.
    results : SessionResults
        Masks, uint16.
    probabilities : SessionResults
        Of the most probable object of each pixel, uint8, 255 is certain.
    numbers : SessionNumbers
    former : FormerWork
    """

    def __init__(self, folder: Path, head: Head, lock: FolderLock | None) -> None:
        self.folder, self._head, self._lock = folder, head, lock
        self.problems: list[str] = list(head.problems)
        self.read_only = lock is None
        self.interrupted = lock is not None and lock.interrupted
        self.results, self.former = SessionResults(self), FormerWork(self)
        self.numbers = SessionNumbers(self)
        self.probabilities = SessionResults(self, "probability.zarr", np.uint8)
        self._writing = threading.Lock()

    @classmethod
    def create(
        cls,
        folder: str | PathLike[str],
        movie: MovieReference,
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a session.

        Parameters
        ----------
        folder : path-like
            A new or empty folder, best with a name that ends in ``.masktrack``.
        movie : MovieReference
        settings : mapping, optional
            Plain values.

        Raises
        ------
        OutputError
            The folder holds something, or cannot be written.
        """
        place = Path(folder)
        if place.exists() and not (place.is_dir() and is_free(place)):
            raise OutputError(
                f"{shown(place)} is not an empty folder; choose a new one, or open the session."
            )
        with saving(place):
            place.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(place)
        lock.acquire()
        try:
            head = Head.new(place, movie, settings or {})
            head.change()
        except MaskTrackError:
            lock.release()
            raise
        return cls(place, head, lock)

    @classmethod
    def open(cls, folder: str | PathLike[str], *, read_only: bool = False) -> Self:
        """Open a session that exists.

        Parameters
        ----------
        folder : path-like
        read_only : bool, default: False
            Look without taking the lock, also while somebody works on it.

        Raises
        ------
        InputError
            There is no session, it is damaged beyond use, or a later version made it.
        OutputError
            It is open elsewhere.
        """
        place = Path(folder)
        if not is_session(place):
            raise InputError(f"There is no session in {shown(place)}; choose a folder that holds {NAMES[0]}.")
        lock = None if read_only else FolderLock(place)
        if lock is not None:
            lock.acquire()
        try:
            session = cls(place, Head.read(place, heal=not read_only), lock)
        except MaskTrackError:
            if lock is not None:
                lock.release()
            raise
        if not read_only:
            for part in (place, place / "weights", place / "annotations", *map(session._layer, LAYERS)):
                sweep(part)
        return session

    def go_on_in(self, copy: SessionCopy) -> None:
        """Be the copy from now on, for all who hold this session; nobody writes. Raises as `save_shapes`."""
        with self._writing:
            self.require_writable()
            copy.finish()
            assert self._lock is not None, "it is writable"
            self._lock.release()
            self.folder, self._lock = copy.folder, copy.lock
            self._head.move(copy.folder)
            self.reread()

    def close(self) -> None:
        """Let others write; nothing needs to be saved then. Weights that are being written come first."""
        with self._writing:
            self.read_only = True
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        """Give the session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def save_annotation(self, frame: int, labels: NDArray[Any], *, kind: str = "masks") -> None:
        """Write the label image of one frame; an empty one takes its file away.

        Parameters
        ----------
        frame : int
            Index of the frame.
        labels : array, (Y, X), bool or integer
            Ids from 0 to 65535, of the movie's size.
        kind : str, default: "masks"
            One of `LAYERS`.

        Raises
        ------
        OutputError
            The session is open to read only, or the image does not fit the movie.
        AnnotationError
            The values cannot be ids.
        WorkError
            The disk refused.
        """
        self.require_writable()
        if labels.shape != self.movie.shape or not 0 <= frame < self.movie.frames:
            raise OutputError(
                f"Labels of shape {labels.shape} for frame {frame} do not fit {self.movie.name!r}, which has "
                f"{self.movie.frames} frame(s) of {self.movie.shape} pixels; draw on this movie."
            )
        path = self._layer(kind) / f"{frame:05d}.png"
        if labels.any():
            write_label_file(path, labels)
        elif self.attempt(path, read_labels) is not None:  # a damaged one is kept
            remove(path)

    def annotated_frames(self, kind: str = "masks") -> tuple[int, ...]:
        """Give the frames that have a label image of a kind, sorted."""
        return list_frames(self._layer(kind), self.note_problem)

    def label_images(self, kind: str = "masks") -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """Read the label images of a kind one by one, with their frames; damaged ones are left out."""
        for frame in self.annotated_frames(kind):
            path = self._layer(kind) / f"{frame:05d}.png"
            image = self.attempt(path, read_labels)
            if image is None:
                continue
            if image.shape == self.movie.shape and frame < self.movie.frames:
                yield frame, image
            else:
                self.note_problem(f"{shown(path)} does not fit the movie and was left out; delete it.")

    def save_shapes(self, shapes: Iterable[DrawnShape]) -> None:
        """Write all shapes.

        Raises
        ------
        OutputError
            The session is open to read only.
        WorkError
            The disk refused.
        """
        self.require_writable()
        write_shapes(self._shapes_file, shapes)

    def shapes(self) -> tuple[DrawnShape, ...]:
        """Read the shapes."""
        return self.attempt(self._shapes_file, read_shapes) or ()

    def annotations(self) -> Annotations:
        """Read everything that was drawn, as the engine takes it.

        Raises
        ------
        AnnotationError
            Something contradicts itself, or covers no pixel.
        """
        on, beside = dict(self.label_images("scribbles")), dict(self.label_images("beside"))
        blank = np.zeros(self.movie.shape, np.uint16)
        return annotations_of(
            self.movie.shape,
            masks=self.label_images("masks"),
            strokes=[(f, on.get(f, blank), beside.get(f, blank)) for f in sorted(on.keys() | beside.keys())],
            shapes=self.shapes(),
            absent=self.absent,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values by name, a copy."""
        return self._head.settings

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        """Replace the settings; raises as `save_shapes`."""
        self._change(settings=dict(settings))

    @property
    def layer(self) -> dict[str, Any]:
        """How the window shows the movie: plain values by name, a copy."""
        return self._head.layer

    def save_layer(self, layer: Mapping[str, Any]) -> None:
        """Replace what is known of the movie's layer; raises as `save_shapes`."""
        self._change(layer=dict(layer))

    @property
    def objects(self) -> dict[int, SessionObject]:
        """Names and colours by id, a copy."""
        return self._head.objects

    def save_objects(self, objects: Mapping[int, SessionObject]) -> None:
        """Replace names and colours; raises as `save_shapes`."""
        self._change(objects=objects_to_json(objects))

    @property
    def absent(self) -> tuple[Mark, ...]:
        """Frames and objects of which the user said that they are not there, sorted."""
        return self._head.absent

    def save_absent(self, marks: Iterable[Mark]) -> None:
        """Replace the absent marks; raises as `save_shapes`."""
        self._change(absent=marks_to_json(marks))

    @property
    def weights(self) -> Path:
        """Where the fine-tuned weights are, or are to be written as a whole; its folder exists."""
        path = self.folder / "weights" / "finetuned.safetensors"
        if not self.read_only:
            with saving(path):
                path.parent.mkdir(exist_ok=True)
        return path

    def save_weights(self, write: Callable[[Path], object]) -> bool:
        """Let somebody write weights, from any thread; tells whether it was open. See `FormerWork`.

        Parameters
        ----------
        write : callable
            Takes the path of a file, which must appear as a whole.
        """
        with self._writing:
            if not self.read_only:
                self.former.keep_weights()
                write(self.weights)
            return not self.read_only

    def check_movie(self, movie: Movie) -> None:
        """Refuse another movie than the session's.

        Raises
        ------
        MovieError
            Says what differs.
        """
        self.movie.check(movie)

    @property
    def movie(self) -> MovieReference:
        """Which movie it belongs to."""
        return self._head.movie

    def save_movie(self, movie: MovieReference) -> None:
        """Look at the movie with other channels from now on; raises as `save_shapes`."""
        self._change(movie=movie.to_json())

    def open_movie(self, path: str | PathLike[str] | None = None) -> Movie:
        """Open the session's movie, or the file it was moved to; see `MovieReference.open`."""
        return self.movie.open(self.folder, None if path is None else Path(path))

    def reread(self) -> None:
        """Forget which results are in memory: the files are others now, or the folder is."""
        self.results.reread()
        self.probabilities.reread()

    def attempt(self, path: Path, read: Callable[[Path], T]) -> T | None:
        """Read a file; if it is damaged, note it, put it aside and give None; as `session_files.attempt`."""
        return attempt(path, read, self.note_problem, rename=not self.read_only)

    def note_problem(self, problem: str) -> None:
        """Add to the problems what is not among them yet."""
        if problem not in self.problems:
            self.problems.append(problem)

    def require_writable(self) -> None:
        """Refuse to write into a session that is open to read only.

        Raises
        ------
        OutputError
            It is.
        """
        if self.read_only:
            raise OutputError(f"The session {shown(self.folder)} is read only; open it to write first.")

    @property
    def _shapes_file(self) -> Path:
        return self.folder / "annotations" / "shapes.json"

    def _layer(self, kind: str) -> Path:
        if kind not in LAYERS:
            raise OutputError(f"There are no annotations of kind {kind!r}; use one of {', '.join(LAYERS)}.")
        return self.folder / "annotations" / kind

    def _change(self, **parts: Any) -> None:
        self.require_writable()
        self._head.change(**parts)
