"""Go on with a session: its movie, its drawings, its result, and what can be said of that."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.io.session import Session
from napari_masktrack.layers.create import notes_of, role_of
from napari_masktrack.layers.reader import LayerData, read_drawings
from napari_masktrack.layers.session import restore_look
from napari_masktrack.widgets.engine import Phase

if TYPE_CHECKING:
    from napari_masktrack.widgets.sessions import Sessions


class Reopening:
    """How the dock takes up a session.

    Parameters
    ----------
    sessions : Sessions
    """

    def __init__(self, sessions: "Sessions") -> None:
        self._sessions = sessions
        self.dock, self.workspace = sessions.dock, sessions.workspace

    def open(self, folder: Path) -> None:
        """Go on with a session; its movie is the one that is open, or is opened.

        Raises
        ------
        InputError
            There is no session, or its movie is another one or cannot be found.
        """
        self._sessions.flush()  # it may be the one that is open
        self._show(folder, read_drawings(folder, self.workspace.view))

    def open_soon(self, folder: Path) -> None:
        """As `open`, but everything is read in the dock's thread; raises as `flush`."""
        now = self._sessions.session
        if now is not None and now.folder.absolute() == folder.absolute():
            self.open(folder)  # what is drawn meanwhile would be missing from what was read
            return
        view, found = self.workspace.view, list[list[LayerData]]()

        def work() -> Iterator[Any]:
            yield Phase("Opening the session")
            yield read_drawings(folder, view)

        def end(_ending: str, _message: str) -> None:
            self.dock.runner.ended.disconnect(end)
            if found and self.workspace.view is view:
                self.dock.attempt(lambda: self._show(folder, found[0]))

        self.dock.runner.ended.connect(end)
        self.dock.runner.start(work, "opening a session", found.append)

    def _show(self, folder: Path, read: list[LayerData]) -> None:
        """Show what was read: layers to draw on, or the movie too, whose session the dock then follows."""
        layers = [Layer.create(*each) for each in read]
        image = next((layer for layer in layers if isinstance(layer, Image)), None)
        if image is not None:
            for layer in layers:
                self.dock.viewer.add_layer(layer)
            self.dock.movie.set_value(image)
            return
        self._sessions.close()
        drawings = self.workspace.require_drawings()
        drawings.give_up()  # else what was drawn before would be saved into this session
        for layer in layers:
            self.dock.viewer.add_layer(layer)
            drawings.take(str(role_of(layer)), layer)
        self._adopt(folder, restored=layers)

    def adopt_later(self, folder: Path) -> None:
        """Take up the session that the movie of now was opened from, whose other layers are there now."""
        view = self.workspace.view
        if self._sessions.session is None and view is not None and _is_of(view.layer, folder):
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
            if _is_of(layer, folder) and role_of(layer) in self._sessions.stores():
                self.dock.viewer.layers.remove(layer)
        drawings.take_own()
        for role, layer in drawings.layers.items():
            if layer in restored or _is_of(layer, folder):
                restore_look(session, role, layer)  # what read it could not say its contour
        masks = drawings.layers.get("masks")
        if masks is not None:
            notes_of(masks)["names"] = {k: each.name for k, each in session.objects.items()}
        self._sessions.restore_settings(session.settings)
        self.workspace.close_result()
        self._sessions.begin(session, restored)
        if session.weights.is_file():
            self.dock.finetune.set_model(session.weights)
        self.dock.finetune.set_former(session.former.latest_weights)
        self.dock.review.restore_scores(session.numbers.scores())
        self._sessions.slices.start(self.workspace.restore_results(session), self._show_review)
        for problem in session.problems:
            self.dock.complain(problem)

    def _show_review(self) -> None:
        """Show what can be said of a result that came back."""
        self.workspace.result_changed.emit()
        self.dock.commands.compare_meetings()
        result, review = self.workspace.result, self.dock.review
        if result is not None and not review.value():
            review.restore_scores(scored(result.rows()))
        if result is not None or review.value():
            self.dock.folds["5  Review"].set_open()


def _is_of(layer: Layer, folder: Path) -> bool:
    """Whether a layer was opened from a session."""
    return bool(notes_of(layer).get("session") == str(folder.absolute()))


def scored(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Give the IoU among the numbers of a result; sessions kept nothing else of a comparison once."""
    known = [row for row in rows if not math.isnan(float(row["iou"]))]
    return [
        {"frame": str(row["frame"]), "label": str(row["label"]), "J": str(row["iou"]), "source": "earlier"}
        for row in known
    ]
