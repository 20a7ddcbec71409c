"""The movie as a strip: how sure each object is on each frame, and where the user annotated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QToolTip

from napari_masktrack.widgets.plot import ACCENT, Plot

DASHES = (
    Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine,
)  # fmt: skip
"""Lines differ in their dashes too, so that nothing depends on colour alone."""
MARK = 5.0


@dataclass(frozen=True)
class Curve:
    """One object over the frames.

    Attributes
    ----------
    label : int
    colour : tuple of float
        Red, green and blue, 0 to 1.
    values : array, (frames,), float
        0 to 1; NaN where nothing is known.
    """

    label: int
    colour: tuple[float, float, float]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """What the timeline shows besides the curves."""

    annotated: tuple[int, ...] = ()
    suggested: int | None = None
    worst: Mapping[int, float] = field(default_factory=dict)


class Timeline(Plot):
    """Frames across, one line per object; a click or the arrow keys go to a frame.

    Attributes
    ----------
    chosen : Signal(int)
        The frame that was asked for.
    names : dict of int to QPointF
        Where the ids stand at the ends of the curves, by object; empty until it was drawn.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(
            height=150,
            title="Timeline",
            tooltip="Confidence of each object on each frame; triangles are your frames. Click to go there",
        )
        self._curves: tuple[Curve, ...] = ()
        self._marks = Marks()
        self._frames, self._current = 1, 0
        self._what = "confidence"
        self._ends: list[tuple[int, QPointF]] = []
        self.names: dict[int, QPointF] = {}
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def set_frames(self, frames: int) -> None:
        """Say how long the movie is."""
        self._frames = max(frames, 1)
        self.x_range = 0.0, float(max(frames - 1, 1))
        self.update()

    def set_value(self, curves: Iterable[Curve], *, what: str = "confidence") -> None:
        """Show curves; `what` names the quantity."""
        self._curves, self._what = tuple(curves), what
        self.update()

    def value(self) -> tuple[Curve, ...]:
        """Give the curves that are shown."""
        return self._curves

    def set_marks(self, marks: Marks) -> None:
        """Show annotated and suggested frames."""
        self._marks = marks
        self.update()

    def set_current(self, frame: int | None) -> None:
        """Show where the viewer is."""
        if frame is not None and frame != self._current:
            self._current = frame
            self.update()

    def frame_at(self, x: float) -> int:
        """Give the frame at a pixel column."""
        share = (x - self.area.left()) / max(self.area.width(), 1.0)
        return int(np.clip(round(share * (self._frames - 1)), 0, self._frames - 1))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802  Qt's name
        """Go to the frame."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(self.frame_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802  Qt's name
        """Follow the mouse while it is pressed; say what is under it."""
        if event is None:
            return
        frame = self.frame_at(event.position().x())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(frame)
        QToolTip.showText(event.globalPosition().toPoint(), self.describe(frame), self)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802  Qt's name
        """Arrow keys step, Home and End jump."""
        keys = {
            Qt.Key.Key_Left: self._current - 1,
            Qt.Key.Key_Right: self._current + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: self._frames - 1,
        }
        if event is None or event.key() not in keys:
            super().keyPressEvent(event)
            return
        self.chosen.emit(int(np.clip(keys[Qt.Key(event.key())], 0, self._frames - 1)))

    def describe(self, frame: int) -> str:
        """Say in words what is known of a frame."""
        known = [
            f"object {curve.label}: {curve.values[frame]:.2f}"
            for curve in self._curves[:12]
            if frame < len(curve.values) and np.isfinite(curve.values[frame])
        ]
        said = f"Frame {frame}" + (", annotated by you" if frame in self._marks.annotated else "")
        return f"{said}\n{self._what}\n" + "\n".join(known) if known else said

    def draw(self, painter: QPainter) -> None:
        """Draw axes, curves, marks and the current frame."""
        last = self._frames - 1
        self.draw_axes(painter, x_ticks=sorted({0, last // 2, last}), y_ticks=[0.0, 0.5, 1.0])
        if not any(np.isfinite(curve.values).any() for curve in self._curves):
            self.say(painter, "Appears when masks have been propagated.")
        self._ends = []
        for number, curve in enumerate(self._curves):
            self._draw_curve(painter, curve, DASHES[number % len(DASHES)])
        self._draw_names(painter)
        for frame in self._marks.annotated:
            self._triangle(painter, frame, self.ink)
        if self._marks.suggested is not None:
            self._circle(painter, self._marks.suggested)
        painter.setPen(QPen(ACCENT, 1.6))
        painter.drawLine(self.at(self._current, 0), self.at(self._current, 1))

    def _draw_curve(self, painter: QPainter, curve: Curve, dashes: Qt.PenStyle) -> None:
        colour = QColor.fromRgbF(*curve.colour)
        painter.setPen(QPen(colour, 1.6, dashes))
        frames, values = _thinned(curve.values, int(self.area.width()))
        known = np.isfinite(values)
        for part in np.split(np.arange(len(values)), np.flatnonzero(~known)):
            points = [self.at(float(frames[i]), float(values[i])) for i in part if known[i]]
            if len(points) == 1:
                painter.drawEllipse(points[0], 1.5, 1.5)
            elif points:
                painter.drawPolyline(QPolygonF(points))
        if known.any():
            last = int(np.flatnonzero(known)[-1])
            self._ends.append((curve.label, self.at(float(frames[last]), float(values[last]))))

    def _draw_names(self, painter: QPainter) -> None:
        """Write the ids at the ends of the curves, each below the one that would cover it."""
        painter.setPen(self.ink)
        height = painter.fontMetrics().height() - 3
        floors: dict[int, float] = {}
        self.names = {}
        for label, place in sorted(self._ends, key=lambda end: end[1].y()):
            column = int(place.x())
            top = max(place.y() - height / 2, floors.get(column, -height))
            floors[column] = top + height
            if top + height <= self.height():
                self.names[label] = QPointF(place.x() + 3, top)
                painter.drawText(QRectF(self.names[label], QSizeF(30, height + 4)), 0, str(label))

    def _triangle(self, painter: QPainter, frame: int, colour: QColor) -> None:
        tip = self.at(frame, 1.0)
        tip.setY(self.area.top() + MARK + 1)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([tip, tip + QPointF(-MARK, -MARK - 3), tip + QPointF(MARK, -MARK - 3)]))
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def _circle(self, painter: QPainter, frame: int) -> None:
        painter.setPen(QPen(self.ink, 1.6))
        centre = self.at(frame, 0.0)
        painter.drawEllipse(QPointF(centre.x(), self.area.bottom() - MARK - 1), MARK, MARK)


def _thinned(values: NDArray[np.float64], columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep the lowest value of each pixel column of a long movie."""
    frames = np.arange(len(values), dtype=float)
    if len(values) <= 2 * max(columns, 1):
        return frames, values
    edges = np.linspace(0, len(values), columns + 1).astype(int)[:-1]
    lowest = np.fmin.reduceat(values, edges)
    return frames[edges], lowest
