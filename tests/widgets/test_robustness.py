"""Closing, deleting, failing and several windows in the middle of the work."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QTimer

from napari_masktrack.config import FinetuneConfig
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine

from .conftest import FakeTracker, press


def begin(dock, paint, qtbot):
    paint(dock, 0)
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.workspace.result is not None and bool(dock.workspace.result.done))


def test_while_all_frames_wait_for_an_object_of_the_last_one_the_bar_moves_and_cancel_answers(
    dock, tracker, qtbot, paint
):
    paint(dock, 0, 1)
    paint(dock, 7, 2)
    dock.finetune.set_value("off")
    tracker.frame_seconds = 0.3
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.bar.bar.value() >= 2, timeout=20_000)
    assert "Propagating 0/8, " in dock.bar.bar.format()
    assert dock.bar.bar.format().endswith(" left")
    dock.bar.cancel.click()
    assert dock.bar.message.text() == "Stopped before a frame was finished; the masks are as they were."
    assert dock.workspace.result.done == ()
    assert dock.commands.touched() is not None, "all of it is still to be done"
    qtbot.waitUntil(lambda: dock.runner.job.thread_ended, timeout=2_000)  # it looks at no further frames


def test_cancel_keeps_what_is_finished_and_the_button_comes_back(dock, tracker, qtbot, paint, finish):
    tracker.frame_seconds = 0.2
    begin(dock, paint, qtbot)
    began = time.perf_counter()
    dock.bar.cancel.click()
    assert time.perf_counter() - began < 0.5
    assert dock.bar.run.isEnabled()
    done = dock.workspace.result.done
    assert 0 < len(done) < 8
    qtbot.wait(600)
    assert dock.workspace.result.done == done
    dock.bar.run.click()
    finish(dock)
    assert len(dock.workspace.result.done) == 8


@pytest.mark.parametrize("when", ["first step", "later"])
def test_an_error_is_said_in_the_dock_and_the_button_comes_back(dock, tracker, qtbot, paint, finish, when):
    paint(dock, 0)
    tracker.fail = RuntimeError("CUDA out of memory")
    tracker.step_seconds = 0.05
    dock.finetune.details.set_value(FinetuneConfig(steps=1 if when == "first step" else 4))
    dock.bar.run.click()
    finish(dock)
    assert "CUDA out of memory" in dock.bar.message.text()
    assert dock.bar.run.isEnabled()


@pytest.mark.parametrize("what", ["export", "open", "score", "leave one out", "box to mask", "import"])
def test_other_work_is_refused_in_words_while_it_works(dock, tracker, qtbot, paint, finish, what):
    tracker.frame_seconds = 0.1
    begin(dock, paint, qtbot)
    dock.attempt(lambda: dock.commands.do(what))
    assert "Something is being worked on" in dock.bar.message.text()
    finish(dock)
    assert len(dock.workspace.result.done) == 8


def test_nothing_painted_is_said_before_any_work(dock):
    dock.bar.run.click()
    assert "paint an object" in dock.bar.message.text()
    assert not dock.runner.is_running


@pytest.mark.parametrize("which", ["result", "masks", "movie"])
def test_deleting_or_renaming_a_layer_in_the_middle_is_safe(dock, tracker, qtbot, paint, finish, which):
    tracker.frame_seconds = 0.15
    begin(dock, paint, qtbot)
    layers = dock.viewer.layers
    layer = {
        "result": dock.workspace.result.layer,
        "masks": layers["cells masks"],
        "movie": layers["cells"],
    }[which]
    layer.name = "renamed"
    layers.remove(layer)
    finish(dock)
    assert dock.bar.run.isEnabled()
    if which == "masks":
        assert len(dock.workspace.result.done) == 8
        assert dock.workspace.drawings.frames == ()
    elif which == "result":
        assert dock.workspace.result is None
        dock.bar.run.click()
        finish(dock)
        assert len(dock.workspace.result.done) == 8
    else:
        assert dock.workspace.view is None


def test_closing_the_dock_in_the_middle_ends_the_thread_and_frees_the_keys(dock, tracker, qtbot, paint):
    tracker.frame_seconds = 0.1
    begin(dock, paint, qtbot)
    viewer, job = dock.viewer, dock.runner.job
    assert "J" in {str(key) for key in viewer.keymap}
    press(dock, "Close")
    assert job.thread_ended
    assert "J" not in {str(key) for key in viewer.keymap}
    viewer.layers.clear()
    qtbot.wait(100)


def test_two_windows_work_at_once_and_share_nothing(make_napari_viewer, dock, truth, qtbot, paint, finish):
    other_viewer = make_napari_viewer()
    other_viewer.add_image(truth.images[:4], name="short")
    slow = FakeTracker()
    other = MaskTrackDock(other_viewer, Engine(lambda model, device: slow))
    other_viewer.window.add_dock_widget(other, name="MaskTrack")
    other.finetune.set_value("off")
    for each in (dock, other):
        paint(each, 0)
        each.bar.run.click()
    assert dock.runner.is_running
    assert other.runner.is_running
    finish(dock)
    finish(other)
    assert (len(dock.workspace.result.done), len(other.workspace.result.done)) == (8, 4)
    assert slow.steps == 0
    other.release()


def test_the_window_never_stalls_while_it_works(dock, tracker, qtbot, paint, finish, record_property):
    """The longest pause between two beats of a timer; images are small, so this is the plugin's own part."""
    paint(dock, 0)
    tracker.frame_seconds = 0.02
    dock.finetune.details.set_value(FinetuneConfig(steps=60))
    worst = []
    for _ in range(3):
        beats = []
        timer = QTimer(interval=5)
        timer.timeout.connect(lambda beats=beats: beats.append(time.perf_counter()))
        dock.bar.run.click()
        timer.start()
        finish(dock)
        timer.stop()
        worst.append(float(np.diff(beats).max()))
    record_property("longest_pauses_ms", [round(1000 * float(each)) for each in worst])
    assert np.median(worst) < 0.5, worst


