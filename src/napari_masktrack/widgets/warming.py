"""Load PyTorch while the user draws, in small pieces, so that the button finds it loaded."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from napari_masktrack.errors import WorkError
from napari_masktrack.widgets.quiet import TORCH, load_libraries, no_collections, short_turns

THREAD = "masktrack-warming"
"""Name of the thread."""
WORK = 0.001
"""Seconds of importing after which the thread rests."""
REST = {True: 3.0, False: 0.5}
"""How much longer than it worked, while nobody waits for it, and while somebody does."""


class _Rests:
    """A finder that finds nothing: whenever its thread asks for one more module, it rests first."""

    def __init__(self, hurry: threading.Event) -> None:
        self._hurry, self._thread = hurry, threading.get_ident()
        self._rested = time.thread_time()

    def find_spec(self, *_: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        worked = time.thread_time() - self._rested
        if worked > WORK and threading.main_thread().is_alive():
            time.sleep(worked * REST[not self._hurry.is_set()])
            self._rested = time.thread_time()


@contextmanager
def gently(hurry: threading.Event) -> Iterator[None]:
    """Leave the interpreter to other threads between any two modules that this thread imports.

    Most of an import is work that no short turn interrupts, and each redraw waits for many such pieces.

    Parameters
    ----------
    hurry : threading.Event
        Set when somebody waits.
    """
    finder: Any = _Rests(hurry)
    sys.meta_path = [finder, *sys.meta_path]  # a new list: other threads may be going through this one
    try:
        yield
    finally:
        sys.meta_path = [each for each in sys.meta_path if each is not finder]


class _Warming:
    """What is imported belongs to the whole process, so it is imported once."""

    def __init__(self) -> None:
        self._lock, self._hurry = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        with self._lock:
            if self._thread is None and "torch" not in sys.modules:
                self._thread = threading.Thread(target=self._work, name=THREAD)
                self._thread.start()

    def finish(self) -> None:
        self._hurry.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        # What fails here fails again when the button is pressed, and is said then.
        with suppress(Exception), short_turns():
            self.load()
            with no_collections(), gently(self._hurry):
                import zarr  # noqa: F401  the window writes frames to disk with it

    def load(self) -> type:
        if sys.platform.startswith("linux"):
            # torch's first optimiser imports triton, which crashes against Mesa's LLVM once a canvas exists;
            # importing torch does not. A triton that is loaded already stays.
            sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
        load_libraries("torch", TORCH)
        with no_collections(), gently(self._hurry):
            from napari_masktrack.tracker import Tracker
        return Tracker


_WARMING = _Warming()


def warm_up() -> None:
    """Begin to load PyTorch in a thread of its own, unless it is loaded; returns at once."""
    _WARMING.begin()


def tracker_class() -> type:
    """Load PyTorch and what needs it, or wait until it is loaded; gives `Tracker`.

    Raises
    ------
    WorkError
        PyTorch does not start.
    """
    _WARMING.finish()
    try:
        return _WARMING.load()
    except (ImportError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkError(
            f"PyTorch does not start ({reason}); start napari with 'masktrack demo --viewer', which loads it "
            "first, or install PyTorch again."
        ) from error
