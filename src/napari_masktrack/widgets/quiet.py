"""What keeps a window alive beside a thread: short turns, no long collections, libraries loaded aside."""

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

TURN = 0.001
"""Seconds that a thread may compute in Python while the window waits; Python's own 5 ms add up."""
NEVER = 2**30
"""Collections of younger objects before a full one."""
TORCH = ("torch_global_deps", "torch_cpu", "torch")
"""The large libraries of torch, in the order in which it loads them itself."""


class _Turns:
    """Turns and collections belong to the whole process: the last one to leave puts them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users, self._usual, self._collections = 0, sys.getswitchinterval(), gc.get_threshold()

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._usual, self._collections = sys.getswitchinterval(), gc.get_threshold()
                gc.set_threshold(*self._collections[:2], NEVER)
                sys.setswitchinterval(min(TURN, self._usual))
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                sys.setswitchinterval(self._usual)
                gc.set_threshold(*self._collections)


_TURNS = _Turns()


@contextmanager
def short_turns() -> Iterator[None]:
    """Hand the interpreter over to the window soon after it asks; for as long as this lasts.

    At each call into OpenGL or Qt the window lets the interpreter go, and then waits for its next turn:
    with turns of 5 ms one redraw of the canvas takes half a second beside a thread that computes. What is
    young is collected as ever; full collections, which stop everything with torch loaded, wait for the end.
    """
    _TURNS.enter()
    try:
        yield
    finally:
        _TURNS.leave()


@contextmanager
def no_collections() -> Iterator[None]:
    """Search for no garbage while a great deal is imported, and count what was imported as old.

    A full collection stops all threads for as long as it takes to look at everything that was imported so
    far, which is a quarter of a second with torch, and it comes several times during an import.
    """
    was_enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.disable()
    try:
        yield
    finally:
        if not frozen:  # both at once move everything to the oldest generation, and freeze nothing
            gc.freeze()
            gc.unfreeze()
        if was_enabled:
            gc.enable()


def load_libraries(package: str, names: tuple[str, ...]) -> None:
    """Load shared libraries of a package that will be imported, without stopping other threads meanwhile.

    An import holds the interpreter until the system has loaded and linked them, a quarter of a second for
    torch's and longer with CUDA. What cannot be loaded here is left to the import, which says why.

    Parameters
    ----------
    package : str
        Has them in its folder ``lib``.
    names : tuple of str
        Without ``lib`` and ending.
    """
    found = None if package in sys.modules else find_spec(package)
    if sys.platform == "win32" or found is None or found.origin is None:  # torch does so itself on Windows
        return
    folder, ending = Path(found.origin).parent / "lib", "dylib" if sys.platform == "darwin" else "so"
    # Called as any function of C it is called without the lock; ctypes.CDLL(path) would hold it.
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name in names:
        path = folder / f"lib{name}.{ending}"
        if path.exists():
            load(str(path).encode(), sys.getdlopenflags())
