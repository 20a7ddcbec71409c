"""Keeps the work of a dock in a session folder, opens one, and exports results."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.errors import InputError, MaskTrackError
from napari_masktrack.io.session import SESSION_SUFFIX, MovieReference, Session, SessionObject
from napari_masktrack.layers.create import notes_of
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.notes import remember_session, remembered_session
from napari_masktrack.layers.session import SessionLink
from napari_masktrack.layers.stored import StoredFrames
from napari_masktrack.widgets.earlier import Earlier
from napari_masktrack.widgets.moving import save_as
from napari_masktrack.widgets.preferences import free_folder, open_sessions_here
from napari_masktrack.widgets.reopening import Reopening
from napari_masktrack.widgets.slices import Slices
from napari_masktrack.widgets.watched import Watched
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
        self.slices, self.saving = Slices(self), Slices(self)
        for each in (self.slices, self.saving):
            each.failed.connect(dock.complain)
        self.trouble = ""  # why the latest work could not be saved
        self._beginning: Job | None = None
        self._wanted: tuple[LayerMovie, Callable[[], Path], bool] | None = None
        self._keeping: Job | None = None
        self._opened: list[Session] = []
        self.reopening = Reopening(self)
        self.earlier = Earlier(self)
        self._watched: Watched | None = None
        self.workspace.leaving.connect(self._leave_movie)
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
        self._create(folder, self.workspace.require_movie().reference())

    def create_by_itself(self) -> None:
        """Begin a session where nobody chose a folder, so that no work is lost; soon, off the main thread."""
        view, folder = self.workspace.view, self.dock.preferences.sessions
        free = self.session is None and self._beginning is None and not self.reopening.is_pending
        if view is not None and free:
            self._create_soon(lambda: free_folder(folder, view.movie.name))

    def _create_soon(self, place: Callable[[], Path], *, chosen: bool = False) -> None:
        """As `create`, but the movie is looked at in a thread; a chosen place replaces one that was not."""
        if self._beginning is not None:
            self._beginning.cancel()
        view = self.workspace.require_movie()
        job = Job(lambda: iter([view.reference()]), title="session")
        # a method of this object, so that nothing is called any more once the dock is gone
        job.arrived.connect(self._begin_there)
        job.ended.connect(self._end_beginning)
        self._beginning, self._wanted = job, (view, place, chosen)
        job.start()

    def _begin_there(self, reference: MovieReference) -> None:
        assert self._wanted is not None
        view, place, chosen = self._wanted
        if view.lies_like(self.workspace.view) and (chosen or self.session is None):
            self.dock.attempt(lambda: self._create(place(), reference))
            if chosen and self.session is not None:
                self.dock.bar.say(f"Saved in {self.session.folder}.", "good")

    def _end_beginning(self, ending: str, message: str) -> None:
        self._beginning = None
        if ending == "failed":
            self.dock.complain(message)

    def _create(self, folder: Path, reference: MovieReference) -> None:
        self.slices.finish()  # what is being read from the session of before goes into this one, too
        self.close()
        session = Session.create(folder, reference, settings=self.settings())
        self.begin(session)
        self.keep_weights()
        stores = [store for store in self.stores().values() if store is not None]
        if stores:
            self.saving.start(chain(*[store.save_to(session) for store in stores]), self.save_numbers)

    def open(self, folder: Path) -> None:
        """Go on with a session; see `Reopening.open`."""
        self.reopening.open(folder)

    def close(self) -> None:
        """Save the rest and let the session go, also where it is still being read."""
        self._timer.stop()
        self.saving.finish()
        link, self.link = self.link, None
        watched, self._watched = self._watched, None
        session, self.workspace.session = self.workspace.session, None
        try:
            if watched is not None:
                watched.retry(now=True)
            if link is not None:
                link.note("settings", self.settings())
                link.close()
        finally:
            for store in self.stores().values():
                if store is not None:
                    store.leave_session()
            self.slices.drop()
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
        if self._watched is not None:
            self._watched.retry(now=True)
        if self.link is not None:
            self.link.note("settings", self.settings())
            self.link.flush()

    def release(self) -> None:
        """Save and close; the dock is closing."""
        self.earlier.forget()
        if self._beginning is not None:
            self._beginning.cancel()
        try:
            self.close()
        except MaskTrackError as error:
            show_error(f"MaskTrack: {error}")  # the dock's own line goes with it

    def _leave_movie(self) -> None:
        """Save the work on a movie that is left, and let its session go."""
        if self._beginning is not None:
            self._beginning.cancel()
        self.reopening.give_up()
        self.earlier.forget()
        self.dock.attempt(self.close)
        self.forget_weights()

    def follow_movie(self) -> None:
        """Look at the movie as it is seen now; take up the session that it had before."""
        view, drawings = self.workspace.view, self.workspace.drawings
        if view is None or drawings is None:
            return
        drawings.changed.connect(self._watch)
        drawings.edited.connect(self._note)
        folder = remembered_session(view)
        if self.link is not None:
            self.link.look(view)
        elif folder is not None:
            self.reopening.adopt_soon(folder)
        else:
            self.earlier.look_for(view)

    # Settings

    def settings(self) -> dict[str, Any]:
        """Give what the sections of the dock are set to."""
        finetune = self.dock.finetune
        return {
            "mode": finetune.mode.currentData(),
            "finetune": asdict(finetune.details.value()),
            "propagate": asdict(self.dock.propagate.value()),
            "finetune_flow": finetune.flow.isChecked(),
            "crf_search": self.dock.propagate.crf_search.isChecked(),
        }

    def restore_settings(self, settings: dict[str, Any]) -> None:
        """Set the sections as a session was."""
        with suppress(TypeError, InputError):  # of another version; the present settings stay
            if "finetune" in settings:
                self.dock.finetune.set_value(settings["mode"], FinetuneConfig(**settings["finetune"]))
            if "propagate" in settings:
                self.dock.propagate.set_value(PropagationConfig(**settings["propagate"]))
            self.dock.finetune.flow.setChecked(bool(settings.get("finetune_flow")))
            self.dock.propagate.crf_search.setChecked(bool(settings.get("crf_search")))

    # Weights

    def save_weights(self, view: LayerMovie, write: Callable[[Path], object]) -> None:
        """Let somebody write the weights for a movie into its session, if it has one now; from any thread."""
        session = self.session
        if session is not None and view.lies_like(self.workspace.view):
            session.save_weights(write)

    def keep_weights(self) -> None:
        """Write the weights of now, in a thread, into a session that began after they were fine-tuned."""
        runner, session = self.dock.runner, self.session
        write = runner.engine.save
        if session is None or write is None or runner.is_running or session.weights.is_file():
            return
        work = partial(session.save_weights, write)
        self._keeping = Job(lambda: iter([work()]), title="saving the weights", after=runner.job)
        self._keeping.ended.connect(self._end_keeping)
        self._keeping.start()

    def _end_keeping(self, _ending: str, message: str) -> None:
        if message:
            self.dock.complain(message)

    def forget_weights(self) -> None:
        """Start from the built-in weights, or those that are chosen: those of now are another movie's."""
        self.dock.runner.engine.drop()
        self.dock.finetune.forget()

    # Asking

    def ask_save(self) -> None:
        """Ask for a folder; with an open session, save now."""
        if self.link is not None:
            self.flush()
            self.say_where()
            return
        path = self._ask_folder()
        if path is not None:
            self._create_soon(lambda: path, chosen=True)

    def ask_save_as(self) -> None:
        """Ask for another folder, and go on there; raises as `save_as`."""
        path = self._ask_folder()
        if path is not None:
            save_as(self, path)

    def _ask_folder(self) -> Path | None:
        view = self.workspace.require_movie()
        start = f"{view.movie.name}-{time.strftime('%Y%m%d')}{SESSION_SUFFIX}"
        name, _ = QFileDialog.getSaveFileName(self.dock, "A new folder for the session", start)
        return Path(name if name.endswith(SESSION_SUFFIX) else name + SESSION_SUFFIX) if name else None

    def ask_open(self) -> None:
        """Ask which session."""
        place = self.dock.preferences.sessions if self.session is None else self.session.folder.parent
        start = str(place) if place.is_dir() else ""
        name = QFileDialog.getExistingDirectory(self.dock, "The folder of a session", start)
        if name:
            self.reopening.open_soon(Path(name))

    # Inside

    def begin(self, session: Session, restored: Sequence[Layer] = ()) -> None:
        """Save what is on the layers into a session from now on; those that were just restored are saved."""
        view = self.workspace.require_movie()
        self.workspace.session = session
        self._opened[:] = [session]
        self.reopening.give_up()
        self.earlier.forget()
        remember_session(view, session.folder)
        open_sessions_here()
        self.link = SessionLink(session, view, dims=self.dock.viewer.dims)
        self.link.look(view)
        self._watched = Watched(self.link, self.dock.bar.say, self.dock.complain)
        self._watch(restored)
        self._show_results()
        if self.dock.preferences.autosave:
            self._timer.start()
        self.say_where()

    def _watch(self, restored: Sequence[Layer] = ()) -> None:
        """Save the drawings' layers of now; what was on others leaves the session."""
        if self.workspace.drawings is not None and self._watched is not None:
            self._watched.follow(self.workspace.drawings.followed, restored)

    def _note_result(self) -> None:
        self._show_results()
        session = self.session
        if session is not None and None in self.stores().values():
            QTimer.singleShot(AFTER, lambda: self.dock.attempt(lambda: self._forget_result(session)))

    def _show_results(self) -> None:
        """Save how results are shown, and what is painted on the masks."""
        if self.link is not None:
            self.link.follow(self.workspace.result)
        for role, store in self.stores().items():
            if self.link is not None:
                self.link.show(role, None if store is None else store.layer)
            if self.session is not None and store is not None:
                notes_of(store.layer)["session"] = str(self.session.folder.absolute())

    def _forget_result(self, session: Session) -> None:
        """Take what the user deleted out of the session: masks are kept beside, probabilities are not."""
        if self.session is not session:
            return
        if self.workspace.result is None and session.results.written:
            session.former.keep_result(moved=True)
        elif self.workspace.probability is None and session.probabilities.written:
            session.probabilities.clear()

    def stores(self) -> dict[str, StoredFrames | None]:
        """Give result and probabilities, by role."""
        return {"result": self.workspace.result, "probability": self.workspace.probability}

    def keep_drawings(self) -> None:
        """Begin a session by itself if something is drawn that none holds, and if that is wanted."""
        drawings = self.workspace.drawings
        if drawings is not None and drawings.layers and self.dock.preferences.autosave:
            self.create_by_itself()

    def _note(self, what: str, _frame: Any) -> None:
        drawings, link = self.workspace.drawings, self.link
        if link is None or drawings is None:
            self.keep_drawings()
            return
        if what == "absent":
            link.note("absent")
        elif what == "objects":
            link.note("objects", {k: SessionObject(name) for k, name in drawings.names.items()})

    def save_numbers(self) -> None:
        """Save settings, and confidence and IoU of the result."""
        result = self.workspace.result
        if self.link is None:
            return
        if result is not None and not result.unread:
            self.link.note("metrics", result.rows())
        self.link.note("scores", self.dock.review.score_rows())
        self.link.note("settings", self.settings())

    def _tick(self) -> None:
        try:
            if self._watched is not None:
                self._watched.retry()
            if self.link is not None:
                self.link.tick()
                if self.trouble and self.link.is_saved:
                    self.say_where()
        except MaskTrackError as error:
            self.trouble = str(error)
            self.dock.complain(self.trouble)
            self.dock.save.set_where(f"Not all is saved: {error} It is tried again by itself.")

    def say_where(self) -> None:
        """Say in which folder the work is kept: all is well."""
        session, self.trouble = self.session, ""
        if session is not None:
            how = "Saved as you work" if self.dock.preferences.autosave else "Saved when you press the button"
            self.dock.save.set_where(f"{how}, in {session.folder}")


def _close_all(sessions: list[Session], *_: object) -> None:
    """Free the folders of a dock that was deleted without a word."""
    for session in sessions:
        session.close()
    sessions.clear()
