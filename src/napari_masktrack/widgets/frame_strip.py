"""The annotated frames as a row of buttons."""

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QListView, QListWidget, QListWidgetItem

from napari_masktrack.widgets.form import explain


class FrameStrip(QListWidget):
    """Click a frame, or choose it with the arrow keys, to go there.

    Attributes
    ----------
    chosen : Signal(int)
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        explain(self, "The frames you annotated; click one to go there", "Annotated frames")
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setFixedHeight(34)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._frames: tuple[int, ...] = ()
        self.currentItemChanged.connect(lambda item, _: self._tell(item))
        self.itemClicked.connect(self._tell)

    def value(self) -> tuple[int, ...]:
        """Give the frames."""
        return self._frames

    def set_value(self, frames: Sequence[int]) -> None:
        """Show frames."""
        if tuple(frames) == self._frames:
            return
        self._frames = tuple(frames)
        self.blockSignals(True)
        self.clear()
        for frame in frames:
            item = QListWidgetItem(str(frame))
            item.setSizeHint(QSize(34, 22))
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            item.setToolTip(f"Go to frame {frame}")
            self.addItem(item)
        self.blockSignals(False)

    def mark(self, frame: int | None) -> None:
        """Highlight the frame that is shown."""
        self.blockSignals(True)
        if frame in self._frames:
            self.setCurrentRow(self._frames.index(frame))
        else:
            self.setCurrentRow(-1)
        self.blockSignals(False)

    def _tell(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(int(item.text()))
