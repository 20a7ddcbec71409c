"""Beats of a window's timer, the pauses between them, and what the window was doing in a long one."""

import sys
import threading
import time
import traceback

from qtpy.QtCore import QTimer


class Beats:
    """Notes the longest pause of each phase.

    Parameters
    ----------
    interval : int
        Milliseconds between two beats, if nothing holds them up.
    traces : float, optional
        Milliseconds after which a pause is written to standard error: where the main thread is, and
        where the others are, looked at from a thread of its own.
    """

    def __init__(self, interval: int, *, traces: float | None = None) -> None:
        self._longest: dict[str, tuple[float, float]] = {}
        self._phase, self._last, self._worked = "", time.perf_counter(), time.thread_time()
        self._timer = QTimer(interval=interval)
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        self._main = threading.get_ident()
        if traces is not None:
            threading.Thread(target=self._watch, args=(traces / 1000,), daemon=True).start()

    def begin(self, phase: str) -> None:
        """Count pauses to another phase from now on; the one under way counts to the former."""
        self._beat()
        self._phase = phase

    def end(self) -> dict[str, tuple[float, float]]:
        """Give the longest pause of each phase, and the most that the window itself worked between two beats.

        Both in seconds; the rest of a pause it waited for other threads and processes.
        """
        self.begin("")
        self._timer.stop()
        return self._longest

    def _beat(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        pause, work = now - self._last, worked - self._worked
        self._last, self._worked = now, worked
        if self._phase:
            longest, most = self._longest.get(self._phase, (0.0, 0.0))
            self._longest[self._phase] = max(longest, pause), max(most, work)

    def _watch(self, limit: float) -> None:
        told = 0.0
        while self._timer.isActive():
            time.sleep(0.01)
            if not self._phase or time.perf_counter() - self._last < limit or told == self._last:
                continue
            told = self._last
            print(f"--- {self._phase}: standing still for {limit:.2f} s", file=sys.stderr)
            for thread, frame in sys._current_frames().items():
                if thread != threading.get_ident():
                    name = "main thread" if thread == self._main else "another thread"
                    lines = traceback.format_stack(frame)[-6:]
                    print(f"{name}:\n{''.join(lines)}", file=sys.stderr, flush=True)
