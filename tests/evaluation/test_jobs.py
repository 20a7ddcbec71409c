"""Work is spread over processes, and stops when nobody wants it any more."""

import os
import shutil
import subprocess
import sys
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


ASKING = """
import time
from functools import partial
from pathlib import Path
from tests_of_jobs import touch
from napari_masktrack.evaluation.jobs import spread

if __name__ == "__main__":
    for _ in spread(partial(touch, {folder!r}), ["a", "b", "c"], jobs=2):
        pass
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells running processes by /proc")
def test_processes_whose_asker_was_killed_close_what_they_do_and_end(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(__file__, tmp_path / "tests_of_jobs.py")
    (tmp_path / "asking.py").write_text(ASKING.format(folder=str(out)))
    asking = subprocess.Popen([sys.executable, "asking.py"], cwd=tmp_path)
    wait_for(lambda: (out / "a").is_file() and (out / "b").is_file())
    asking.kill()
    asking.wait()
    wait_for(lambda: (out / "a-closed").is_file() and (out / "b-closed").is_file())
    workers = [int((out / name).read_text()) for name in "ab"]
    wait_for(lambda: not any(map(is_running, workers)))
    assert not (out / "c").exists()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(pid):
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
