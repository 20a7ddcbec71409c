"""What the buttons of the dock do."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.core.agreement import agreement
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.errors import AnnotationError, InputError
from napari_masktrack.layers.looks import put_aside
from napari_masktrack.widgets.engine import NotCompared, Plan, Score, comparable
from napari_masktrack.widgets.exports import ask_export
from napari_masktrack.widgets.propagate_section import range_around
from napari_masktrack.widgets.slices import Slices

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock


ALONE = {"box to mask", "score", "leave one out", "revert", "export", "open", "save as"}
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
        self._covered: range | None = None
        self._hidden: int | None = None
        self._last = ""
        self._made: Counter[str] = Counter()
        self.runner.framed.connect(self._count)
        self._actions = {
            "box to mask": self.box_to_mask,
            "use result": self.use_result,
            "import": self.ask_import,
            "next": self.go_to_next,
            "score": self.score,
            "leave one out": self.leave_one_out,
            "revert": self.revert,
            "export": lambda: ask_export(dock),
            "save": self.save,
            "save as": dock.sessions.ask_save_as,
            "open": dock.sessions.ask_open,
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
        """Read movie, annotations, device and weights from the dock.

        Raises
        ------
        InputError
            There is no movie, or a layer cannot be used.
        """
        view, drawings = self.workspace.require_movie(), self.workspace.require_drawings()
        drawings.settle()
        given = {"movie": view.movie, "annotations": drawings.read(), **changes}
        finetune = self.dock.finetune
        return Plan(model=finetune.model, device=finetune.device.currentData(), **given)

    def run(self) -> None:
        """Fine-tune and propagate, as the sections say."""
        if self.runner.is_running:
            return
        self.workspace.require_restored()
        session, drawings = self.workspace.session, self.workspace.require_drawings()
        config = self.dock.finetune.value()
        plan = self.plan(
            finetune=config,
            finetune_flow=self.dock.finetune.adapts_flow,
            propagation=self.dock.propagate.value(),
            crf_search=self.dock.propagate.searches_crf,
            frames=self.dock.propagate.frames(),
            save_weights=None if session is None or config is None else session.save_weights,
            probability=self.dock.propagate.probability.isChecked(),
        )
        plan.annotations.check(len(plan.movie), plan.movie.shape)
        self._covered = plan.frames or range(len(plan.movie))
        self._last = "run"
        self._made.clear()
        if config is not None:
            self.dock.finetune.plot.clear(config.steps)
            self.dock.finetune.plot.show()
        self.dock.propagate.begin_search()
        self.show_result(always=True)
        self.runner.run(plan)
        for frame, label in drawings.lonely[:1]:
            self.dock.bar.say(
                f"Object {label} on frame {frame}: a stroke beside it counts only together with one on it; "
                "add a Scribble there, or press J."
            )
        self.dock.show_step()

    def release(self) -> None:
        """Leave undone what is in slices; what is being taken back, the result ends by itself."""
        self._slices.drop()
        self._reverting.drop()

    def touched(self) -> range | None:
        """Give the frames that the last corrections touch."""
        view, drawings = self.workspace.view, self.workspace.drawings
        if view is None or drawings is None:
            return None
        drawings.settle()
        return range_around(drawings.anchors, drawings.corrected, len(view))

    def finish(self, ending: str) -> None:
        """Tidy up after work."""
        finetune = self.dock.finetune
        if self.runner.engine.tuned:
            finetune.set_model(None)
        if self.workspace.session is not None:
            finetune.set_former(self.workspace.session.former.latest_weights)
        if self._last != "run":
            self._last = ""
            return
        self._last = ""
        drawings = self.workspace.drawings
        if ending == "done" and drawings is not None:
            self.dock.propagate.end_search()
            covered = set(self._covered or ())
            drawings.corrected = {frame for frame in drawings.corrected if frame not in covered}
            self.dock.bar.say(f"Done: {in_words(self._made)}. Review shows where to look.", "good")
        elif ending == "cancelled":
            self.dock.bar.say("Stopped. What was finished is kept; 'Revert' in 6 Save takes it back.")
        if self._made:
            self.dock.review.outdate_scores()
        self.dock.show_review()
        self.dock.sessions.save_numbers()
        self.compare_meetings()

    def _count(self, result: Any) -> None:
        """Take note of what became of a frame."""
        carried = any(source != result.frame for source in result.source.values())
        self._made["carried" if carried else "yours" if result.source else "unreached"] += 1

    def compare_meetings(self) -> None:
        """Find out how masks from before and after agree."""
        view, result = self.workspace.view, self.workspace.result
        if view is None or result is None:
            return
        found: dict[int, Any] = {}
        self._slices.drop()  # of an earlier result
        self._slices.start(agreement(result, len(view), found), lambda: self.dock.review.set_meetings(found))

    # Annotating

    def box_to_mask(self) -> None:
        """Let the network turn the boxes on this frame into masks.

        Raises
        ------
        AnnotationError
            There is no box.
        """
        view, drawings = self.workspace.require_movie(), self.workspace.require_drawings()
        frame = self.workspace.frame
        boxes = () if frame is None else drawings.boxes(frame)
        if frame is None or not boxes:
            raise AnnotationError(
                "There is no box on this frame; press 'Box' and draw one around the object."
            )
        annotations = Annotations(box.annotation(view.movie.shape) for box in boxes)
        plan = self.plan(annotations=annotations, propagation=self.dock.propagate.value())
        plan = replace(plan, frames=range(frame, frame + 1), crf_search=None)

        def take(item: Any) -> None:
            if not hasattr(item, "labels"):
                return
            self.runner.advance()
            for label in annotations.labels:
                if not (item.labels == label).any():
                    self.dock.complain(f"The network finds nothing in the box of object {label}; paint it.")
                    continue
                drawings.paint_object(frame, label, item.labels)
                drawings.remove_boxes(frame, {label})
            drawings.viewer.layers.selection.active = drawings.layers["masks"]

        self.runner.start(lambda: self.runner.engine.run(plan), "box to mask", take)

    def use_result(self) -> None:
        """Take the result of the frame that is shown over as an annotation.

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
        drawings.paint(frame, result.labels(frame))
        masks = drawings.layers["masks"]
        masks.visible = True
        drawings.viewer.layers.selection.active = masks
        masks.mode = "paint"
        drawings.choose(drawings.label)
        if result.layer.visible:  # else what is erased from the annotation still seems to be there
            put_aside(result.layer, aside=True)
            self._hidden = frame
        self.dock.bar.say(
            f"Frame {frame} is your annotation now, its result hidden: correct it, then run again.", "good"
        )

    def show_result(self, *, always: bool = False) -> None:
        """Show the result again that was hidden for a correction, unless its frame is still looked at."""
        if self._hidden is not None and (always or self._hidden != self.workspace.frame):
            self._hidden = None
            if self.workspace.result is not None:
                put_aside(self.workspace.result.layer, aside=False)

    def ask_import(self) -> None:
        """Ask for masks or boxes drawn elsewhere."""
        self.workspace.require_movie()
        names, _ = QFileDialog.getOpenFileNames(
            self.dock, "Masks drawn elsewhere", "", "Masks or boxes (*.png *.tif *.tiff *.csv);;All files (*)"
        )
        if names:
            self.import_from(*map(Path, names))

    def import_from(self, path: Path, *more: Path) -> None:
        """Take masks or boxes from a file or folder, or masks from several files.

        Raises
        ------
        InputError
            It cannot be read, or does not fit the movie.
        """
        from napari_masktrack.io.masks import read_mask_files
        from napari_masktrack.io.readers import read_annotations, read_boxes
        from napari_masktrack.io.session_drawings import DrawnShape
        from napari_masktrack.layers.create import add_shapes
        from napari_masktrack.widgets.files import with_frame_names

        view, drawings = self.workspace.require_movie(), self.workspace.require_drawings()
        if path.suffix.lower() == ".csv":
            found = read_boxes(path, view.movie)
            shapes = [DrawnShape.of_box(item) for item in found.items]  # type: ignore[arg-type]
            add_shapes(drawings.ensure("shapes"), view, shapes)
        else:
            movie = with_frame_names(view)
            found = read_mask_files([path, *more], movie) if more else read_annotations(path, movie)
            for frame in found.frames:
                drawings.paint(frame, found.label_image(frame, view.movie.shape))
        drawings.settle()
        what = f"{len(more) + 1} files" if more else path.name
        objects, frames = len(found.labels), len(found.frames)
        self.dock.bar.say(f"Imported {what}: {objects} object(s) on {frames} frame(s).", "good")

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

        def take(item: Score | NotCompared) -> None:
            if isinstance(item, NotCompared):
                left_out.extend(item.labels)
                return
            if scores and item.frame != scores[-1].frame:
                self.runner.advance()
            scores.append(item)

        def end(_ending: str, _message: str) -> None:
            self.runner.ended.disconnect(end)
            if close is not None:
                close()
            if scores or left_out:
                self.dock.review.set_scores(scores, source, not_compared=left_out)
                if self.workspace.result is not None:
                    self.workspace.result.set_scores({(each.frame, each.label): each.J for each in scores})
                self.dock.sessions.save_numbers()

        self.runner.ended.connect(end)
        self.runner.start(work, "comparison", take)

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


def in_words(made: Mapping[str, int]) -> str:
    """Say what was done: frames that were computed, those that are the user's, those nothing leads to."""
    carried, yours, unreached = (made.get(what, 0) for what in ("carried", "yours", "unreached"))
    parts = [f"{carried} {_frames(carried)} computed"]
    if yours:
        parts.append(f"{yours} {_frames(yours)} kept as you annotated {'it' if yours == 1 else 'them'}")
    if unreached:
        parts.append(f"{unreached} {_frames(unreached)} without masks, because none was carried there")
    return ", ".join(parts)


def _frames(count: int) -> str:
    return "frame" if count == 1 else "frames"
