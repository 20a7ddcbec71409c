"""The list of objects: colour, id, name, annotated frames, visible."""

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_masktrack.widgets.form import explain

COLUMNS = ("Object", "Name", "Your frames", "Show")
ID, NAME, FRAMES, SHOW = range(4)


@dataclass(frozen=True)
class Entry:
    """One object as it is listed."""

    label: int
    name: str
    frames: tuple[int, ...]
    colour: tuple[float, ...]
    visible: bool


class ObjectTable(QTableWidget):
    """One row per object; choosing a row chooses the object.

    Attributes
    ----------
    chosen : Signal(int)
        The object of the row that was chosen.
    renamed : Signal(int, str)
    shown : Signal(int, bool)
        Whether the object is to be seen.
    """

    chosen = Signal(int)
    renamed = Signal(int, str)
    shown = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setHorizontalHeaderLabels(COLUMNS)
        explain(
            self, "Your objects; choose the one to draw next, double-click a name to change it", "Objects"
        )
        header, side = self.horizontalHeader(), self.verticalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        if side is not None:
            side.hide()
            side.setDefaultSectionSize(22)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setFixedHeight(116)
        self._entries: tuple[Entry, ...] = ()
        self.itemSelectionChanged.connect(self._choose)
        self.itemChanged.connect(self._edit)

    def value(self) -> tuple[Entry, ...]:
        """Give the rows."""
        return self._entries

    def set_value(self, entries: Sequence[Entry], chosen: int) -> None:
        """Show rows and mark the chosen object."""
        if tuple(entries) != self._entries:
            self._entries = tuple(entries)
            self.blockSignals(True)
            self.setRowCount(len(entries))
            for row, entry in enumerate(entries):
                for column, item in enumerate(_items(entry)):
                    self.setItem(row, column, item)
            self.blockSignals(False)
        self.mark(chosen)

    def mark(self, label: int) -> None:
        """Select the row of an object without telling; the keyboard stays in its column."""
        self.blockSignals(True)
        rows = [row for row, entry in enumerate(self._entries) if entry.label == label]
        if rows:
            self.setCurrentCell(rows[0], self.currentColumn() if self.currentColumn() >= 0 else NAME)
        else:
            self.clearSelection()
        self.blockSignals(False)

    def _choose(self) -> None:
        row = self.currentRow()
        if self.selectedItems() and 0 <= row < len(self._entries):
            self.chosen.emit(self._entries[row].label)

    def _edit(self, item: QTableWidgetItem) -> None:
        label = self._entries[item.row()].label
        if item.column() == NAME:
            self.renamed.emit(label, item.text())
        elif item.column() == SHOW:
            self.shown.emit(label, item.checkState() == Qt.CheckState.Checked)


def frames_text(frames: Sequence[int]) -> str:
    """List a few frames, or say how many there are."""
    if not frames:
        return "none yet"
    return (
        ", ".join(map(str, frames)) if len(frames) <= 4 else f"{len(frames)}: {frames[0]}\u2013{frames[-1]}"
    )


def colour_icon(colour: Sequence[float]) -> QIcon:
    """Make a square of a colour."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor.fromRgbF(*colour[:3]))
    return QIcon(pixmap)


def _items(entry: Entry) -> list[QTableWidgetItem]:
    label, name = QTableWidgetItem(str(entry.label)), QTableWidgetItem(entry.name)
    label.setIcon(colour_icon(entry.colour))
    frames, show = QTableWidgetItem(frames_text(entry.frames)), QTableWidgetItem()
    frames.setToolTip(", ".join(map(str, entry.frames[:200])) or "Draw this object on any frame")
    name.setToolTip("Double-click, or press F2, to give the object a name")
    show.setToolTip("Whether the object is shown")
    show.setCheckState(Qt.CheckState.Checked if entry.visible else Qt.CheckState.Unchecked)
    fixed = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
    label.setFlags(fixed)
    frames.setFlags(fixed)
    show.setFlags(fixed | Qt.ItemFlag.ItemIsUserCheckable)
    return [label, name, frames, show]
