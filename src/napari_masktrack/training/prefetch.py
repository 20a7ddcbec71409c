"""Make the next batches in the background while the network trains on this one."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")
_END = object()


def prefetch(source: Iterator[T], *, ahead: int = 4) -> Generator[T]:
    """Yield what `source` yields, in order, computed by one thread up to `ahead` items in advance.

    The order, and so every random number, is the same as without the thread. An error in `source`
    is raised here. Closing this generator stops the thread.
    """
    items: queue.Queue[object] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def put(item: object) -> None:
        while not stop.is_set():
            try:
                items.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in source:
                put(item)
                if stop.is_set():
                    return
            put(_END)
        except Exception as error:  # noqa: BLE001 (raised again where the items are taken)
            put(error)

    thread = threading.Thread(target=work, name="masktrack-samples", daemon=True)
    thread.start()
    try:
        while (item := items.get()) is not _END:
            if isinstance(item, Exception):
                raise item
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
