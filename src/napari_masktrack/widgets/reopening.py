"""Go on with a session: its movie, its drawings, its result, and what can be said of that."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.io.session import LAYERS, Session, is_session
from napari_masktrack.layers.create import notes_of, role_of
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.notes import forget_session
from napari_masktrack.layers.reader import Read, read_drawings
from napari_masktrack.layers.session import restore_layers, restore_look
from napari_masktrack.widgets.corrections import settling
from napari_masktrack.widgets.engine import Phase

if TYPE_CHECKING:
    from napari_masktrack.widgets.sessions import Sessions


_BEFORE = " (before)"
SAID = 3
"""So many things that could not be read are said one by one."""


class Reopening:
    """How the dock takes up a session.

    Parameters
    ----------
    sessions : Sessions
    """

    def __init__(self, sessions: "Sessions") -> None:
        self._sessions = sessions
        self.dock, self.workspace = sessions.dock, sessions.workspace
        self._pending = False

    @property
    def is_pending(self) -> bool:
        """Whether the movie has a session that is not taken up yet, or could not be."""
        return self._pending

    def give_up(self) -> None:
        """Take up nothing any more: there is a session now, or another movie."""
        self._pending = False

    def open(self, folder: Path) -> None:
        """Go on with a session; its movie is one that is shown, or is opened.

        Raises
        ------
        InputError
            There is no session, or its movie is another one or cannot be found.
        """
        self._sessions.flush()  # it may be the one that is open
        self._show(folder, read_drawings(folder, self._images()))

    def open_soon(self, folder: Path) -> None:
        """As `open`, but everything is read in the dock's thread; raises as `flush`."""
        now = self._sessions.session
        if now is not None and now.folder.absolute() == folder.absolute():
            self.open(folder)  # what is drawn meanwhile would be missing from what was read
            return
        view, images, found = self.workspace.view, self._images(), list[Read]()

        def work() -> Iterator[Any]:
            yield Phase("Opening the session")
            yield read_drawings(folder, images)

        def end(_ending: str) -> None:
            if found and self.workspace.view is view:
                self.dock.attempt(lambda: self._show(folder, found[0]))

        self.dock.runner.start(work, "opening a session", found.append, then=end)

    def adopt_soon(self, folder: Path) -> None:
        """Take up the session of the movie of now, once all of its layers are there."""
        view, self._pending = self.workspace.require_movie(), True
        QTimer.singleShot(0, lambda: self._adopt_later(folder, view))

    def _images(self) -> list[Image]:
        """Give the layers that may be a session's movie, first the one that is chosen."""
        chosen = self.dock.movie.layer.value()
        images = [each for each in self.dock.viewer.layers if isinstance(each, Image) and not role_of(each)]
        return sorted(images, key=lambda layer: layer is not chosen)

    def _show(self, folder: Path, read: Read) -> None:
        """Show what was read: layers to draw on, or the movie too, whose session the dock then follows."""
        layers, view, now = [Layer.create(*each) for each in read.layers], read.view, self._sessions.session
        if view is None:
            for layer in layers:
                self.dock.viewer.add_layer(layer)
            self.dock.movie.layer.set_value(layers[0])
            return
        if now is not None and now.folder.absolute() == folder.absolute():
            self._sessions.close()
        with self._opened(folder) as session:  # if that is refused, nothing has changed
            self._sessions.close()
            seen = self.workspace.view
            if seen is None or not seen.lies_like(view) or seen.channel != view.channel:
                self.dock.movie.set_value(view)
            drawings = self.workspace.require_drawings()
            drawings.give_up()  # else what was drawn before would be saved into this session
            self._draw_on(layers)
            self._adopt(session, restored=layers, problems=read.problems)

    @contextmanager
    def _opened(self, folder: Path) -> Iterator[Session]:
        """Open a session for good; it is closed only if taking it up fails."""
        session = Session.open(folder)
        try:
            yield session
        except MaskTrackError:
            if self._sessions.session is session:  # it had begun: nothing may be saved into it any more
                self._sessions.close()
            session.close()
            raise

    def _draw_on(self, layers: Iterable[Layer]) -> None:
        for layer in layers:
            self.dock.viewer.add_layer(layer)
            self.workspace.require_drawings().take(str(role_of(layer)), layer)

    def _adopt_later(self, folder: Path, view: LayerMovie) -> None:
        if self._sessions.session is not None or self.workspace.view is not view:
            return
        if not is_session(folder):  # the user deleted it
            forget_session(view)
            self._pending = False
            self._sessions.keep_drawings()
            return
        try:
            with self._opened(folder) as session:
                session.check_movie(view.movie)
                missing = self._missing(session, view)
                self._draw_on(missing)
                self._adopt(session, missing, notes_of(view.layer).pop("problems", ()))
        except MaskTrackError as error:
            self.dock.complain(f"{error} Nothing is saved until you press 'Save session'.")

    def _missing(self, session: Session, view: LayerMovie) -> list[Layer]:
        """Read the layers to draw on that were deleted while the session was closed."""
        drawings = self.workspace.require_drawings()
        drawings.take_own()
        held = {role for role in LAYERS if session.annotated_frames(role)}
        held |= {"shapes"} if session.shapes() else set()
        held |= {"masks"} if session.absent else set()
        if held <= set(drawings.layers):
            return []
        restored = restore_layers(session, view, checked=True)
        return [each for role, each in restored.items() if role not in drawings.layers]

    def _adopt(self, session: Session, restored: Sequence[Layer], problems: Iterable[str]) -> None:
        """Take up a session whose layers are in the viewer; those that were just restored are saved."""
        drawings = self.workspace.require_drawings()
        drawings.take_own()
        # Read before anything begins: if the disk refuses, nothing is said to be saved that is not.
        scores, stores = session.numbers.scores(), self.workspace.read_results(session)
        former = self._put_aside(session.folder)
        for role, layer in drawings.layers.items():
            if layer in restored or _is_of(layer, session.folder):
                restore_look(session, role, layer)  # what read it could not say its contour
        masks = drawings.layers.get("masks")
        if masks is not None:
            notes_of(masks)["names"] = {k: each.name for k, each in session.objects.items()}
        self._sessions.restore_settings(session.settings)
        self.workspace.close_result()
        self._sessions.begin(session, restored)
        self._sessions.forget_weights()
        if session.weights.is_file():
            self.dock.finetune.set_model(session.weights, own=True)
        self.dock.finetune.set_former(session.former.latest_weights)
        self.dock.review.restore_scores(scores)
        results = self.workspace.restore_results(session, stores)
        work = chain(results, self._settling(), self._clear(former))
        self._sessions.slices.start(work, lambda: self._end(session, problems))

    def _settling(self) -> Iterator[int]:
        """As `settling`, for the drawings and the result of the moment when it begins."""
        yield from settling(self.workspace.require_drawings(), self.workspace.result)

    def _put_aside(self, folder: Path) -> list[Layer]:
        """Hide the results of a session that are in the viewer: read anew, for it may have others now."""
        of_session = [layer for layer in self.dock.viewer.layers if _is_of(layer, folder)]
        former = [layer for layer in of_session if role_of(layer) in ("result", "probability")]
        for layer in former:
            name = str(layer.name).removesuffix(_BEFORE)  # it has that if the movie was left too soon
            layer.visible, layer.name = False, name + _BEFORE
        return former

    def _clear(self, former: Iterable[Layer]) -> Iterator[None]:
        """Remove results that are shown anew, in steps; those that somebody changed meanwhile stay."""
        view, stores = self.workspace.require_movie(), self._sessions.stores()
        for layer in former:
            store = stores[str(role_of(layer))]
            same = tuple(layer.data.shape) == view.layout.shape
            for frame in range(len(view) if same else 0):
                now = 0 if store is None else store.labels(frame)
                same = same and not (np.asarray(layer.data[view.layout.key(frame)]) != now).any()
                yield
            notes_of(layer).pop("session", None)
            if same and layer in self.dock.viewer.layers:
                self.dock.viewer.layers.remove(layer)
            elif not same:
                self.dock.bar.say(f"{layer.name!r} differs from what the session holds, so it was kept.")

    def _end(self, session: Session, problems: Iterable[str]) -> None:
        """Show what can be said of the result, and all that could not be read."""
        self._show_review()
        said = list(dict.fromkeys([*problems, *session.problems]))
        more = f" And {len(said) - SAID} more such files." if len(said) > SAID else ""
        if said:
            self.dock.complain(" ".join(said[:SAID]) + more)

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
