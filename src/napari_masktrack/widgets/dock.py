"""The dock "MaskTrack": movie, annotate, fine-tune, propagate, review, save; and the button that runs it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import napari
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.widgets.annotate_section import AnnotateSection
from napari_masktrack.widgets.canvas import WholeView
from napari_masktrack.widgets.commands import Commands
from napari_masktrack.widgets.engine import Engine
from napari_masktrack.widgets.finetune_section import FinetuneSection
from napari_masktrack.widgets.keys import KeyBindings
from napari_masktrack.widgets.movie_section import MovieSection
from napari_masktrack.widgets.preferences import Preferences
from napari_masktrack.widgets.propagate_section import PropagateSection
from napari_masktrack.widgets.review_section import ReviewSection
from napari_masktrack.widgets.run_bar import RunBar
from napari_masktrack.widgets.runner import Runner
from napari_masktrack.widgets.save_section import SaveSection
from napari_masktrack.widgets.section import Fold, note
from napari_masktrack.widgets.sessions import Sessions
from napari_masktrack.widgets.workspace import Workspace

STEPS = {
    "movie": "Open an image, or take the sample: File > Open Sample > MaskTrack.",
    "draw": "Go to a frame where the objects are clear, press Paint, and paint each whole.",
    "run": "Press the button below: the network adapts to your frames and finds the objects on all others.",
    "run off": "Press the button below: the objects of your frames are found on all others.",
    "working": "Working; the bar below says how far. You may go on looking, or cancel.",
    "correct": "Look through the movie (N: weakest frame). Where it is wrong, press J, correct, run again.",
}
"""What to do next, by where the user is."""


class MaskTrackDock(QWidget):
    """Everything in one dock; one per viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    engine : Engine, optional
        A test may give one with a fake network.
    """

    def __init__(self, viewer: napari.Viewer, engine: Engine | None = None) -> None:
        super().__init__()
        self._released = False
        self.setObjectName("MaskTrack")
        # napari hands plugins a proxy, whose layers are other objects at each look.
        viewer = getattr(viewer, "__wrapped__", viewer)
        self.viewer = viewer
        self._whole_view = WholeView(viewer, self)
        self.preferences = Preferences.read()
        self.workspace = Workspace(viewer, self)
        self.bar = RunBar()
        self.runner = Runner(self.workspace, engine or Engine(), self.bar, self)
        self.movie = MovieSection(viewer)
        self.annotate = AnnotateSection(viewer, lambda: self.workspace.frame)
        self.finetune = FinetuneSection(device=self.preferences.device, folder=self.preferences.model_folder)
        self.propagate = PropagateSection(self._touched)
        self.review = ReviewSection(viewer)
        self.save = SaveSection()
        self.sessions = Sessions(self)
        self.commands = Commands(self)
        self.keys = KeyBindings(self)
        self._build()
        self._connect()
        self.workspace.set_movie(self.movie.value())

    def _touched(self) -> range | None:
        return self.commands.touched()

    def _build(self) -> None:
        self.guide = note()
        self.guide.setAccessibleName("What to do next")
        self.guide.setStyleSheet("padding: 4px; font-style: italic;")
        inner = QWidget()
        rows = QVBoxLayout(inner)
        rows.setContentsMargins(2, 2, 2, 2)
        rows.setSpacing(2)
        self.folds = {
            title: Fold(title, section, tooltip=tooltip, is_open=is_open)
            for title, section, tooltip, is_open in (
                ("1  Movie", self.movie, "Which layer is the movie, and what its axes mean", True),
                ("2  Annotate", self.annotate, "Say what the objects are, on one frame or more", True),
                ("3  Fine-tune", self.finetune, "How the network adapts to your frames", False),
                ("4  Propagate", self.propagate, "Which way and how far the masks are carried", False),
                ("5  Review", self.review, "How sure the result is, and where to look next", False),
                ("6  Save", self.save, "Export the result; keep the session", False),
            )
        }
        for fold in self.folds.values():
            rows.addWidget(fold)
        rows.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidget(inner)
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setMinimumWidth(330)
        self._scroll = QTimer(self, singleShot=True, interval=0)
        self._scroll.timeout.connect(lambda: self.area.ensureWidgetVisible(self.review.next))
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.guide)
        outer.addWidget(self.area, 1)
        outer.addWidget(self.bar)

    def _connect(self) -> None:
        self.movie.changed.connect(lambda view: self.attempt(lambda: self._set_movie(view)))
        self.workspace.movie_changed.connect(self._follow_movie)
        self.workspace.channels_changed.connect(self._follow_channels)
        self.workspace.result_changed.connect(self._follow_result)
        self.workspace.problem.connect(self.complain)
        self.annotate.problem.connect(self.complain)
        self.annotate.went.connect(self.workspace.go_to)
        self.annotate.asked.connect(lambda what: self.attempt(lambda: self.commands.do(what)))
        self.review.went.connect(self.workspace.go_to)
        self.review.problem.connect(self.complain)
        self.review.asked.connect(lambda what: self.attempt(lambda: self.commands.do(what)))
        self.save.asked.connect(lambda what: self.attempt(lambda: self.commands.do(what)))
        self.bar.started.connect(lambda: self.attempt(self.commands.run))
        self.runner.follow = self.propagate.follow.isChecked
        self.runner.trained.connect(self._follow_training)
        self.runner.searched.connect(self.propagate.show_search)
        # What was painted on the result is saved first: what is being written would come after new masks.
        self.runner.carrying.connect(lambda: self.attempt(self.sessions.flush))
        self.runner.framed.connect(self.review.note)
        self.runner.ended.connect(self._follow_end)
        self.finetune.changed.connect(self.show_step)
        self.propagate.changed.connect(lambda: self.finetune.set_flow(wanted=self.propagate.flow))
        self.viewer.dims.events.current_step.connect(self._follow_frame)

    # For the parts of the dock

    def attempt(self, act: Callable[[], Any]) -> Any:
        """Do something that the user asked for; say what went wrong."""
        try:
            return act()
        except MaskTrackError as error:
            self.complain(str(error))
            return None

    def complain(self, message: str) -> None:
        """Show what went wrong."""
        self.bar.say(message, "error")

    def show_review(self) -> None:
        """Unfold the review and bring it into sight, once the layout has made room for it."""
        self.folds["5  Review"].set_open()
        self._scroll.start()

    def show_step(self) -> None:
        """Say what to do next, and what the button does."""
        drawings, result = self.workspace.drawings, self.workspace.result
        finetunes = self.finetune.mode.currentData() != "off"
        self.bar.set_title("Fine-tune and propagate" if finetunes else "Propagate")
        if self.runner.is_running:
            step = "working"
        elif drawings is None:
            step = "movie"
        elif not drawings.frames:
            step = "draw"
        elif result is not None and result.done:
            step = "correct"
        else:
            step = "run" if finetunes else "run off"
        self.guide.setText(STEPS[step])

    # Following

    def _set_movie(self, view: Any) -> None:
        if self.runner.is_running:
            self.runner.cancel()
            self.bar.say("The movie was changed, so the work was stopped.")
        self.workspace.set_movie(view)

    def _follow_movie(self) -> None:
        view, drawings = self.workspace.view, self.workspace.drawings
        self.annotate.set_drawings(drawings)
        if drawings is not None:
            drawings.changed.connect(self._follow_drawings)
        frames = 1 if view is None else len(view)
        self.propagate.set_frames(frames)
        self.review.set_movie(frames)
        self.review.set_current(self.workspace.frame)
        self._follow_result()
        self.sessions.follow_movie()
        self._follow_drawings()

    def _follow_channels(self) -> None:
        link, view = self.sessions.link, self.workspace.view
        if link is not None and view is not None:
            link.look(view)

    def _follow_drawings(self) -> None:
        drawings = self.workspace.drawings
        self.review.set_annotated(() if drawings is None else drawings.frames)
        if drawings is not None and drawings.frames:
            self.runner.engine.warm_up()
        self.show_step()

    def _follow_result(self) -> None:
        result, drawings = self.workspace.result, self.workspace.drawings
        rows = [] if result is None else result.rows()
        self.review.set_colours(None if drawings is None else drawings.colour)
        self.review.set_rows(rows)
        self.save.set_state(
            has_result=result is not None and bool(result.done),
            can_revert=result is not None and result.can_revert,
        )
        self.show_step()

    def _follow_training(self, step: Any) -> None:
        if step.step <= 1 or not self.finetune.plot.value():
            self.finetune.plot.clear(step.steps)
            self.finetune.plot.show()
        self.finetune.plot.add(step.step, step.loss)

    def _follow_frame(self, _event: Any = None) -> None:
        self.commands.show_result()
        self.annotate.show_frame()
        self.review.set_current(self.workspace.frame)

    def _follow_end(self, _ending: str, _message: str) -> None:
        self.commands.finish()
        self.show_step()

    # The end

    def release(self) -> None:
        """Stop all work and all listening, and save; the dock is closed."""
        if self._released:
            return
        self._released = True
        dims = self.viewer.dims.events.current_step
        parts = (self.runner, self.sessions, self.keys, self.commands, self.movie, self.annotate, self.review)
        ends = [lambda: self.commands.show_result(always=True), *(part.release for part in parts)]
        ends += [lambda: dims.disconnect(self._follow_frame), self.workspace.release]
        for end in ends:
            with suppress(RuntimeError):  # parts may be gone already when the whole window goes
                end()

    def event(self, event: QEvent | None) -> bool:
        """Notice that napari takes the dock down; a whole window only hides its parts before it goes."""
        kind = None if event is None else event.type()
        if kind == QEvent.Type.ParentChange and self.parent() is None:
            # The button "close this panel" takes the dock out of its frame; one that is moved keeps it.
            self.release()
            self.deleteLater()
        elif kind in (QEvent.Type.Close, QEvent.Type.DeferredDelete):
            self.release()
        elif kind == QEvent.Type.Show:
            self._whole_view.follow()
        elif kind == QEvent.Type.Hide and not self._released:
            self.attempt(self.sessions.flush)
        return bool(super().event(event))
