"""Work in a thread: order, errors, cancelling, and what is left behind."""

import threading
import time

import pytest

from napari_masktrack.errors import WorkError
from napari_masktrack.widgets.worker import WAITING, Job


class Log:
    def __init__(self, job):
        self.items, self.endings = [], []
        job.arrived.connect(self.items.append)
        job.ended.connect(lambda *ending: self.endings.append(ending))
        self.job = job


def start(work, **options):
    log = Log(Job(work, title="a test", **options))
    log.job.start()
    return log


def test_items_arrive_in_order_on_the_main_thread(qtbot):
    threads = set()
    log = start(lambda: iter(range(3 * WAITING)))
    log.job.arrived.connect(lambda _: threads.add(threading.current_thread()))
    qtbot.waitUntil(lambda: log.endings == [("done", "")])
    assert log.items == list(range(3 * WAITING))
    assert threads == {threading.main_thread()}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA error: no kernel"), "CUDA error: no kernel"),
        (WorkError("The network is tired; let it rest."), "The network is tired; let it rest."),
        (ValueError("x"), "unforeseen"),
        (MemoryError(), "not enough memory"),
        (OSError(28, "No space left"), "No space left"),
        (ImportError("no torch"), "no torch"),
    ],
)
def test_every_error_reaches_the_user_in_one_line(qtbot, error, said):
    def work():
        yield 1
        raise error

    log = start(work)
    qtbot.waitUntil(lambda: bool(log.endings))
    (ending, message), items = log.endings[0], log.items
    assert (ending, items) == ("failed", [1])
    assert said in message
    assert "\n" not in message


def test_an_error_before_the_first_item_is_told_too(qtbot):
    def work():
        raise RuntimeError("at once")

    log = start(work)
    qtbot.waitUntil(lambda: bool(log.endings))
    assert log.endings[0][0] == "failed"


def test_cancel_answers_at_once_and_the_generator_is_closed_by_the_thread(qtbot):
    closed = threading.Event()

    def work():
        try:
            for number in range(1000):
                yield number
                time.sleep(0.2)
        finally:
            closed.set()

    log = start(work)
    qtbot.waitUntil(lambda: bool(log.items))
    began = time.perf_counter()
    log.job.cancel()
    assert log.endings == [("cancelled", "")]
    assert time.perf_counter() - began < 0.5
    assert closed.wait(2)
    assert log.job.wait(2)
    kept = list(log.items)
    qtbot.wait(150)
    assert log.items == kept


def refuse(job):
    job.fail(ValueError("cannot be used"))


@pytest.mark.parametrize("cancels", [True, False], ids=["cancelled by the user", "while it runs"])
@pytest.mark.parametrize(("react", "ending"), [(Job.cancel, "cancelled"), (refuse, "failed")])
def test_the_end_is_told_once_whoever_ends_it_while_items_are_handed_over(qtbot, react, ending, cancels):
    log = start(lambda: iter(range(WAITING)))
    log.job.arrived.connect(lambda _: react(log.job))
    time.sleep(0.2)  # the items wait, for the window is busy
    if cancels:
        log.job.cancel()
    qtbot.waitUntil(lambda: bool(log.endings))
    qtbot.wait(150)
    assert [each for each, _ in log.endings] == [ending]
    assert len(log.items) <= 2


def test_what_has_arrived_is_handed_over_also_if_the_user_cancels_meanwhile(qtbot):
    log = start(lambda: iter(range(WAITING)))
    log.job.arrived.connect(lambda item: item or log.job.cancel())
    time.sleep(0.2)
    qtbot.waitUntil(lambda: bool(log.endings))
    qtbot.wait(150)
    assert log.items == list(range(WAITING))
    assert log.endings == [("cancelled", "")]


def test_a_job_waits_for_the_thread_of_the_cancelled_one(qtbot):
    busy = threading.Event()

    def slow():
        busy.set()
        yield 0
        time.sleep(0.4)
        busy.clear()
        yield 1

    first = start(slow)
    qtbot.waitUntil(lambda: bool(first.items))
    first.job.cancel()
    second = start(lambda: iter([busy.is_set()]), after=first.job)
    qtbot.waitUntil(lambda: bool(second.endings))
    assert second.items == [False]


def test_memory_is_bounded_when_the_window_is_slow(qtbot):
    made = []

    def work():
        for number in range(200):
            made.append(number)
            yield number

    log = start(work)
    ahead = []
    log.job.arrived.connect(lambda number: (time.sleep(0.002), ahead.append(len(made) - number)))
    qtbot.waitUntil(lambda: bool(log.endings))
    assert max(ahead) <= WAITING + 3
