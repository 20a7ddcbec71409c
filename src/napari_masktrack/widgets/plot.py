"""Small plots that are painted directly, so that the dock needs no plotting library."""

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_masktrack.widgets.form import explain

LEFT, RIGHT, TOP, BOTTOM = 34.0, 22.0, 8.0, 18.0
SHARE = 0.15
"""What a new step counts in the running mean."""
ACCENT = QColor("#4f8ef7")
"""Readable on light and dark themes."""


class Plot(QWidget):
    """A rectangle with axes; children draw into it.

    Attributes
    ----------
    x_range, y_range : (float, float)
        What the rectangle shows.
    """

    def __init__(self, *, height: int, title: str, tooltip: str) -> None:
        super().__init__()
        self._height = height
        self.x_range, self.y_range = (0.0, 1.0), (0.0, 1.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(height)
        explain(self, tooltip, title)

    def sizeHint(self) -> QSize:  # noqa: N802  Qt's name
        """Give the size that is wanted."""
        return QSize(260, self._height)

    def at(self, x: float, y: float) -> QPointF:
        """Give the pixel of a value."""
        area = self.area
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        across = (x - x0) / ((x1 - x0) or 1.0)
        up = (y - y0) / ((y1 - y0) or 1.0)
        return QPointF(area.left() + across * area.width(), area.bottom() - up * area.height())

    @property
    def area(self) -> QRectF:
        """The rectangle within the axes."""
        return QRectF(
            LEFT, TOP, max(self.width() - LEFT - RIGHT, 1.0), max(self.height() - TOP - BOTTOM, 1.0)
        )

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802  Qt's name
        """Draw the axes, then the content."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.area, self.palette().base())
        self.draw(painter)
        painter.end()

    def draw(self, painter: QPainter) -> None:
        """Draw the content."""

    @property
    def ink(self) -> QColor:
        """The colour of text."""
        return self.palette().windowText().color()

    def draw_axes(self, painter: QPainter, *, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        """Draw the numbers beside the axes, and faint lines across."""
        faint = QColor(self.ink)
        faint.setAlpha(50)
        font = painter.font()
        font.setPointSizeF(max(6.5, font.pointSizeF() * 0.8))
        painter.setFont(font)
        for y in y_ticks:
            place = self.at(self.x_range[0], y)
            painter.setPen(QPen(faint, 1))
            painter.drawLine(place, self.at(self.x_range[1], y))
            painter.setPen(self.ink)
            box = QRectF(0, place.y() - 8, LEFT - 4, 16)
            painter.drawText(
                box, (Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter).value, _short(y)
            )
        painter.setPen(self.ink)
        for x in x_ticks:
            place = self.at(x, self.y_range[0])
            box = QRectF(place.x() - 30, self.area.bottom() + 2, 60, 14)
            painter.drawText(
                box, (Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop).value, _short(x)
            )

    def say(self, painter: QPainter, text: str) -> None:
        """Write a sentence into the middle of an empty plot."""
        painter.setPen(self.ink)
        flags = Qt.AlignmentFlag.AlignCenter.value | Qt.TextFlag.TextWordWrap.value
        painter.drawText(self.area, flags, text)


class LossPlot(Plot):
    """The loss of the fine-tuning, step by step; falling means learning."""

    def __init__(self) -> None:
        super().__init__(
            height=84,
            title="Loss plot",
            tooltip="How wrong the network is on your frames at each step; the thick line should fall",
        )
        self._points: list[tuple[int, float]] = []
        self._means: list[tuple[int, float]] = []

    def value(self) -> list[tuple[int, float]]:
        """Give the points, step and loss."""
        return list(self._points)

    @property
    def means(self) -> list[tuple[int, float]]:
        """The thick line: step and running mean of the loss."""
        return list(self._means)

    def clear(self, steps: int = 1) -> None:
        """Begin again."""
        self._points, self._means, self.x_range = [], [], (0.0, float(max(steps, 1)))
        self.update()

    def add(self, step: int, loss: float) -> None:
        """Add a point."""
        before = self._means[-1][1] if self._means else loss
        self._points.append((step, loss))
        self._means.append((step, before + SHARE * (loss - before)))
        self.x_range = 0.0, max(self.x_range[1], float(step))
        self.y_range = 0.0, max(max(loss for _, loss in self._points), 1e-6)
        self.update()

    def draw(self, painter: QPainter) -> None:
        """Draw the line."""
        if not self._points:
            self.say(painter, "The loss appears here while the network adapts.")
            return
        self.draw_axes(painter, x_ticks=[0, self.x_range[1]], y_ticks=[0, self.y_range[1]])
        faint = QColor(ACCENT)
        faint.setAlpha(110)
        for values, pen in ((self._points, QPen(faint, 1)), (self._means, QPen(ACCENT, 2))):
            painter.setPen(pen)
            points = [self.at(step, loss) for step, loss in values]
            painter.drawPolyline(QPolygonF(points))
        painter.drawEllipse(points[-1], 2.0, 2.0)


def _short(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2g}"
