"""Save soon after a change, but not at each stroke, and off the main thread."""

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_RETRY = 5.0  # seconds after which a failed write is tried again


class Autosaver(Generic[K]):
    """Notes what changed and saves it after a pause in the changes.

    It knows no timer: somebody calls `poll` every now and then, a few times a second, from the thread
    that owns the data. Reading is done there, writing in one thread of its own, in order.

    Parameters
    ----------
    read : callable
        Called with a key on the caller's thread; gives a copy of what is to be saved.
    write : callable
        Called with the key and that copy in the writing thread.
    pause : float, default: 0.4
        Seconds without a change after which a thing is saved.
    at_most : float, default: 1.2
        Seconds after the first unsaved change at which it is saved though changes go on.
    clock : callable, optional
        Gives the time in seconds.
    """

    def __init__(
        self,
        read: Callable[[K], Any],
        write: Callable[[K, Any], None],
        *,
        pause: float = 0.4,
        at_most: float = 1.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._write, self._clock = read, write, clock
        self._pause, self._at_most = pause, at_most
        self._waiting: dict[K, tuple[float, float]] = {}
        self._running: list[tuple[K, Future[None]]] = []
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="masktrack-save")

    @property
    def pending(self) -> tuple[K, ...]:
        """What is not on disk yet: changed and waiting, or being written."""
        return tuple(dict.fromkeys([*self._waiting, *(key for key, _ in self._running)]))

    def note_change(self, key: K) -> None:
        """Say that something changed."""
        now = self._clock()
        first, _ = self._waiting.get(key, (now, now))
        self._waiting[key] = first, now

    def drop(self, key: K) -> None:
        """Forget a change that waits, because its source is gone."""
        self._waiting.pop(key, None)

    def poll(self, *, budget: float = 0.03) -> None:
        """Save what has waited long enough; returns after about the budget in seconds.

        Raises
        ------
        WorkError, OutputError
            What an earlier write raised. That thing stays pending and is tried again.
        """
        self._collect()
        now = self._clock()
        began = time.perf_counter()
        for key, (first, last) in list(self._waiting.items()):
            if now - last < self._pause and now - first < self._at_most:
                continue
            self._send(key)
            if time.perf_counter() - began > budget:
                break

    def flush(self) -> None:
        """Save everything now and wait until it is on disk.

        Raises
        ------
        WorkError, OutputError
            What a write raised. That thing stays pending.
        """
        for key in list(self._waiting):
            self._send(key)
        for _, done in self._running:
            done.exception()
        self._collect()

    def close(self) -> None:
        """Save everything, then end the writing thread."""
        try:
            self.flush()
        finally:
            self._threads.shutdown(wait=True)

    def _send(self, key: K) -> None:
        del self._waiting[key]
        try:
            content = self._read(key)
        except Exception:
            self._retry(key)
            raise
        self._running.append((key, self._threads.submit(self._write, key, content)))

    def _collect(self) -> None:
        """Take note of finished writes; what failed waits again."""
        finished = [(key, done) for key, done in self._running if done.done()]
        self._running = [(key, done) for key, done in self._running if not done.done()]
        failed = None
        for key, done in finished:
            error = done.exception()
            if error is not None:
                self._retry(key)
                failed = failed or error
        if failed is not None:
            raise failed

    def _retry(self, key: K) -> None:
        later = self._clock() + _RETRY
        self._waiting.setdefault(key, (later, later))
