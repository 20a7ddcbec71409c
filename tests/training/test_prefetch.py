"""Samples made in the background: same order, errors arrive, and the thread ends."""

import threading
import time

import pytest

from napari_masktrack.training.prefetch import prefetch


def running():
    return [thread for thread in threading.enumerate() if thread.name == "masktrack-samples"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert running() == []


def test_everything_comes_in_order():
    assert list(prefetch(iter(range(50)), ahead=3)) == list(range(50))
    assert list(prefetch(iter([]))) == []
    assert list(prefetch(iter([None, None]))) == [None, None]


def test_items_are_made_ahead_but_not_farther_than_asked():
    made = []

    def source():
        for number in range(100):
            made.append(number)
            yield number

    items = prefetch(source(), ahead=3)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert 4 <= len(made) <= 5, "three that wait and one in hand"
    items.close()
    assert len(made) <= 5


def test_an_error_arrives_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise ValueError("broken sample")

    items = prefetch(source())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken sample"):
        next(items)
    assert running() == []


def test_nothing_is_started_before_the_first_item_is_asked_for():
    made = []
    items = prefetch(iter(made.append(1) or [1]))
    assert running() == []
    items.close()


def test_closing_ends_the_thread_even_when_its_source_never_ends():
    def source():
        while True:
            yield 0

    items = prefetch(source(), ahead=1)
    next(items)
    assert len(running()) == 1
    items.close()
    assert running() == []


def test_an_error_in_the_loop_that_takes_the_items_ends_the_thread():
    items = prefetch(iter(range(10**6)))
    for item in items:
        if item == 5:
            break
    items.close()
    assert running() == []
