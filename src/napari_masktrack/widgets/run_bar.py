"""Always in sight: the button that starts, how far it is, the button that stops, and what went wrong."""

import time

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_masktrack.widgets.form import explain
from napari_masktrack.widgets.section import button, note

RUN_STYLE = """
QPushButton { font-weight: bold; padding: 8px; }
QPushButton:enabled { background-color: #2d6cdf; color: white; }
QPushButton:enabled:hover { background-color: #4f8ef7; }
"""
ERROR_STYLE = "padding: 2px 2px 2px 6px; border-left: 4px solid #e5484d;"
"""The text keeps its theme's colour: one that is read well on light and dark there is not."""
SYMBOLS = {"info": "", "good": "\N{CHECK MARK} ", "error": "\N{WARNING SIGN} "}
"""Before a message, so that its kind is not told by colour alone."""


class RunBar(QWidget):
    """The main button, progress with the time left, cancel, and a line for messages.

    Attributes
    ----------
    started, cancelled : Signal
    """

    started = Signal()
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._clock = time.monotonic
        self._began, self._done, self._steps, self._title = 0.0, 0, 0, ""
        self._share: float | None = None
        self._limit: float | None = None
        self._least = 0
        self.run = button(
            "Fine-tune and propagate",
            "Adapt the network to your frames, then carry the masks through the movie",
            self.started.emit,
        )
        self.run.setStyleSheet(RUN_STYLE)
        self.cancel = button(
            "Cancel", "Stop at once; what is finished stays", self.cancelled.emit, name="Cancel the work"
        )
        self.bar = QProgressBar()
        explain(self.bar, "How far the work is, and how long it still takes", "Progress")
        self.message = note()
        self.message.setAccessibleName("Message")
        rows = QVBoxLayout(self)
        rows.setContentsMargins(6, 4, 6, 6)
        rows.addWidget(self.message)
        line = QHBoxLayout()
        line.addWidget(self.bar, 3)
        line.addWidget(self.cancel, 1)
        rows.addLayout(line)
        rows.addWidget(self.run)  # last, so that it stays where it is: a double click must not hit Cancel
        self.set_running(running=False)

    def set_title(self, text: str) -> None:
        """Say on the button what it does."""
        self.run.setText(text)
        self.run.setAccessibleName(text)

    def set_running(self, *, running: bool) -> None:
        """Show progress and cancel, or the button to start."""
        self.run.setEnabled(not running)
        self.bar.setVisible(running)
        self.cancel.setVisible(running)

    def say(self, text: str, kind: str = "info") -> None:
        """Show a message; it stays until the next one."""
        self.message.setText(f"{SYMBOLS[kind]}{text}")
        self.message.setStyleSheet(ERROR_STYLE if kind == "error" else "padding: 2px;")

    def unsay(self, text: str) -> None:
        """Take a message back that is true no more; another one that came since stays."""
        if text and self.message.text().endswith(text):
            self.say("")

    def begin(self, title: str, steps: int, *, seconds: float | None = None, least: int = 0) -> None:
        """Begin a phase; 0 steps if their number is not known; it ends after `seconds` and `least` steps."""
        self._limit, self._least = seconds, least
        self._began, self._done, self._steps, self._title = self._clock(), 0, steps, title
        self._share = None
        self.bar.setRange(0, steps)
        self._show()

    def advance(self, done: int | None = None) -> None:
        """Take note of one more step, or of how many there are now."""
        self._done = self._done + 1 if done is None else done
        self._show()

    def reach(self, share: float) -> None:
        """Take note of the share of the phase that is over, where the steps alone do not tell."""
        self._share = share
        self._show()

    @property
    def value(self) -> int:
        """How far the phase is, in steps."""
        return min(self._done if self._share is None else int(self._share * self._steps), self._steps)

    def seconds_left(self) -> float | None:
        """Estimate from the pace so far; None while nothing is known."""
        share = self._done / max(self._steps, 1) if self._share is None else self._share
        if not share or not self._steps:
            return None
        past = self._clock() - self._began
        left = past * max(1 / share - 1, 0)
        if self._limit is None:
            return left
        return min(
            left, max(self._limit - past, past / (share * self._steps) * (self._least - self._done), 0.0)
        )

    def _show(self) -> None:
        self.bar.setValue(self.value)
        left = self.seconds_left()
        count = f" {self._done}/{self._steps}" if self._steps else ""
        said = "" if left is None else f", {in_words(left)} left"
        self.bar.setFormat(f"{self._title}{count}{said}")


def in_words(seconds: float) -> str:
    """Say a time span shortly."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
