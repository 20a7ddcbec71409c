"""How sure the result is, how well it fits, and where to look next."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.colormaps import label_colormap
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from napari_masktrack.core.suggestion import Suggestion, suggest
from napari_masktrack.errors import MaskTrackError
from napari_masktrack.io.exporters import save_metrics_csv
from napari_masktrack.io.session_numbers import earlier
from napari_masktrack.layers.create import role_of
from napari_masktrack.widgets.engine import Score
from napari_masktrack.widgets.form import Choice, allow, explain
from napari_masktrack.widgets.layer_choice import LayerChoice
from napari_masktrack.widgets.score_table import ScoreTable, rows_of, summarise
from napari_masktrack.widgets.section import Section, button, note
from napari_masktrack.widgets.timeline import Curve, Marks, Timeline

SHOWN = {"confidence": "Confidence", "agreement": "Agreement of both sides", "J": "IoU (J)"}
REDRAW = 150


def is_reference(layer: Layer) -> bool:
    """Whether a layer may hold true masks: not the user's own annotation of a movie."""
    return role_of(layer) == "masks" and "movie" not in layer.metadata.get("masktrack", {})


class ReviewSection(Section):
    """Timeline, next frame, IoU.

    Attributes
    ----------
    went : Signal(int)
    asked : Signal(str)
        What the dock is to do: 'next' or 'score'.
    problem : Signal(str)
    """

    went = Signal(int)
    asked = Signal(str)
    problem = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._frames = 1
        self._confidence: dict[int, NDArray[np.float64]] = {}
        self._agreement: dict[int, NDArray[np.float64]] = {}
        self._meetings: dict[int, NDArray[np.float64]] = {}
        self._annotated: tuple[int, ...] = ()
        self._suggested: int | None = None
        self._colour: Callable[[int], tuple[float, ...]] = _usual_colour
        self.shown = Choice()
        for key, title in SHOWN.items():
            self.shown.addItem(title, key)
        explain(self.shown, "What the timeline shows", "Shown in the timeline")
        self.line(QLabel("Timeline"), self.shown)
        self.timeline = Timeline()
        self.rows.addWidget(self.timeline)
        self.rows.addWidget(note("\u25bc yours   \u25cb suggested   number: object"))
        self.next = button(
            "Next frame to annotate (N)",
            "Go to the frame where your help is worth most, and say why (key N)",
            lambda: self.asked.emit("next"),
        )
        self.rows.addWidget(self.next)
        self.reference = LayerChoice(
            viewer,
            Labels,
            title="Reference",
            tooltip="A layer with the true masks; without one each of your frames is left out in turn",
            nothing="none: leave-one-out",
            accept=is_reference,
        )
        self.form().addRow("Reference", self.reference)
        self._add_scores()
        self._timer = QTimer(self, singleShot=True, interval=REDRAW)
        self._timer.timeout.connect(self.refresh)
        self.timeline.chosen.connect(self.went)
        self.table.went.connect(self.went)
        self.shown.currentIndexChanged.connect(lambda _: self.refresh())

    def _add_scores(self) -> None:
        self._scores: tuple[Score, ...] = ()
        self._not_compared: tuple[int, ...] = ()
        self._source = ""
        self.compute = button(
            "Compute IoU",
            "Compare the masks with the reference, or with your own frames",
            lambda: self.asked.emit("score"),
        )
        self.copy = button("Copy", "Copy the table, to be pasted into a spreadsheet", self._copy)
        self.to_file = button(
            "Save CSV\N{HORIZONTAL ELLIPSIS}", "Save every number as CSV", self._ask_csv, name="Save as CSV"
        )
        self.line(self.compute, self.copy, self.to_file)
        self.said = note()
        self.rows.addWidget(self.said)
        self.table = ScoreTable()
        self.rows.addWidget(self.table)
        self._show_scores()

    def set_movie(self, frames: int) -> None:
        """Begin with another movie."""
        self._frames = frames
        self._confidence, self._agreement, self._meetings = {}, {}, {}
        self._suggested = None
        self.timeline.set_frames(frames)
        self.set_scores((), "", show=False)

    def set_colours(self, colour: Callable[[int], tuple[float, ...]] | None) -> None:
        """Show the objects in these colours; None for napari's."""
        self._colour = colour or _usual_colour
        self._timer.start()

    def set_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show the numbers of a result; see `ResultStore.rows`."""
        self._confidence, self._agreement = {}, {}
        for row in rows:
            frame, label = int(row["frame"]), int(row["label"])
            self._values(self._confidence, label)[frame] = float(row["confidence"])
            self._values(self._agreement, label)[frame] = float(row.get("agreement", np.nan))
        self._timer.start()

    def set_meetings(self, meetings: Mapping[int, NDArray[np.float64]]) -> None:
        """Show how well masks from before and from after agree where they meet, if no more is known."""
        self._meetings = dict(meetings)
        self._timer.start()

    def note(self, result: Any) -> None:
        """Take one frame of a propagation."""
        self._suggested = None
        for curves, found in ((self._confidence, result.confidence), (self._agreement, result.agreement)):
            for values in curves.values():
                values[result.frame] = np.nan
            for label, value in found.items():
                self._values(curves, label)[result.frame] = value
        if not self._timer.isActive():
            self._timer.start()

    def set_annotated(self, frames: Iterable[int]) -> None:
        """Mark the annotated frames."""
        self._annotated = tuple(frames)
        self._timer.start()

    def set_current(self, frame: int | None) -> None:
        """Show where the viewer is."""
        self.timeline.set_current(frame)

    def set_scores(
        self, scores: Iterable[Score], source: str, *, not_compared: Iterable[int] = (), show: bool = True
    ) -> None:
        """Show IoU, and say what it was measured against.

        Parameters
        ----------
        scores : iterable of Score
        source : str
        not_compared : iterable of int
            Objects that only the reference has.
        show : bool, default: True
            Whether the timeline is to show it, too.
        """
        self._scores = tuple(score for score in scores if 0 <= score.frame < self._frames)
        self._source, self._not_compared = source, tuple(not_compared)
        self._show_scores()
        if show:
            self.shown.setCurrentIndex(self.shown.findData("J"))
        self.refresh()

    def outdate_scores(self) -> None:
        """Say that the masks have changed since they were compared."""
        if self._scores:
            self._source = earlier(self._source)
            self._show_scores()

    def score_rows(self) -> list[dict[str, object]]:
        """Give the IoU that is shown as a session keeps it."""
        rows: list[dict[str, object]] = [asdict(each) | {"source": self._source} for each in self._scores]
        return rows + [{"label": label, "source": self._source} for label in self._not_compared]

    def restore_scores(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Show the IoU that a session kept."""
        kept = tuple(rows)
        scores, left_out = list[Score](), list[int]()
        for row in kept:
            with suppress(KeyError, ValueError):  # somebody else wrote it
                if not row["frame"]:
                    left_out.append(int(row["label"]))
                    continue
                fits = (float(row.get(name) or "nan") for name in ("J", "F"))
                scores.append(Score(int(row["frame"]), int(row["label"]), *fits))
        source = kept[0].get("source", "") if kept else ""
        self.set_scores(scores, source, not_compared=left_out, show=False)

    def value(self) -> tuple[Score, ...]:
        """Give the IoU that is shown."""
        return self._scores

    def suggestion(self) -> Suggestion | None:
        """Give the frame where help is worth most."""
        jumps = {label: 1 - values for label, values in self._agreement_curves().items()}
        found = suggest(self._confidence, self._annotated, jumps=jumps)
        self._suggested = None if found is None else found.frame
        self._mark()
        return found

    def refresh(self) -> None:
        """Draw the timeline."""
        shown = self.shown.currentData()
        values = {
            "confidence": self._confidence,
            "agreement": self._agreement_curves(),
            "J": self._score_curves(),
        }[shown]
        curves = [Curve(label, self._rgb(label), each) for label, each in sorted(values.items())]
        self.timeline.set_value(curves, what=SHOWN[shown])
        self._mark()

    def release(self) -> None:
        """Stop following the viewer."""
        self._timer.stop()
        self.reference.release()

    def save_csv(self, path: str) -> None:
        """Save every score.

        Raises
        ------
        OutputError
            There is none, or the file cannot be written.
        """
        save_metrics_csv(path, rows_of(self._scores, self._source, self._not_compared))

    def _values(self, curves: dict[int, NDArray[np.float64]], label: int) -> NDArray[np.float64]:
        return curves.setdefault(label, np.full(self._frames, np.nan))

    def _agreement_curves(self) -> dict[int, NDArray[np.float64]]:
        """Give what was compared frame by frame; for an object without that, what is known where it meets."""
        compared = {k: values for k, values in self._agreement.items() if np.isfinite(values).any()}
        return self._meetings | compared

    def _score_curves(self) -> dict[int, NDArray[np.float64]]:
        curves: dict[int, NDArray[np.float64]] = {}
        for score in self._scores:
            self._values(curves, score.label)[score.frame] = score.J
        return curves

    def _rgb(self, label: int) -> tuple[float, float, float]:
        red, green, blue, *_ = self._colour(label)
        return red, green, blue

    def _mark(self) -> None:
        self.timeline.set_marks(Marks(self._annotated, self._suggested))

    def _show_scores(self) -> None:
        rows = summarise(self._scores, self._not_compared)
        self.table.set_value(rows)
        self.table.setVisible(bool(rows))
        for control in (self.copy, self.to_file):
            allow(control, allowed=bool(self._scores), first="There are no numbers yet; press Compute IoU.")
        said = f"IoU measured {self._source}." if rows else ""
        if self._not_compared:
            names = ", ".join(map(str, self._not_compared))
            said += f" Not annotated by you, so not counted: {names}."
        self.said.setText(said)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.table.text())

    def _ask_csv(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the numbers", "iou.csv", "CSV (*.csv)")
        if name:
            try:
                self.save_csv(name)
            except MaskTrackError as error:
                self.problem.emit(str(error))


def _usual_colour(label: int) -> tuple[float, ...]:
    return tuple(float(part) for part in np.ravel(label_colormap().map(label)))
