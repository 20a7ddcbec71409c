"""Work is spread over processes, and stops when nobody wants it any more."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.jobs import Finished, Progress, spread


def double(number):
    yield 0.5
    return 2 * number


def touch(folder, name):
    """Write files until told to stop."""
    (Path(folder) / name).write_text(str(os.getpid()))
    try:
        while True:
            time.sleep(0.02)
            yield 0.0
    finally:
        (Path(folder) / f"{name}-closed").write_text("")


def fail(number):
    yield 0.0
    if number == 1:
        raise InputError("Number 1 does not do; take another.")
    return number


def test_items_in_this_process_finish_in_order_with_growing_progress():
    steps = list(spread(double, [1, 2, 3], weights=[1, 1, 2]))
    assert [step.result for step in steps if isinstance(step, Finished)] == [2, 4, 6]
    assert [step.share for step in steps if isinstance(step, Progress)] == [0.125, 0.375, 0.75]
    assert next(iter(steps)).text == "sequence 1 of 3"


def test_an_error_is_that_of_the_work():
    with pytest.raises(InputError, match="Number 1"):
        list(spread(fail, [0, 1, 2]))


def test_closing_stops_the_work_in_this_process(tmp_path):
    steps = spread(partial(touch, str(tmp_path)), ["a", "b"])
    next(steps)
    steps.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a-closed"]
