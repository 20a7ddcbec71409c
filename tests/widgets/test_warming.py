"""PyTorch is loaded while the user draws: once, gently, and only where it will be needed."""

import subprocess
import sys
import threading
import time

from napari_masktrack.widgets.warming import WORK, gently


def test_imports_rest_between_modules_only_in_their_own_thread(tmp_path, monkeypatch):
    before, slept = list(sys.meta_path), []
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("masktrack_one", "masktrack_two", "masktrack_three"):
        (tmp_path / f"{name}.py").write_text("x = 1")
    monkeypatch.setattr("napari_masktrack.widgets.warming.time.sleep", slept.append)

    def work():
        until = time.thread_time() + 2 * WORK
        while time.thread_time() < until:
            pass

    hurry = threading.Event()
    with gently(hurry):
        work()
        import masktrack_one  # noqa: F401
    assert len(slept) == 1
    assert slept[0] > 5 * WORK
    with gently(hurry):
        hurry.set()
        work()
        other = threading.Thread(target=lambda: __import__("masktrack_two"))
        other.start()
        other.join()
        assert len(slept) == 1
        import masktrack_three  # noqa: F401
    assert WORK / 2 < slept[1] < 2 * slept[0] / 3
    assert sys.meta_path == before


WARM = """
import sys, threading
from napari_masktrack.widgets.engine import Engine, load_tracker

Engine(lambda model, device: None).warm_up()
assert threading.active_count() == 1, "a fake network needs no torch"
Engine().warm_up()
Engine().warm_up()
assert threading.active_count() == 2
tracker = load_tracker("default", "cpu")
assert sys.modules["triton"] is None or not sys.platform.startswith("linux")
assert threading.active_count() == 1
assert len([each for each in sys.meta_path if "Rests" in repr(each)]) == 0
print(type(tracker).__name__)
"""


def test_the_button_waits_for_what_is_being_loaded():
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "Tracker"


def test_drawing_begins_it_and_opening_the_dock_does_not(dock, paint, qtbot, monkeypatch):
    begun = []
    monkeypatch.setattr(dock.runner.engine, "warm_up", lambda: begun.append(1))
    dock.workspace.drawings.ensure("masks")
    qtbot.wait(300)
    assert not begun
    paint(dock, 0)
    qtbot.waitUntil(lambda: bool(begun))
