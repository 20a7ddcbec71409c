"""Keep a session folder up to date with what is drawn, and bring its layers back."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.components import Dims
from napari.layers import Labels, Layer, Shapes

from napari_masktrack.errors import AnnotationError, ConfigError
from napari_masktrack.io.session import LAYERS, Session
from napari_masktrack.io.session_autosave import Autosaver
from napari_masktrack.layers.create import (
    HOLLOW,
    absent_marks,
    add_shapes,
    mark_absent,
    new_labels,
    new_shapes,
    role_of,
)
from napari_masktrack.layers.description import describe_layer
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.looks import give_look, look_of
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.reading import read_shapes
from napari_masktrack.layers.result import ResultStore

_LOOK = 0.02  # seconds of a tick for looking at what was painted
_PAUSE, _AT_MOST = 0.3, 0.8  # seconds; two may be lost, and a busy computer needs its share
_SHAPE_EVENTS = ("data", "features", "edge_width")

Key = tuple[str, int]


class SessionLink:
    """Saves what the user draws, soon after each stroke.

    It knows no timer: `tick` is to be called a few times a second on the main thread, and takes a few
    milliseconds. Files are written in a thread of their own.

    Parameters
    ----------
    session : Session
        Open for writing.
    view : LayerMovie
    dims : napari.components.Dims, optional
        Of the viewer, ``viewer.dims``; see `AnnotationIndex`.
    clock : callable, optional
        Gives the time in seconds.
    """

    def __init__(
        self,
        session: Session,
        view: LayerMovie,
        *,
        dims: Dims | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session, self.view = session, view
        self._dims = dims
        self._indices: dict[str, AnnotationIndex] = {}
        self._own: list[AnnotationIndex] = []
        self._versions: dict[str, int] = {}
        self._shapes: Shapes | None = None
        self._shown: dict[str, Layer] = {}
        self._result: ResultStore | None = None
        self._looks: dict[str, Any] = dict(session.layer.get("looks", {}))
        self._values: dict[str, Any] = {}
        self._saver: Autosaver[Key] = Autosaver(
            self._read, self._write, pause=_PAUSE, at_most=_AT_MOST, clock=clock
        )
        self._described: dict[str, Any] = {}
        self._notice_looks()

    @property
    def indices(self) -> dict[str, AnnotationIndex]:
        """The indices of the label layers that are watched, by role."""
        return dict(self._indices)

    @property
    def is_saved(self) -> bool:
        """Whether everything that was noticed is on disk."""
        return not self._saver.pending

    def watch(
        self, drawn: AnnotationIndex | Labels | Shapes, *, saved: bool = False
    ) -> AnnotationIndex | None:
        """Save what is drawn on a layer from now on.

        Parameters
        ----------
        drawn : AnnotationIndex or napari layer
            One per role; see `create.role_of`. Who follows a label layer already gives its index, and
            closes it; a layer without one gets an index here.
        saved : bool, default: False
            Whether the session holds what is on the layer already, as after `restore_layers`. If not,
            the layer is saved, and the session will hold what is on it and nothing else.

        Returns
        -------
        AnnotationIndex or None
            Of a label layer.

        Raises
        ------
        ConfigError
            Another layer of this role is watched.
        AnnotationError
            The layer does not lie over the movie.
        """
        layer = drawn.layer if isinstance(drawn, AnnotationIndex) else drawn
        role = role_of(layer)
        if role in self._indices and self._indices[role].layer is layer:  # followed anew, by this index
            self._let_go(self._indices.pop(role))
        if role is None or role in self._indices or (role == "shapes" and self._shapes is not None):
            raise ConfigError(
                f"The session holds one layer of {role} only; take {layer.name!r} over by hand."
            )
        if isinstance(layer, Shapes):
            self._shapes = layer
            for name in _SHAPE_EVENTS:
                layer.events[name].connect(self._shapes_changed)
            if not saved and (layer.data or self.session.shapes()):
                self._shapes_changed()
            return None
        index = drawn if isinstance(drawn, AnnotationIndex) else self._index(layer)
        if saved:
            for _ in index.scan():
                pass
            index.catch_up()
        self._indices[role], self._versions[role] = index, index.version if saved else 0
        if not saved:
            for frame in self.session.annotated_frames(role) if role in LAYERS else ():
                self._saver.note_change((role, frame))
            if set(absent_marks(layer)) != set(self.session.absent):
                self.note("absent")
        return index

    def unwatch(self, layer: Layer, *, gone: bool = False) -> Path | None:
        """Save the rest of a layer and let it go.

        Parameters
        ----------
        layer : napari layer
        gone : bool, default: False
            Whether the user deleted the layer, or draws on another one: then what was on it leaves the
            session and is kept beside it, see `FormerWork`. If not, the session keeps what it has.

        Returns
        -------
        Path or None
            Where drawings that left are kept.

        Raises
        ------
        MaskTrackError
            As `tick`; the layer is still watched then.
        """
        try:
            self.flush()
        except AnnotationError:
            if not gone:
                raise
            self._give_up(role_of(layer))  # it was moved before it was deleted; what was saved counts
        role = self._role_of(layer)
        # Taken first: if the disk refuses, the layer is still watched, and the session has its drawings.
        kept = self.session.former.take_drawings(role) if gone and role in (*LAYERS, "shapes") else None
        if role == "shapes" and self._shapes is not None:
            for name in _SHAPE_EVENTS:
                self._shapes.events[name].disconnect(self._shapes_changed)
            self._shapes = None
        elif role is not None:
            self._let_go(self._indices.pop(role))
        return kept

    def _index(self, layer: Labels) -> AnnotationIndex:
        index = AnnotationIndex(layer, self.view, dims=self._dims)
        self._own.append(index)
        return index

    def _let_go(self, index: AnnotationIndex) -> None:
        if index in self._own:
            self._own.remove(index)
            index.close()

    def show(self, role: str, layer: Layer | None) -> None:
        """Save how a layer is shown that is not drawn on, from now on; None ends it.

        Parameters
        ----------
        role : str
            'result' or 'probability'.
        layer : napari layer or None
        """
        self._shown = {each: it for each, it in self._shown.items() if each != role}
        if layer is not None:
            self._shown[role] = layer

    def follow(self, result: ResultStore | None) -> None:
        """Save what the user paints on the result, from now on; None ends it."""
        self._result = result

    def look(self, view: LayerMovie) -> None:
        """Go on with the same movie as it is seen now, with other channels: the session will be opened so."""
        self.view = view
        known, channels = self._values.get("movie", self.session.movie), view.movie.channels
        if channels != known.channels:
            self.note("movie", replace(known, channels=channels))

    def _role_of(self, layer: Layer) -> str | None:
        """Give the role for which a layer is watched."""
        watched = {role: index.layer for role, index in self._indices.items()} | {"shapes": self._shapes}
        return next((role for role, each in watched.items() if each is layer), None)

    def note(self, what: str, value: Any = None) -> None:
        """Save something that layers do not announce.

        Parameters
        ----------
        what : str
            'absent' after marks were changed; 'movie', 'settings', 'objects', 'layer', 'metrics' or
            'scores' with what is to be saved, see `Session` and `SessionNumbers`.
        value
            Kept until it is saved; not to be changed afterwards.
        """
        if what == "absent" and "masks" not in self._indices:
            return
        self._values[what] = value
        self._saver.note_change((what, -1))

    def tick(self) -> dict[str, tuple[int, ...]]:
        """Notice what was drawn, and save what has waited long enough.

        Returns
        -------
        dict of str to tuple of int
            The frames of the movie that changed since the last tick, by role.

        Raises
        ------
        MaskTrackError
            Something could not be saved, or a layer lies no longer over the movie. What could not be
            saved is tried again later.
        """
        changed = self._notice(_LOOK)
        self._saver.poll()
        return changed

    def flush(self) -> None:
        """Save everything now, and wait for it; raises as `tick`."""
        self._notice(None)
        self._saver.flush()

    def close(self) -> None:
        """Save everything and stop watching; the session stays open. Raises as `tick`."""
        try:
            self._notice(None)
            self._saver.close()
        finally:
            for index in self._indices.values():
                self._let_go(index)
            if self._shapes is not None:
                for name in _SHAPE_EVENTS:
                    self._shapes.events[name].disconnect(self._shapes_changed)
            self._indices, self._shapes, self._shown, self._result = {}, None, {}, None

    def _give_up(self, role: str | None) -> None:
        """Leave unsaved what cannot be read from a layer any more, and save the rest."""
        for key in self._saver.pending:
            if key[0] == role:
                self._saver.drop(key)
        self._saver.flush()

    def _notice(self, budget: float | None) -> dict[str, tuple[int, ...]]:
        changed = {}
        self._notice_looks()
        for role, index in self._indices.items():
            began = time.perf_counter()
            for _ in index.scan():
                if budget is not None and time.perf_counter() - began > budget:
                    break
            index.catch_up(budget=budget)
            found = index.changed_since(self._versions[role])
            self._versions[role] = index.version
            frames = tuple(frame for frame in found if 0 <= frame < len(self.view))
            if frames:
                changed[role] = frames
            for frame in frames:
                self._saver.note_change((role, frame))
        painted = () if self._result is None else self._result.painted(self._dims)
        if painted and self._result is not None and not self._result.lies_in_session:
            changed["result"] = painted
            for frame in painted:
                self._saver.note_change(("result", frame))
        return changed

    def _notice_looks(self) -> None:
        layers = {role: index.layer for role, index in self._indices.items()} | self._shown
        if self._shapes is not None:
            layers["shapes"] = self._shapes
        self._looks = self._looks | {role: look_of(layer) for role, layer in layers.items()}
        # A layer that has other pixels now is another movie: this one was as it was noticed last.
        movie = describe_layer(self.view) if self.view.is_current else {}
        described = self._described | movie | {"looks": self._looks}
        if described != self._described:
            self._described = described
            self.note("layer", described)

    def _shapes_changed(self, event: Any = None) -> None:  # noqa: ARG002  napari hands an event over
        self._saver.note_change(("shapes", -1))

    def _read(self, key: Key) -> Any:
        what, frame = key
        if what in self._indices:
            return self._indices[what].image(frame)
        if what == "result":
            return None if self._result is None else self._result.labels(frame)
        if what == "shapes":
            return () if self._shapes is None else read_shapes(self._shapes, self.view, lenient=True)
        if what == "absent":
            masks = self._indices.get("masks")
            return () if masks is None else absent_marks(masks.layer)
        return self._values[what]

    def _write(self, key: Key, content: Any) -> None:
        what, frame = key
        session = self.session
        if what == "result":
            if content is not None:  # else its layer was deleted meanwhile
                session.results.write(frame, content)
        elif what in LAYERS:
            session.save_annotation(frame, content, kind=what)
        else:
            owner = session.numbers if what in ("metrics", "scores") else session
            getattr(owner, f"save_{what}")(content)


def restore_layers(session: Session, view: LayerMovie, *, checked: bool = False) -> dict[str, Layer]:
    """Make the layers to draw on as a session has them, by role: masks always, others if not empty.

    They are shown as they were.

    Parameters
    ----------
    session : Session
    view : LayerMovie
        Of the session's movie.
    checked : bool, default: False
        Whether it is known to be that movie; to find out, frames are read.

    Raises
    ------
    MovieError
        The session belongs to another movie.
    """
    if not checked:
        session.check_movie(view.movie)
    layers: dict[str, Layer] = {}
    for role in LAYERS:
        if role != "masks" and not session.annotated_frames(role):
            continue
        layer = layers[role] = new_labels(view, role)
        for frame, image in session.label_images(role):
            layer.data[view.layout.key(frame)] = image
        layer.refresh()
    for frame, label in session.absent:
        mark_absent(layers["masks"], frame, label)
    shapes = session.shapes()
    if shapes:
        layers["shapes"] = new_shapes(view)
        add_shapes(layers["shapes"], view, shapes)
    for role, layer in layers.items():
        restore_look(session, role, layer)
    return layers


def restore_look(session: Session, role: str, layer: Layer) -> None:
    """Show a layer as it was when the session was saved; a layer that was not yet there stays as it is."""
    usual = {"contour": HOLLOW} if role == "beside" else {}
    give_look(layer, usual | session.layer.get("looks", {}).get(role, {}))