def test_closing_the_viewer_in_the_middle_ends_the_thread(dock, tracker, qtbot, paint):
    tracker.frame_seconds = 0.1
    begin(dock, paint, qtbot)
    job = dock.runner.job
    dock.viewer.close()
    assert job.wait(2)
    qtbot.wait(100)


# In the middle of fine-tuning


@pytest.fixture
def tuning(dock, tracker, paint, qtbot):
    """The work of a dock that is at its fine-tuning, whose steps take long."""
    tracker.step_seconds = 0.1
    dock.finetune.details.set_value(FinetuneConfig(steps=200))
    paint(dock, 0)
    dock.bar.run.click()
    qtbot.waitUntil(lambda: tracker.steps > 0)
    return dock.runner.job


def test_cancelling_the_fine_tuning_answers_and_ends_the_thread(dock, tracker, tuning, qtbot):
    began = time.perf_counter()
    dock.bar.cancel.click()
    assert time.perf_counter() - began < 0.5
    assert dock.bar.run.isEnabled()
    assert tuning.wait(2)
    assert tracker.closed.is_set()
    steps = tracker.steps
    qtbot.wait(300)
    assert tracker.steps == steps < 200
    assert not dock.workspace.result.done


@pytest.mark.parametrize("way", ["dock", "viewer"])
def test_closing_in_the_middle_of_fine_tuning_ends_the_thread(dock, tracker, tuning, qtbot, way):
    press(dock, "Close") if way == "dock" else dock.viewer.close()
    assert tuning.wait(2)
    assert tracker.closed.is_set()
    qtbot.wait(100)


@pytest.mark.parametrize("name", ["cells masks", "cells result", "cells"])
def test_deleting_or_renaming_a_layer_while_it_fine_tunes_is_safe(dock, tracker, tuning, finish, qtbot, name):
    layer = dock.viewer.layers[name]
    layer.name = "renamed"
    qtbot.wait(100)
    dock.viewer.layers.remove(layer)
    tracker.step_seconds = 0.0
    finish(dock)
    assert dock.bar.run.isEnabled()
    assert tuning.wait(2)
    if name == "cells":
        assert dock.workspace.view is None
    else:
        assert len(dock.workspace.result.done) == 8


# The graphics card


class Network:
    """Says where it was moved."""

    def __init__(self):
        self.places = []

    def to(self, device, *args, **kwargs):
        self.places.append(str(device))
        return self


@pytest.mark.parametrize("ending", ["done", "failed", "cancelled"])
def test_the_memory_of_the_graphics_card_is_freed_however_a_run_ends(
    dock, tracker, paint, finish, qtbot, monkeypatch, ending
):
    emptied = []
    torch = SimpleNamespace(cuda=SimpleNamespace(empty_cache=lambda: emptied.append(True)))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr("napari_masktrack.widgets.engine.wake", lambda tracker, device: None)
    tracker.network, tracker.device = Network(), SimpleNamespace(type="cuda")
    tracker.step_seconds = 0.05
    tracker.fail = RuntimeError("CUDA error") if ending == "failed" else None
    paint(dock, 0)
    dock.bar.run.click()
    if ending == "cancelled":
        qtbot.waitUntil(lambda: tracker.steps > 0)
        dock.bar.cancel.click()
    finish(dock)
    assert dock.runner.job.wait(5)
    assert tracker.network.places == ["cpu"]
    assert emptied == [True]
