"""Work on layers that must stay on the main thread, in slices too short to be noticed."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_masktrack.errors import MaskTrackError

SLICE = 0.02
PAUSE = 15


class Slices(QObject):
    """Drives one generator at a time between the events of the window.

    Attributes
    ----------
    failed : Signal(str)
    """

    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work: Iterator[Any] | None = None
        self._then: Callable[[], object] = lambda: None
        self._timer = QTimer(self, interval=PAUSE)
        self._timer.timeout.connect(self._go_on)

    def start(self, work: Iterator[Any], then: Callable[[], object] = lambda: None) -> None:
        """Finish what is being done, then begin with this."""
        self.finish()
        self._work, self._then = work, then
        self._timer.start()

    def finish(self) -> None:
        """Do all that is left now."""
        while self._work is not None:
            self._go_on(budget=10.0)

    def drop(self) -> None:
        """Leave it undone."""
        self._work = None
        self._timer.stop()

    def _go_on(self, budget: float = SLICE) -> None:
        work, until = self._work, time.perf_counter() + budget
        if work is None:
            self._timer.stop()
            return
        try:
            for _ in work:
                if time.perf_counter() > until:
                    return
        except MaskTrackError as error:
            self.drop()
            self.failed.emit(str(error))
            return
        self.drop()
        self._then()
