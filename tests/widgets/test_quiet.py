"""Beside a thread the window gets its turn soon, nothing long is collected, and libraries load aside."""

import gc
import subprocess
import sys
import threading

import pytest

from napari_masktrack.widgets.quiet import NEVER, TURN, load_libraries, no_collections, short_turns
from napari_masktrack.widgets.worker import Job


def test_turns_are_short_while_anybody_works_and_as_before_afterwards():
    usual, thresholds = sys.getswitchinterval(), gc.get_threshold()
    with short_turns():
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(TURN)
        assert sys.getswitchinterval() == pytest.approx(TURN)
        assert gc.get_threshold() == (*thresholds[:2], NEVER)
    assert sys.getswitchinterval() == usual
    assert gc.get_threshold() == thresholds


def test_meanwhile_only_what_is_young_is_collected():
    collections = []
    gc.callbacks.append(watch := lambda phase, info: collections.append(info["generation"]))
    try:
        with short_turns():
            kept = [[[]] for _ in range(300_000)]
    finally:
        gc.callbacks.remove(watch)
    assert len(kept) == 300_000
    assert 0 in collections
    assert 2 not in collections or sys.version_info >= (3, 14)  # there no collection is long


def test_a_job_has_short_turns_also_if_it_fails(qtbot):
    usual, seen = sys.getswitchinterval(), []

    def work():
        seen.append(sys.getswitchinterval())
        raise ValueError

    job = Job(lambda: work(), title="a test")
    job.start()
    qtbot.waitUntil(lambda: job.thread_ended)
    assert seen == [pytest.approx(TURN)]
    assert sys.getswitchinterval() == usual


def test_what_is_made_without_collections_is_old_and_can_be_collected_later():
    collections = []
    gc.callbacks.append(watch := lambda phase, info: collections.append(info["generation"]))
    try:
        with no_collections():
            made = [[[]] for _ in range(5000)]
            during = list(collections)
    finally:
        gc.callbacks.remove(watch)
    assert during == []
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    young = {id(each) for generation in (0, 1) for each in gc.get_objects(generation)}
    assert id(made) not in young
    assert gc.is_tracked(made)


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


LOADED = """
import sys, threading, time
from napari_masktrack.widgets.quiet import TORCH, load_libraries

beats, ended = [time.perf_counter()], threading.Event()

def load():
    load_libraries("torch", TORCH)
    ended.set()

threading.Thread(target=load).start()
while not ended.is_set():
    time.sleep(0.001)
    beats.append(time.perf_counter())
assert "torch" not in sys.modules
if sys.platform.startswith("linux"):
    assert "libtorch_cpu" in open("/proc/self/maps").read()
import torch
assert torch.ones(2).sum() == 2
print(len(beats))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there torch loads its libraries in this way by itself")
def test_the_libraries_of_torch_load_while_other_threads_go_on_and_torch_takes_them():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 10  # two, if the lock were held


def test_libraries_that_are_not_there_are_left_to_the_import(tmp_path, monkeypatch):
    load_libraries("no_such_package", ("a",))
    (tmp_path / "odd" / "lib").mkdir(parents=True)
    (tmp_path / "odd" / "__init__.py").touch()
    for ending in ("so", "dylib"):
        (tmp_path / "odd" / "lib" / f"libbroken.{ending}").write_bytes(b"no library")
    monkeypatch.syspath_prepend(tmp_path)
    load_libraries("odd", ("broken", "missing"))
    assert "odd" not in sys.modules


def test_what_comes_before_the_thread_is_done_in_steps_between_which_the_window_lives(qtbot):
    steps, started = [], []

    def before():
        for step in range(3):
            steps.append((step, threading.current_thread() is threading.main_thread(), bool(started)))
            yield

    job = Job(lambda: iter([started.append(1)]), title="a test")
    job.start(before())
    assert job.is_running
    assert len(steps) == 1
    qtbot.waitUntil(lambda: job.thread_ended)
    assert steps == [(step, True, False) for step in range(3)]
    assert started == [1]


@pytest.mark.parametrize("ending", ["cancelled", "failed"])
def test_a_job_that_ends_before_its_thread_began_does_nothing_and_waits_for_the_one_before(qtbot, ending):
    busy, began, endings = threading.Event(), [], []

    def slow():
        busy.wait(5)
        yield 0

    def before():
        yield
        raise OSError(28, "No space left")

    first = Job(slow, title="the first")
    first.start()
    second = Job(lambda: iter(began), title="the second", after=first)
    second.ended.connect(lambda *said: endings.append(said))
    second.start(before())
    if ending == "cancelled":
        second.cancel()
    else:
        qtbot.waitUntil(lambda: bool(endings))
    assert endings[0][0] == ending
    assert not second.wait(0.1)
    busy.set()
    assert second.wait(2)
    qtbot.wait(100)
    assert len(endings) == 1
    first.cancel()


def test_items_keep_their_order_when_taking_one_lets_the_window_live(qtbot):
    """napari processes events whenever it shows progress."""
    taken = []

    def take(item):
        taken.append(("begin", item))
        qtbot.wait(120)
        taken.append(("end", item))

    job = Job(lambda: iter(range(3)), title="a test")
    job.arrived.connect(take)
    job.start()
    qtbot.waitUntil(lambda: len(taken) == 6, timeout=10_000)
    assert taken == [(what, item) for item in range(3) for what in ("begin", "end")]
