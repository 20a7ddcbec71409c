"""What the buttons of the dock do."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_masktrack.core.agreement import agreement
from napari_masktrack.core.plan import reached
from napari_masktrack.errors import AnnotationError, InputError
from napari_masktrack.layers.looks import put_aside
from napari_masktrack.widgets.boxes import box_to_mask
from napari_masktrack.widgets.closing import STOPPED, STOPPED_EARLY, alone, done
from napari_masktrack.widgets.corrections import range_around
from napari_masktrack.widgets.drawings import Drawings
from napari_masktrack.widgets.engine import NotCompared, Plan, Remark, Score, comparable
from napari_masktrack.widgets.exports import ask_export
from napari_masktrack.widgets.imports import Imports
from napari_masktrack.widgets.slices import Slices

if TYPE_CHECKING:
    from napari_masktrack.io.session import Session
    from napari_masktrack.widgets.dock import MaskTrackDock
    from napari_masktrack.widgets.worker import Job

AGAIN = 200
"""Milliseconds after which it is looked again whether cancelled work has really ended."""

ALONE = {"box to mask", "import", "score", "leave one out", "revert", "export", "open", "save as"}
"""What is not begun while other work is under way."""
NEED_RESULT = {"use result", "score", "leave one out", "revert", "export"}
"""What needs, or writes, all of a result; running does, too."""


class Commands:
    """Read the sections, start the work, put back what it gives.

    Parameters
    ----------
    dock : MaskTrackDock
    """

    def __init__(self, dock: "MaskTrackDock") -> None:
        self.dock, self.workspace, self.runner = dock, dock.workspace, dock.runner
        self._slices, self._reverting = Slices(dock), Slices(dock)
        self._reverting.failed.connect(dock.complain)
        self.imports = Imports(dock)
        self._handed: set[tuple[int, int]] = set()
        self._taken: dict[int, NDArray[np.bool_]] = {}
        self.workspace.leaving.connect(lambda: self.show_result(always=True))
        self.workspace.movie_changed.connect(lambda: self._taken.clear())
        self._hidden: int | None = None
        self._left = 0
        self._tunes = False
        self._made: Counter[str] = Counter()
        self._known = set[int]()  # the objects of the run
        self.runner.framed.connect(self._count)
        self._actions = {
            "box to mask": lambda: box_to_mask(dock),
            "use result": self.use_result,
            "import": self.imports.ask,
            "next": self.go_to_next,
            "score": self.score,
            "leave one out": self.leave_one_out,
            "revert": self.revert,
            "export": lambda: ask_export(dock),
            "save": self.save,
            "save as": dock.sessions.ask_save_as,
            "open": dock.sessions.ask_open,
            "open earlier": dock.sessions.earlier.open,
        }

    def do(self, what: str) -> None:
        """Do what a button asks for.

        Raises
        ------
        MaskTrackError
            It cannot be done; says why.
        """
        if what in ALONE:
            self.runner.require_idle()
        if what in NEED_RESULT:
            self.workspace.require_restored()
        self._actions[what]()

    def plan(self, **changes: Any) -> Plan:
        """Read movie, annotations, device and weights from the dock, but for what is given.

        Raises
        ------
        InputError
            There is no movie, or a layer cannot be used.
        """
        view, drawings = self.workspace.require_movie(), self.workspace.require_drawings()
        self.imports.finish()
        if "annotations" not in changes:  # to read all that is drawn takes long
            changes["annotations"] = drawings.read()
        finetune = self.dock.finetune
        return Plan(movie=view.movie, model=finetune.model, device=finetune.device.currentData(), **changes)

    def run(self) -> None:
        """Fine-tune and propagate, as the sections say.

        Raises
        ------
        MaskTrackError
            It cannot be done; says why.
        """
        self.runner.require_idle()
        self.workspace.require_restored()
        drawings = self.workspace.require_drawings()
        config = self.dock.finetune.value()
        plan = self.plan(
            finetune=config,
            finetune_flow=self.dock.finetune.adapts_flow,
            propagation=self.dock.propagate.value(),
            crf_search=self.dock.propagate.searches_crf,
            frames=self.dock.propagate.frames(),
            save_weights=partial(self.dock.sessions.save_weights, drawings.view),
            probability=self.dock.propagate.probability.isChecked(),
        )
        plan.annotations.check(len(plan.movie), plan.movie.shape)
        frames = self._reached(plan)
        self._hand_over(drawings, frames)
        self._made.clear()
        self._known = set(drawings.anchors)
        self._tunes = config is not None
        if config is not None:
            self.dock.finetune.plot.clear(config.steps)
            self.dock.finetune.plot.show()
        self.dock.propagate.begin_search()
        self.show_result(always=True)
        self.runner.run(replace(plan, frames=frames), self._end_run)
        if drawings.lonely:
            self.dock.bar.say(alone(drawings.lonely))
        self.dock.show_step()

    def release(self) -> None:
        """Leave undone what is in slices; what is being taken back, the result ends by itself."""
        self._slices.drop()
        self._reverting.drop()
        self.imports.release()

    def touched(self) -> range | None:
        """Give the frames that the last corrections touch."""
        view, drawings = self.workspace.view, self.workspace.drawings
        if view is None or drawings is None:
            return None
        drawings.settle()
        return range_around(drawings.anchors, drawings.corrected, len(view))

    def _reached(self, plan: Plan) -> range:
        """Give the frames that a run gives masks to; on others, what an earlier one gave stays.

        Raises
        ------
        AnnotationError
            There are none.
        """
        assert plan.propagation is not None, "this is asked of a propagation"
        wanted = plan.frames or range(len(plan.movie))
        anchors = chain.from_iterable(self.workspace.require_drawings().anchors.values())
        frames = reached(anchors, plan.propagation.direction, wanted)
        if not frames:
            raise AnnotationError(
                f"In this direction nothing is carried to frames {wanted[0]} to {wanted[-1]}; choose another "
                "direction, or other frames."
            )
        self._left = len(wanted) - len(frames)
        return frames

    def _hand_over(self, drawings: Drawings, frames: range) -> None:
        """Call those corrections propagated that a run on some frames takes care of; later ones stay."""
        length = len(drawings.view)
        around = {each: range_around(drawings.anchors, [each], length) for each in drawings.corrected}
        self._handed = {each for each, touched in around.items() if touched and set(touched) <= set(frames)}
        drawings.corrected -= self._handed

    def finish(self) -> None:
        """Tidy up after any work."""
        finetune = self.dock.finetune
        if self.runner.engine.tuned:
            finetune.set_model(None)
            self.dock.sessions.keep_weights()
        if self.workspace.session is not None and self.runner.job is not None:
            self._offer_former(self.workspace.session, self.runner.job)

    def _offer_former(self, session: "Session", job: "Job") -> None:
        """Offer the weights of before; what was cancelled may still be saving its own."""
        if not job.thread_ended:
            QTimer.singleShot(AGAIN, lambda: self._offer_former(session, job))
        elif self.workspace.session is session:
            self.dock.finetune.set_former(session.former.latest_weights)

    def _end_run(self, ending: str) -> None:
        """Say what became of a propagation, and show what can be said of its result."""
        drawings, handed = self.workspace.drawings, self._handed
        self._handed = set()
        if drawings is not None and ending != "done":
            drawings.corrected |= handed
        if drawings is not None and ending == "done":
            self.dock.propagate.end_search()
            for frame, _ in handed:
                self._taken.pop(frame, None)
            learned = not self._tunes or bool(self.dock.finetune.plot.value())
            said = done(self._made, left=self._left, learned=learned)
            self.dock.bar.say(f"{said} {alone(drawings.lonely)}".rstrip(), "good")
            if self.dock.sessions.trouble:
                self.dock.complain(f"Done, but not saved: {self.dock.sessions.trouble}")
        elif ending == "cancelled":
            self.dock.bar.say(STOPPED if self._made else STOPPED_EARLY)
        if self._made:
            self.dock.review.outdate_scores()
        self.dock.show_review()
        self.dock.sessions.save_numbers()
        self.compare_meetings()

    def _count(self, result: Any) -> None:
        """Take note of what became of a frame."""
        if any(source != result.frame for source in result.source.values()):
            self._made["carried"] += 1
        elif not result.source:
            self._made["unreached"] += 1
        else:
            self._made["yours"] += 1
            self._made["partial"] += not self._known <= result.source.keys()

    def compare_meetings(self) -> None:
        """Find out how masks from before and after agree."""
        view, result = self.workspace.view, self.workspace.result
        if view is None or result is None:
            return
        found: dict[int, Any] = {}
        self._slices.drop()  # of an earlier result
        self._slices.start(agreement(result, len(view), found), lambda: self.dock.review.set_meetings(found))

    # Annotating

    def use_result(self) -> None:
        """Take the result of the frame that is shown over as an annotation; what is painted since stays.

        Raises
        ------
        InputError
            There is no result there.
        """
        drawings, result, frame = (
            self.workspace.require_drawings(),
            self.workspace.result,
            self.workspace.frame,
        )
        if result is None or frame is None or frame not in result.done:
            raise InputError(
                "There is no result on this frame yet; propagate first, then press J to correct it."
            )
        drawings.settle()
        image = result.labels(frame)
        image[np.isin(image, [label for each, label in drawings.absent if each == frame])] = 0
        drawings.check_paintable(np.unique(image).tolist())
        corrected = frame in {each for each, _ in drawings.corrected | self._handed}
        before, taken = drawings.painted(frame), self._taken.get(frame)
        if not corrected:
            drawings.paint(frame, image)
        elif taken is None or not before[taken].any():  # else what was erased since would come back
            drawings.fill(frame, image)
            drawings.settle()
        if (changed := drawings.painted(frame) != before).any():
            self._taken[frame] = changed
        for label in drawings.colours.hidden & set(np.unique(image).tolist()):
            drawings.show(label, visible=True)  # else it would be painted over unseen
        masks = drawings.layers["masks"]
        masks.visible = True
        drawings.viewer.layers.selection.active = masks
        masks.mode = "paint"
        drawings.choose(drawings.label)
        if result.layer.visible:  # else what is erased from the annotation still seems to be there
            put_aside(result.layer, aside=True)
            self._hidden = frame
        kept = " What you painted there stays." if corrected else ""
        self.dock.bar.say(
            f"Frame {frame} is your annotation now, its result hidden: correct it, then run again.{kept}",
            "good",
        )

    def show_result(self, *, always: bool = False) -> None:
        """Show the result again that was hidden for a correction, unless its frame is still looked at."""
        if self._hidden is not None and (always or self._hidden != self.workspace.frame):
            self._hidden = None
            if self.workspace.result is not None:
                put_aside(self.workspace.result.layer, aside=False)

    def save(self) -> None:
        """Save the session; ask where to if there is none, and say where it is."""
        self.dock.sessions.ask_save()
        if self.workspace.session is not None:
            self.dock.bar.say(f"Saved in {self.workspace.session.folder}.", "good")

    # Reviewing

    def go_to_next(self) -> None:
        """Go to the frame where help is worth most, and say why."""
        found = self.dock.review.suggestion()
        if found is None:
            raise InputError("There is nothing to go by yet; propagate first.")
        self.workspace.go_to(found.frame)
        self.dock.bar.say(found.reason)

    def score(self) -> None:
        """Compare the result with the reference layer."""
        from napari_masktrack.layers.index import AnnotationIndex
        from napari_masktrack.widgets.engine import against_reference

        reference, result = self.dock.review.reference.value(), self.workspace.result
        if reference is None:
            self.leave_one_out()
            return
        if reference in self.workspace.require_drawings().layers.values():
            raise InputError(f"You draw on {reference.name!r}; choose a layer with the true masks, or none.")
        if result is None or not result.done:
            raise InputError("There is no result to compare yet; propagate first.")
        index = AnnotationIndex(reference, self.workspace.require_movie(), known=())
        frames, view, data = result.done, result.view, result.layer.data
        found = (int(str(row["label"])) for row in result.rows())
        known = {*self.workspace.require_drawings().objects, *found}
        work = against_reference(
            frames, index.image, lambda frame: np.asarray(data[view.layout.key(frame)]), known=known
        )
        self._collect(lambda: work, f"against {reference.name!r}", close=index.close)

    def leave_one_out(self) -> None:
        """Predict each annotated frame from the others.

        Raises
        ------
        InputError
            Fewer than two frames are annotated.
        """
        plan = self.plan(propagation=self.dock.propagate.value())
        if len(comparable(plan.annotations)) < 2:
            raise InputError(
                "Leave-one-out needs an object painted on two frames or more; paint one more frame, or "
                "choose a reference layer."
            )
        self._collect(lambda: self.runner.engine.leave_one_out(plan), "leave-one-out on your frames")

    def _collect(self, work: Any, source: str, close: Any = None) -> None:
        scores: list[Score] = []
        left_out: list[int] = []
        remarks: list[str] = []

        def take(item: Score | NotCompared | Remark) -> None:
            if isinstance(item, NotCompared):
                left_out.extend(item.labels)
                return
            if isinstance(item, Remark):
                remarks.append(item.text)
                return
            if scores and item.frame != scores[-1].frame:
                self.runner.advance()
            scores.append(item)

        def end(_ending: str) -> None:
            if close is not None:
                close()
            if scores or left_out:
                self.dock.review.set_scores(scores, "".join((source, *remarks)), not_compared=left_out)
                if self.workspace.result is not None:
                    self.workspace.result.set_scores({(each.frame, each.label): each.J for each in scores})
                self.dock.sessions.save_numbers()

        self.runner.start(work, "comparison", take, then=end)

    def revert(self) -> None:
        """Take the last propagation back."""
        result = self.workspace.result
        if result is None or not result.can_revert or self.runner.is_running:
            raise InputError("There is no propagation to take back.")
        self.dock.sessions.flush()
        count, probability = len(result.former_frames), self.workspace.probability
        steps = [store.reverting() for store in (result, probability) if store is not None]
        self.dock.bar.say("The last propagation is being taken back.")

        def end() -> None:
            self.workspace.result_changed.emit()
            self.dock.bar.say(f"Taken back on {count} frames.", "good")

        self._reverting.start(chain(*steps), end)
