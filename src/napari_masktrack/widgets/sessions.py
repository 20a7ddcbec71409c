"""Keeps the work of a dock in a session folder, opens one, and exports results."""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.errors import InputError, MaskTrackError
from napari_masktrack.io.exporters import EXPORTERS
from napari_masktrack.io.session import SESSION_SUFFIX, MovieReference, Session, SessionObject
from napari_masktrack.layers.create import notes_of, role_of
from napari_masktrack.layers.result import ResultStore
from napari_masktrack.layers.session import SessionLink, restore_layers
from napari_masktrack.widgets.exports import export
from napari_masktrack.widgets.slices import Slices
from napari_masktrack.widgets.worker import Job

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock

TICK = 200
"""Milliseconds between two looks at what is to be saved."""
AFTER = 300
"""Milliseconds after which a deleted result leaves the session; when the window closes, nothing leaves."""


class Sessions(QObject):
    """The session of a dock, if it has one.

    Parameters
    ----------
    dock : MaskTrackDock
    """

    def __init__(self, dock: "MaskTrackDock") -> None:
        super().__init__(dock)
        self.dock, self.workspace = dock, dock.workspace
        self.link: SessionLink | None = None
        self._slices = Slices(self)
        self._slices.failed.connect(dock.complain)
        self._beginning: Job | None = None
        self._opened: list[Session] = []
        self._watched: list[Layer] = []
        self.workspace.result_changed.connect(self._note_result)
        dock.destroyed.connect(partial(_close_all, self._opened))
        self._timer = QTimer(self, interval=TICK)
        self._timer.timeout.connect(self._tick)

    @property
    def session(self) -> Session | None:
        """The session folder that is open."""
        return self.workspace.session

    # Beginning and ending

    def create(self, folder: Path) -> None:
        """Keep the work in a new folder from now on.

        Raises
        ------
        InputError
            There is no movie, or the folder cannot be used.
        """
        view = self.workspace.require_movie()
        self.close()
        planes = tuple(view.axes.planes.items())
        path = view.layer.source.path
        self._create(folder, MovieReference.of(view.movie, path=path, planes=planes))

    def create_by_itself(self) -> None:
        """Begin a session where nobody chose a folder, so that no work is lost; soon, off the main thread."""
        view, folder = self.workspace.view, self.dock.preferences.sessions
        if view is None or self.session is not None or self._beginning is not None:
            return
        path, planes = view.layer.source.path, tuple(view.axes.planes.items())
        job = Job(lambda: iter([MovieReference.of(view.movie, path=path, planes=planes)]), title="session")

        def begin(reference: MovieReference) -> None:
            now = self.workspace.view
            if now is not None and now.layer is view.layer and self.session is None:
                self.dock.attempt(lambda: self._create(free_folder(folder, view.movie.name), reference))

        job.arrived.connect(begin)
        job.ended.connect(self._end_beginning)
        self._beginning = job
        job.start()

    def _end_beginning(self, ending: str, message: str) -> None:
        self._beginning = None
        if ending == "failed":
            self.dock.complain(message)

    def _create(self, folder: Path, reference: MovieReference) -> None:
        session = Session.create(folder, reference, settings=self.settings())
        self._begin(session)
        if self.workspace.result is not None:
            self.workspace.result.session = None  # until `save_to` has written what there is
            self._slices.start(self.workspace.result.save_to(session))

    def open(self, folder: Path) -> None:
        """Go on with a session; its movie is the one that is open, or is opened.

        Raises
        ------
        InputError
            There is no session, or its movie is another one or cannot be found.
        """
        view = self.workspace.view
        if view is None or not _fits(folder, view.movie):
            self._open_layers(folder)
            return
        self.flush()  # it may be the one that is open
        with Session.open(folder, read_only=True) as session:
            layers = restore_layers(session, view)
        self.close()
        drawings = self.workspace.require_drawings()
        drawings.give_up()  # else what was drawn before would be saved into this session
        for role, layer in layers.items():
            self.dock.viewer.add_layer(layer)
            drawings.take(role, layer)
        self._adopt(folder, restored=list(layers.values()))

    def close(self) -> None:
        """Save the rest and let the session go."""
        self._timer.stop()
        link, self.link = self.link, None
        session, self.workspace.session = self.workspace.session, None
        try:
            self._slices.finish()
            if link is not None:
                link.note("settings", self.settings())
                link.close()
        finally:
            if self.workspace.result is not None:
                self.workspace.result.session = None
            if session is not None:
                self._opened.clear()
                session.close()
        self.dock.save.set_where("Nothing is saved yet.")

    def flush(self) -> None:
        """Save everything now, if there is a session.

        Raises
        ------
        MaskTrackError
            Something could not be saved.
        """
        if self.link is not None:
            self.link.flush()

    def release(self) -> None:
        """Save and close; the dock is closing."""
        if self._beginning is not None:
            self._beginning.cancel()
        try:
            self.close()
        except MaskTrackError as error:
            self.dock.complain(str(error))

    def follow_movie(self) -> None:
        """Let the session of another movie go; take up that of a movie that was opened from one."""
        view, drawings = self.workspace.view, self.workspace.drawings
        if self.session is not None and not (
            view is not None
            and self.link
            and self.link.view.layer is view.layer
            and self.link.view.layout == view.layout
        ):
            self.dock.attempt(self.close)
        if drawings is not None:
            drawings.changed.connect(self._watch)
            drawings.edited.connect(self._note)
        folder = None if view is None else notes_of(view.layer).get("session")
        if folder and self.session is None:
            QTimer.singleShot(0, lambda: self._adopt_later(Path(folder)))  # its other layers come next

    # Settings

    def settings(self) -> dict[str, Any]:
        """Give what the sections of the dock are set to."""
        finetune = self.dock.finetune
        config = finetune.details.value()
        return {
            "mode": finetune.mode.currentData(),
            "finetune": asdict(config),
            "propagate": asdict(self.dock.propagate.value()),
        }

    def _restore_settings(self, settings: dict[str, Any]) -> None:
        with suppress(TypeError, InputError):  # of another version; the present settings stay
            if "finetune" in settings:
                self.dock.finetune.set_value(settings["mode"], FinetuneConfig(**settings["finetune"]))
            if "propagate" in settings:
                self.dock.propagate.set_value(PropagationConfig(**settings["propagate"]))

    # Exporting

    def ask_export(self) -> None:
        """Ask where to, and export."""
        kind = self.dock.save.format.currentData()
        suffixes = EXPORTERS[kind].suffixes
        start = f"{self.workspace.require_movie().movie.name}-masks{suffixes[0] if suffixes else ''}"
        name, _ = QFileDialog.getSaveFileName(self.dock, "Export the masks", start)
        if name:
            self.export(Path(name), kind)

    def export(self, path: Path, kind: str) -> None:
        """Write the result in a thread.

        Raises
        ------
        InputError
            There is no result, or the place cannot be used.
        """
        export(self.dock, path, kind)

    def ask_save(self) -> None:
        """Ask for a folder; with an open session, save now."""
        if self.link is not None:
            self.link.note("settings", self.settings())
            self.link.flush()
            self._say_where()
            return
        view = self.workspace.require_movie()
        start = f"{view.movie.name}-{time.strftime('%Y%m%d')}{SESSION_SUFFIX}"
        name, _ = QFileDialog.getSaveFileName(self.dock, "A new folder for the session", start)
        if name:
            path = Path(name)
            self.create(path if path.suffix == SESSION_SUFFIX else path.with_name(path.name + SESSION_SUFFIX))

    def ask_open(self) -> None:
        """Ask which session."""
        name = QFileDialog.getExistingDirectory(self.dock, "The folder of a session")
        if name:
            self.open(Path(name))

    # Inside

    def _open_layers(self, folder: Path) -> None:
        """Show movie and drawings; the dock follows the new image layer to the session."""
        from napari_masktrack.layers.reader import read_session

        for data, attributes, kind in read_session(folder):
            layer = Layer.create(data, attributes, kind)
            self.dock.viewer.add_layer(layer)
            if kind == "image":
                image = layer
        self.dock.movie.set_value(image)

    def _adopt_later(self, folder: Path) -> None:
        view = self.workspace.view
        if self.session is None and view is not None and notes_of(view.layer).get("session") == str(folder):
            self.dock.attempt(lambda: self._adopt(folder))

    def _adopt(self, folder: Path, restored: Sequence[Layer] = ()) -> None:
        """Take up a session whose layers are in the viewer; those that were just restored are saved."""
        view, drawings = self.workspace.require_movie(), self.workspace.require_drawings()
        session = Session.open(folder)
        try:
            session.check_movie(view.movie)
        except MaskTrackError:
            session.close()
            raise
        for layer in list(self.dock.viewer.layers):
            if notes_of(layer).get("session") == str(folder.absolute()) and role_of(layer) == "result":
                self.dock.viewer.layers.remove(layer)
        drawings.take_own()
        masks = drawings.layers.get("masks")
        if masks is not None:
            notes_of(masks)["names"] = {k: each.name for k, each in session.objects.items()}
        self._restore_settings(session.settings)
        self._begin(session, restored)
        if session.weights.is_file():
            self.dock.finetune.set_model(session.weights)
        self.workspace.close_result()
        if session.results.written:
            like = masks if isinstance(masks, Labels) else None
            result = self.workspace.result = ResultStore(view, session=session, like=like)
            self.dock.viewer.add_layer(result.layer)
            self._slices.start(result.restore(), self.workspace.result_changed.emit)
        for problem in session.problems:
            self.dock.complain(problem)

    def _begin(self, session: Session, restored: Sequence[Layer] = ()) -> None:
        view = self.workspace.require_movie()
        self.workspace.session = session
        self._opened[:] = [session]
        self.link = SessionLink(session, view, dims=self.dock.viewer.dims)
        self._watched.clear()
        self._watch(restored)
        if self.dock.preferences.autosave:
            self._timer.start()
        self._say_where()

    def _watch(self, restored: Sequence[Layer] = ()) -> None:
        """Save the drawings' layers of now; what was on others leaves the session."""
        drawings, link = self.workspace.drawings, self.link
        if drawings is None or link is None:
            return
        for layer in [each for each in self._watched if each not in drawings.layers.values()]:
            self._watched.remove(layer)
            kept = self.dock.attempt(lambda layer=layer: link.unwatch(layer, gone=True))
            if kept is not None:
                self.dock.bar.say(f"What was drawn on {layer.name!r} left the session; it is kept in {kept}.")
        for layer in drawings.layers.values():
            if layer not in self._watched and isinstance(layer, Labels | Shapes):
                self._watched.append(layer)
                saved = any(layer is each for each in restored)
                self.dock.attempt(lambda layer=layer, saved=saved: link.watch(layer, saved=saved))

    def _note_result(self) -> None:
        session = self.session
        if session is not None and self.workspace.result is None:
            QTimer.singleShot(AFTER, lambda: self.dock.attempt(lambda: self._forget_result(session)))

    def _forget_result(self, session: Session) -> None:
        """Take a result out of the session whose layer was deleted; it is kept beside."""
        if self.session is session and self.workspace.result is None and session.results.written:
            session.former.keep_result(moved=True)

    def _note(self, what: str, _frame: Any) -> None:
        drawings, link = self.workspace.drawings, self.link
        if drawings is not None and link is None and self.dock.preferences.autosave:
            self.create_by_itself()
        if link is None or drawings is None:
            return
        if what == "absent":
            link.note("absent")
        elif what == "objects":
            link.note("objects", {k: SessionObject(name) for k, name in drawings.names.items()})

    def save_numbers(self) -> None:
        """Save settings, and confidence and IoU of the result."""
        result = self.workspace.result
        if self.link is not None and result is not None:
            self.link.note("metrics", result.rows())
            self.link.note("settings", self.settings())

    def _tick(self) -> None:
        try:
            if self.link is not None:
                self.link.tick()
        except MaskTrackError as error:
            self.dock.complain(str(error))

    def _say_where(self) -> None:
        session = self.session
        if session is not None:
            how = "Saved as you work" if self.dock.preferences.autosave else "Saved when you press the button"
            self.dock.save.set_where(f"{how}, in {session.folder}")


def _close_all(sessions: list[Session], *_: object) -> None:
    """Free the folders of a dock that was deleted without a word."""
    for session in sessions:
        session.close()
    sessions.clear()


def free_folder(parent: Path, movie: str) -> Path:
    """Name a new session after a movie and the time."""
    name = re.sub(r"[^\w.-]+", "_", movie)[:60]
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(path for each in names if not (path := parent / f"{each}{SESSION_SUFFIX}").exists())


def _fits(folder: Path, movie: Any) -> bool:
    with Session.open(folder, read_only=True) as session:
        try:
            session.check_movie(movie)
        except MaskTrackError:
            return False
    return True
