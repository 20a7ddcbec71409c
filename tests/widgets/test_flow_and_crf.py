"""A second network on the motion, and the search for the CRF's parameters: wanted, shown, cancelled, kept."""

import numpy as np
import pytest

from napari_masktrack.core.crf import CrfConfig


@pytest.fixture
def look_at_motion(dock):
    dock.propagate.details.rows["flow"].control.setChecked(True)


@pytest.fixture
def sharpen(dock):
    """Sharpen two frames, which is slow."""
    dock.propagate.details.rows["crf"].control.setChecked(True)
    dock.propagate.part.setChecked(True)
    dock.propagate.last.setValue(1)


@pytest.fixture
def searched(dock, tracker, sharpen, paint, finish):
    """A dock that searched the CRF's parameters."""
    paint(dock, 0)
    dock.propagate.crf_search.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    return dock


def test_the_motion_can_be_adapted_to_only_where_it_is_looked_at(dock):
    control = dock.finetune.flow
    control.setChecked(True)
    assert not control.isEnabled()
    assert not dock.finetune.adapts_flow
    dock.propagate.details.rows["flow"].control.setChecked(True)
    assert control.isEnabled()
    assert dock.finetune.adapts_flow
    dock.finetune.set_value("off")
    assert not dock.finetune.adapts_flow
    dock.finetune.set_value("quick")
    dock.propagate.details.rows["flow"].control.setChecked(False)
    assert not dock.finetune.adapts_flow


def test_both_networks_are_adapted_one_after_the_other(dock, tracker, look_at_motion, paint, finish):
    paint(dock, 0)
    dock.finetune.flow.setChecked(True)
    phases = []
    begin = dock.bar.begin
    dock.bar.begin = lambda title, steps, **more: (phases.append((title, steps)), begin(title, steps, **more))
    dock.bar.run.click()
    finish(dock)
    assert tracker.streams == ["image", "motion"]
    assert [each for each in phases if "Fine" in each[0]] == [("Fine-tuning", 3), ("Fine-tuning motion", 3)]
    assert [step for step, _ in dock.finetune.plot.value()] == [1, 2, 3], "the plot begins again"
    assert dock.workspace.result.layer.metadata["masktrack"]["settings"]["finetune_flow"]


def test_without_asking_only_the_images_are_adapted_to(dock, tracker, look_at_motion, paint, finish):
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    assert tracker.streams == ["image"]


def test_the_crf_can_be_searched_only_where_it_is_used(dock):
    dock.propagate.crf_search.setChecked(True)
    assert not dock.propagate.crf_search.isEnabled()
    assert not dock.propagate.searches_crf
    dock.propagate.details.rows["crf"].control.setChecked(True)
    assert dock.propagate.searches_crf


def test_the_search_says_what_it_found_and_the_result_records_it(searched, tracker):
    said = searched.propagate.searched.text()
    assert "0.600" in said
    assert "0.800" in said
    assert "best of 3 tried" in said
    notes = searched.workspace.result.layer.metadata["masktrack"]
    assert notes["crf"] == str(tracker.crf) != str(CrfConfig())
    assert notes["settings"]["crf_search"]


def test_without_the_search_the_paper_s_parameters_are_back(searched, tracker, finish):
    searched.propagate.crf_search.setChecked(False)
    searched.bar.run.click()
    finish(searched)
    assert tracker.crf == CrfConfig()
    assert searched.propagate.searched.text() == ""


def test_a_box_to_mask_leaves_the_parameters_that_were_found(searched, tracker, truth, finish):
    found = tracker.crf
    shapes = searched.workspace.drawings.ensure("shapes")
    y, x = np.argwhere(truth.frame(0).labels == 1).T
    (y0, x0), (y1, x1) = (y.min(), x.min()), (y.max(), x.max())
    shapes.add_rectangles(np.array([[0, y0, x0], [0, y0, x1], [0, y1, x1], [0, y1, x0]]))
    searched.workspace.go_to(0)
    searched.commands.do("box to mask")
    finish(searched)
    assert tracker.crf == found != CrfConfig()


def test_a_search_with_nothing_to_search_on_is_said(dock, tracker, sharpen, paint, finish):
    tracker.tries = 0
    paint(dock, 0)
    dock.propagate.crf_search.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    assert "Not searched" in dock.propagate.searched.text()
    assert "Done: 1 frame computed, 1 frame kept" in dock.bar.message.text()


@pytest.mark.parametrize("what", ["search", "motion"])
def test_cancel_stops_the_search_and_the_motion_s_training(dock, tracker, paint, finish, qtbot, what):
    paint(dock, 0)
    rows = dock.propagate.details.rows
    rows["crf"].control.setChecked(True)
    rows["flow"].control.setChecked(True)
    if what == "search":
        dock.finetune.set_value("off")
        dock.propagate.crf_search.setChecked(True)
        tracker.tries = 1000
    else:
        dock.finetune.flow.setChecked(True)
    tracker.step_seconds = 0.1
    title = "Fitting the CRF" if what == "search" else "Fine-tuning motion"
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.bar.bar.format().startswith(f"{title} 1/"), timeout=20_000)
    tracker.closed.clear()
    dock.bar.cancel.click()
    assert not dock.runner.is_running
    qtbot.waitUntil(tracker.closed.is_set, timeout=5_000)
    assert "Stopped" in dock.bar.message.text()


def test_the_network_rests_off_the_device_with_that_of_the_motion():
    torch = pytest.importorskip("torch")
    from napari_masktrack.widgets.engine import rest, wake

    class Loaded:
        device = torch.device("meta")
        network, motion = torch.nn.Conv2d(1, 1, 1), torch.nn.Conv2d(1, 1, 1)

    tracker = Loaded()
    wake(tracker, "cpu")
    assert {tracker.network.weight.device.type, tracker.motion.weight.device.type} == {"cpu"}
    tracker.motion = None
    rest(tracker)
    assert tracker.motion is None


def test_both_controls_are_kept_in_the_session(dock):
    dock.finetune.flow.setChecked(True)
    dock.propagate.crf_search.setChecked(True)
    kept = dock.sessions.settings()
    for control in (dock.finetune.flow, dock.propagate.crf_search):
        control.setChecked(False)
    dock.sessions.restore_settings(kept)
    assert dock.finetune.flow.isChecked()
    assert dock.propagate.crf_search.isChecked()


@pytest.mark.parametrize("answer", [True, False, None])
def test_a_result_notes_whether_its_outlines_were_put_on_edges(dock, tracker, paint, finish, answer):
    tracker.on_edges = answer
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    notes = dock.workspace.result.layer.metadata["masktrack"]
    assert notes.get("on_edges") == (None if answer is None else str(answer))
