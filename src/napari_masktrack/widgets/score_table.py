"""IoU per object: mean, recall, decay, worst frames, quantiles; as a table and as CSV."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_masktrack.widgets.engine import Score
from napari_masktrack.widgets.form import explain

COLUMNS = ("Object", "IoU", "Recall", "Decay", "F", "Worst")
NOT_COMPARED = "not annotated"
"""What is said of an object that only the reference has."""
UNKNOWN = (math.nan, math.nan, math.nan, math.nan)
WORST = 3
SHOWN = 8
"""Rows that are shown without scrolling."""


@dataclass(frozen=True)
class Summary:
    """One row: an object, or all of them.

    Attributes
    ----------
    label : int or None
        None for all objects together.
    compared : bool
        Whether the object counts; not if only the reference has it.
    """

    label: int | None
    mean: float
    recall: float
    decay: float
    contour: float
    worst: tuple[int, ...]
    quantiles: dict[float, float]
    compared: bool = True


def summarise(scores: Iterable[Score], not_compared: Iterable[int] = ()) -> tuple[Summary, ...]:
    """Summarise per object, then over all; what only the reference has is named, and does not count."""
    ordered = sorted(scores, key=lambda score: (score.frame, score.label))
    labels = sorted({score.label for score in ordered})
    groups = [(label, [score for score in ordered if score.label == label]) for label in labels]
    left_out = [Summary(label, *UNKNOWN, (), {}, compared=False) for label in not_compared]
    together = [_summary(None, ordered)] if len(groups) > 1 else []
    return (*(_summary(label, own) for label, own in groups), *left_out, *together)


def rows_of(
    scores: Sequence[Score], source: str, not_compared: Iterable[int] = ()
) -> list[dict[str, object]]:
    """Give the rows of a CSV file: every frame and object, those that do not count, then the summaries."""
    rows: list[dict[str, object]] = [
        {
            "kind": "frame",
            "label": each.label,
            "frame": each.frame,
            "J": each.J,
            "F": each.F,
            "source": source,
        }
        for each in scores
    ]
    rows += [{"kind": NOT_COMPARED, "label": label, "source": source} for label in not_compared]
    for each in summarise(scores):
        label = "all" if each.label is None else each.label
        summary = {"kind": "summary", "label": label, "J": each.mean, "F": each.contour, "source": source}
        numbers = {"recall": each.recall, "decay": each.decay}
        parts = {f"J quantile {percent:g}%": value for percent, value in each.quantiles.items()}
        rows.append({**summary, **numbers, **parts})
    return rows


class ScoreTable(QTableWidget):
    """One row per object; choosing a row goes to its worst frame.

    Attributes
    ----------
    went : Signal(int)
    """

    went = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        explain(self, "How well each object fits; choose a row to go to its worst frame", "IoU per object")
        header, side = self.horizontalHeader(), self.verticalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(len(COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
        if side is not None:
            side.hide()
            side.setDefaultSectionSize(22)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self._rows: tuple[Summary, ...] = ()
        self.itemSelectionChanged.connect(self._go)

    def value(self) -> tuple[Summary, ...]:
        """Give the rows."""
        return self._rows

    def set_value(self, rows: Sequence[Summary]) -> None:
        """Show rows."""
        self._rows = tuple(rows)
        self.blockSignals(True)
        self.setRowCount(len(rows))
        for row, each in enumerate(rows):
            for column, text in enumerate(texts_of(each, decimals=2)):
                item = QTableWidgetItem(text)
                item.setToolTip(_explained(each))
                self.setItem(row, column, item)
        self.clearSelection()
        self.blockSignals(False)
        self.setFixedHeight(34 + 22 * min(max(len(rows), 2), SHOWN))

    def text(self) -> str:
        """Give the table as it can be pasted into a spreadsheet."""
        lines = ["\t".join((*COLUMNS, "Quantiles of IoU"))]
        for each in self._rows:
            parts = " ".join(f"{percent:g}%:{value:.3f}" for percent, value in each.quantiles.items())
            lines.append("\t".join((*texts_of(each), parts)))
        return "\n".join(lines)

    def _go(self) -> None:
        row = self.currentRow()
        if self.selectedItems() and 0 <= row < len(self._rows) and self._rows[row].worst:
            self.went.emit(self._rows[row].worst[0])


def texts_of(row: Summary, *, decimals: int = 3) -> tuple[str, ...]:
    """Give the cells of a row."""
    numbers = (row.mean, row.recall, row.decay, row.contour)
    said = ["\N{EM DASH}" if math.isnan(number) else f"{number:.{decimals}f}" for number in numbers]
    last = ", ".join(map(str, row.worst)) if row.compared else NOT_COMPARED
    return ("all" if row.label is None else str(row.label), *said, last)


def _summary(label: int | None, scores: Sequence[Score]) -> Summary:
    from napari_masktrack.core.metrics import quantiles, statistics

    values = [score.J for score in scores]
    numbers = statistics(values)
    worst = dict.fromkeys(score.frame for score in sorted(scores, key=lambda score: score.J))
    contour = sum(score.F for score in scores) / len(scores)
    return Summary(
        label, numbers.mean, numbers.recall, numbers.decay, contour, tuple(worst)[:WORST], quantiles(values)
    )


def _explained(row: Summary) -> str:
    if not row.compared:
        return f"Only the reference has object {row.label}; you did not annotate it, so it does not count."
    parts = ", ".join(f"{percent:g} % below {value:.2f}" for percent, value in row.quantiles.items())
    return (
        "IoU: overlap with the truth, also called J. Recall: share of frames with an IoU above 0.5. Decay: "
        "IoU of the first quarter of the frames minus that of the last. F: how well the outline fits.\n"
        f"Quantiles: {parts}"
    )
