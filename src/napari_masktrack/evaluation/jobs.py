"""Spread work over processes: how far it is is shown meanwhile, and it stops soon when asked to."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from napari_masktrack.errors import WorkError
from napari_masktrack.evaluation.signals import REASONS

Item = TypeVar("Item")
Result = TypeVar("Result")
Work: TypeAlias = Callable[[Item], Generator[float, None, Result]]
"""Does one item: yields the share that is done, from 0 to 1, and returns the result. A process must be
able to import it: a function at the top of a module, or a `functools.partial` of one."""

_POLL = 0.2
"""Seconds between two looks at what the processes have done."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@dataclass(frozen=True)
class Progress:
    """How far all the work is.

    Attributes
    ----------
    share : float
        From 0 to 1.
    text : str
    """

    share: float
    text: str


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """One item is done.

    Attributes
    ----------
    index : int
        Which of the items.
    result : object
        What the work returned.
    """

    index: int
    result: Result


def spread(
    work: Work[Item, Result], items: Sequence[Item], *, jobs: int = 1, weights: Sequence[float] = ()
) -> Iterator[Progress | Finished[Result]]:
    """Do the work for each item, several at a time.

    Parameters
    ----------
    work : callable
        See `Work`. With more than one job it and the items are sent to other processes.
    items : sequence
    jobs : int
        Processes; 1 works in this one. The processor's threads are shared out among them.
    weights : sequence of float
        How long each item takes compared with the others; all the same by default.

    Yields
    ------
    Progress or Finished
        Items finish in any order. May be closed at any time: what runs then stops at its next `yield`.

    Raises
    ------
    Exception
        What the work raised for the first item that failed; the others are stopped.
    """
    sizes = list(weights) or [1.0] * len(items)
    if jobs == 1 or len(items) < 2:
        return _here(work, items, sizes)
    return _elsewhere(work, items, sizes, jobs)


def _here(
    work: Work[Item, Result], items: Sequence[Item], sizes: list[float]
) -> Iterator[Progress | Finished[Result]]:
    done, total = 0.0, sum(sizes)
    for index, item in enumerate(items):
        running = work(item)
        try:
            while True:
                share = next(running)
                yield Progress((done + share * sizes[index]) / total, _text(index, len(items)))
        except StopIteration as end:
            done += sizes[index]
            yield Finished(index, end.value)
        finally:
            running.close()


def _elsewhere(
    work: Work[Item, Result], items: Sequence[Item], sizes: list[float], jobs: int
) -> Iterator[Progress | Finished[Result]]:
    # "spawn" on all systems: a forked process inherits locks of threads that it does not have
    context = multiprocessing.get_context("spawn")
    stop, shares = context.Event(), context.Array("d", len(items))
    workers, total = min(jobs, len(items)), sum(sizes)
    start = (stop, shares, max(1, (os.cpu_count() or 1) // workers))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=start)
    try:
        waiting: dict[Future[Result], int] = {
            pool.submit(_run, work, item, index): index for index, item in enumerate(items)
        }
        while waiting:
            ready, _ = wait(waiting, timeout=_POLL, return_when=FIRST_COMPLETED)
            for future in ready:
                index = waiting.pop(future)
                yield Finished(index, _result(future))
                shares[index] = 1.0
            done = sum(share * size for share, size in zip(shares[:], sizes, strict=True))
            yield Progress(done / total, _text(len(items) - len(waiting), len(items)))
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: "Future[Result]") -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise WorkError(
            "A process ended unexpectedly, perhaps for want of memory; use fewer --jobs. "
            "What is finished is kept."
        ) from error


def _text(done: int, count: int) -> str:
    return f"sequence {min(done + 1, count)} of {count}"


class _Stopped(Exception):  # noqa: N818  no error: the work was asked to stop
    """Ends the work of a process whose result nobody waits for."""


_busy = threading.Lock()
"""Held by a worker process while it does an item."""
_shared: dict[str, Any] = {}
"""What a worker process was given at its start."""


def _begin(stop: Any, shares: Any, threads: int) -> None:
    """Prepare a worker process: its share of the threads, and leave Ctrl-C to the process that asked."""
    _shared.update(stop=stop, shares=shares)
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    for number in REASONS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(stop,), daemon=True).start()


def _follow(stop: Any) -> None:
    """End this process when the one that asked is gone, however it ended; what runs is closed first.

    Without this it would go on with what is still waiting, and then stay for ever: the queue that it
    listens to is open at its own end as well.
    """
    asking = multiprocessing.parent_process()
    if asking is None:
        return
    asking.join()
    stop.set()
    with _busy:
        os._exit(1)


def _run(work: Work[Item, Result], item: Item, index: int) -> Result:
    with _busy, closing(work(item)) as running:
        return _result_of(running, index)


def _result_of(running: Generator[float, None, Result], index: int) -> Result:
    try:
        while True:
            if _shared["stop"].is_set():
                raise _Stopped
            _shared["shares"][index] = next(running)
    except StopIteration as end:
        result: Result = end.value
        return result
