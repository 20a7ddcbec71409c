"""Long work in a thread: what a generator yields comes back on the main thread, errors as messages."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from typing import Any, Literal

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QTimer, Signal

from napari_masktrack.errors import MaskTrackError, WorkError
from napari_masktrack.widgets.quiet import short_turns

Ending = Literal["done", "cancelled", "failed"]

POLL = 50
"""Milliseconds between two looks at what has arrived; items of one look are handed over together."""
BUDGET = 0.03
"""Seconds for which one look may hold up the window."""
PAUSE = 15
"""Milliseconds for which the window lives between two steps before the thread starts."""
WAITING = 8
"""Items that may wait for the window; the work pauses while there are more, so memory stays bounded."""


class Job(QObject):
    """One piece of long work.

    The generator is made, driven and closed in one thread; everything that it raises, a
    ``RuntimeError`` included, arrives as one line for the user. `cancel` ends the job for the window
    at once; the thread ends with the item that it is at.

    Parameters
    ----------
    work : callable
        Called in the thread; returns the iterator to be driven.
    title : str
        What is done, in words for the user.
    after : Job, optional
        An earlier job whose thread must have ended first, because both use the same network.
    parent : QObject, optional

    Attributes
    ----------
    arrived : Signal(object)
        One item, on the main thread, in order.
    ended : Signal(str, str)
        How it ended ('done', 'cancelled' or 'failed') and the message of a failure; once per job.
    """

    arrived = Signal(object)
    ended = Signal(str, str)

    def __init__(
        self,
        work: Callable[[], Iterator[Any]],
        *,
        title: str,
        after: "Job | None" = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._work, self._title = work, title
        self._after = after._thread_ended if after is not None else None
        self._items: queue.Queue[Any] = queue.Queue(maxsize=WAITING)
        self._stop, self._thread_ended = threading.Event(), threading.Event()
        self._failure = ""
        self._over = self._handing_over = False
        self._before: Iterator[object] | None = None
        self.destroyed.connect(self._stop.set)  # else the thread would wait for a window that is gone
        self._timer = QTimer(self, interval=POLL)
        self._timer.timeout.connect(self._look)
        self._soon = QTimer(self, interval=PAUSE, singleShot=True)
        self._soon.timeout.connect(self._prepare)
        self._worker: Any = None

    def __str__(self) -> str:
        """Name the work; napari shows this when a window with running work is closed."""
        return f"MaskTrack: {self._title}"

    @property
    def is_running(self) -> bool:
        """Whether the window still waits for it."""
        return self._worker is not None and not self._over

    @property
    def thread_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._thread_ended.is_set()

    def start(self, before: Iterator[object] | None = None) -> None:
        """Begin.

        Parameters
        ----------
        before : iterator, optional
            What is to be done with layers before the thread starts; the window lives between two steps.
        """
        self._worker = create_worker(_Task(self), _start_thread=False, _ignore_errors=True)
        self._before = before
        self._prepare()

    def _prepare(self) -> None:
        """Do one step of what comes before the thread; after the last one, start it."""
        try:
            for _ in () if self._over or self._before is None else self._before:
                self._soon.start()
                return
        except Exception as error:  # noqa: BLE001  as in `run`
            self.fail(error)
        self._before = None
        self._worker.start()  # also when it is over already: it waits for the earlier job, and ends
        if not self._over:
            self._timer.start()

    def cancel(self) -> None:
        """Stop; what has arrived stays, what comes later is dropped."""
        is_first = not self._stop.is_set()  # who is given an item may cancel, too
        self._stop.set()
        if self.is_running and is_first:
            self._hand_over(budget=BUDGET)
        if self.is_running:
            self._end("cancelled", "")
        if self._soon.isActive():
            self._soon.stop()
            self._prepare()

    def fail(self, error: Exception) -> None:
        """Stop, because what has arrived could not be used; that and what comes later is dropped."""
        self._stop.set()
        if self.is_running:
            self._end("failed", message_of(error))

    def wait(self, seconds: float) -> bool:
        """Wait until the thread has ended; tells whether it did."""
        return self._worker is None or self._thread_ended.wait(seconds)

    def run(self) -> None:
        """Drive the generator; called in the thread."""
        try:
            if self._after is not None:
                self._after.wait()
                self._after = None
            with short_turns():
                self._drive()
        except BaseException as error:  # noqa: BLE001  whatever it is, the user must hear of it
            self._failure = message_of(error)  # the error itself would keep what the work had in memory
        finally:
            self._work = _nothing  # it holds the movie and the network
            self._thread_ended.set()

    def _drive(self) -> None:
        if self._stopped:
            return
        items = self._work()
        # After a stop a generator's own clean-up runs only when it is closed, so that is done here.
        with closing(items) if hasattr(items, "close") else nullcontext():  # type: ignore[type-var]
            for item in items:
                while not self._stopped:
                    try:
                        self._items.put(item, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if self._stopped:
                    return

    @property
    def _stopped(self) -> bool:
        return self._stop.is_set() or (self._worker is not None and bool(self._worker.abort_requested))

    def _look(self) -> None:
        """Hand over what has arrived, and notice the end."""
        if self._handing_over:
            return  # napari lets the window live while its progress is shown
        if not self._items.empty():
            self._hand_over(budget=BUDGET)
            return  # also after the last item: what follows the end is for the next look
        if self._over or not self._thread_ended.is_set() or not self._items.empty():
            return  # asked in this order: what was put before the end is handed over
        if self._failure:
            self._end("failed", self._failure)
        else:
            self._end("cancelled" if self._stopped else "done", "")

    def _hand_over(self, *, budget: float) -> None:
        """Emit items for at most about the budget in seconds."""
        began = time.perf_counter()
        self._handing_over = True
        try:
            while not self._over and time.perf_counter() - began < budget:
                self.arrived.emit(self._items.get_nowait())
        except queue.Empty:
            return
        finally:
            self._handing_over = False

    def _end(self, ending: Ending, message: str) -> None:
        self._over = True
        self._timer.stop()
        self._items = queue.Queue(maxsize=WAITING)
        self.ended.emit(ending, message)


class _Task:
    """The job as a plain callable, named for napari's list of running tasks."""

    def __init__(self, job: Job) -> None:
        self._run, self._name = job.run, str(job)

    def __call__(self) -> None:
        self._run()

    def __str__(self) -> str:
        return self._name


def _nothing() -> Iterator[Any]:
    return iter(())


def message_of(error: BaseException) -> str:
    """Say in one line what went wrong and what to do."""
    if isinstance(error, MaskTrackError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory; close other programs, or work on a smaller range of frames."
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    if isinstance(error, RuntimeError):
        return str(WorkError(f"The computation failed ({reason}); choose another device, or report this."))
    if isinstance(error, OSError):
        return f"The system refused to read or write ({reason}); make room, or choose another place."
    if isinstance(error, ImportError):
        return f"A part could not be loaded ({reason}); install napari-masktrack again, or report this."
    return f"Something unforeseen happened ({type(error).__name__}: {reason}); report this."
