"""The loop as a user goes it: paint, press, look, correct, press again, compare, save, reopen."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.widgets.exports import export


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def mean_similarity(dock, truth):
    values = [
        region_similarity(truth.frame(frame).labels == label, dock.workspace.result.labels(frame) == label)
        for frame in range(len(truth))
        for label in (1, 2)
    ]
    return float(np.mean(values))


def test_painting_one_frame_and_one_button_gives_masks_on_all_frames(dock, truth, qtbot, paint, finish):
    press(qtbot, dock.annotate.tools["Paint"])
    assert dock.viewer.layers.selection.active.mode == "paint"
    paint(dock, 0)
    press(qtbot, dock.bar.run)
    assert not dock.bar.run.isEnabled()
    finish(dock)
    assert dock.bar.run.isEnabled()
    assert dock.workspace.result.done == tuple(range(len(truth)))
    assert mean_similarity(dock, truth) >= 0.9
    assert np.array_equal(dock.workspace.result.labels(0), truth.frame(0).labels)


def test_correcting_a_frame_propagates_only_what_it_touches(dock, truth, qtbot, paint, finish):
    paint(dock, 0)
    paint(dock, 4)
    press(qtbot, dock.bar.run)
    finish(dock)
    before = [dock.workspace.result.labels(frame) for frame in range(len(truth))]
    dock.viewer.dims.set_point(0, 6)
    dock.commands.do("use result")
    wrong = dock.workspace.drawings.indices["masks"].image(6)
    wrong[wrong == 2] = 0
    dock.workspace.drawings.paint(6, wrong)
    assert dock.commands.touched() == range(4, 8)
    dock.propagate.touched.setChecked(True)
    frames = []
    dock.runner.framed.connect(lambda result: frames.append(result.frame))
    press(qtbot, dock.bar.run)
    finish(dock)
    assert set(frames) == set(range(4, 8))
    for frame in range(4):
        assert np.array_equal(dock.workspace.result.labels(frame), before[frame])
    dock.commands.do("revert")
    finish(dock)
    assert np.array_equal(dock.workspace.result.labels(6), before[6])


def test_real_strokes_with_the_mouse_become_an_annotation(dock, truth, qtbot, finish):
    """A user paints with the mouse on the canvas, and the dock lists the frame and the object."""
    press(qtbot, dock.annotate.tools["Paint"])
    viewer = dock.viewer
    viewer.window._qt_window.show()
    viewer.dims.set_point(0, 0)
    layer = viewer.layers.selection.active
    layer.brush_size = 10
    y, x = np.argwhere(truth.frame(0).labels == 1).mean(axis=0)
    canvas = viewer.window._qt_viewer.canvas
    qtbot.waitUntil(lambda: canvas.native.isVisible())
    viewer.camera.center, viewer.camera.zoom = (y, x), 4
    middle = canvas.native.rect().center()
    for offset in (0, 6, 12):
        qtbot.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=middle + QPoint(offset, 0))
        qtbot.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=middle + QPoint(offset, 0))
    qtbot.waitUntil(lambda: dock.annotate.strip.value() == (0,))
    assert [entry.label for entry in dock.annotate.table.value()] == [1]
    press(qtbot, dock.bar.run)
    finish(dock)
    assert dock.workspace.result.done == tuple(range(len(truth)))


def test_iou_against_a_reference_is_that_of_the_metrics(dock, truth, qtbot, paint, finish):
    reference = dock.viewer.add_labels(np.array(truth.labels), name="truth")
    paint(dock, 0)
    press(qtbot, dock.bar.run)
    finish(dock)
    dock.review.reference.set_value(reference)
    dock.folds["5  Review"].set_open()
    press(qtbot, dock.review.compute)
    finish(dock)
    rows = {row.label: row for row in dock.review.table.value()}
    assert rows[None].mean == pytest.approx(mean_similarity(dock, truth), abs=1e-6)
    features = dock.workspace.result.layer.features
    assert features["iou"].notna().all()
    assert "truth" in dock.review.said.text()


def test_an_object_that_only_the_reference_has_is_named_and_lowers_nothing(dock, truth, qtbot, paint, finish):
    more = np.array(truth.labels)
    more[:, :4, :4] = 9
    reference = dock.viewer.add_labels(more, name="truth")
    paint(dock, 0)
    press(qtbot, dock.bar.run)
    finish(dock)
    dock.review.reference.set_value(reference)
    press(qtbot, dock.review.compute)
    finish(dock)
    rows = {row.label: row for row in dock.review.table.value()}
    assert rows[None].mean == pytest.approx(mean_similarity(dock, truth), abs=1e-6)
    assert [row.compared for row in rows.values()] == [True, True, False, True]
    assert "not counted: 9" in dock.review.said.text()
    assert "not annotated" in dock.review.table.text()
    press(qtbot, dock.bar.run)
    finish(dock)
    assert "before the last run" in dock.review.said.text()


def test_leave_one_out_needs_two_frames_and_says_what_it_is(dock, qtbot, paint, finish):
    paint(dock, 0)
    press(qtbot, dock.review.compute)
    assert "two frames" in dock.bar.message.text()
    paint(dock, 5)
    press(qtbot, dock.review.compute)
    finish(dock)
    assert {score.frame for score in dock.review.value()} == {0, 5}
    assert "leave-one-out" in dock.review.said.text()


def test_export_and_reopen(dock, truth, qtbot, paint, finish, tmp_path):
    from napari_masktrack.io.readers import read_annotations

    paint(dock, 0)
    press(qtbot, dock.bar.run)
    finish(dock)
    export(dock, tmp_path / "masks", "png")
    finish(dock)
    again = read_annotations(tmp_path / "masks", dock.workspace.view.movie)
    assert np.array_equal(again.label_image(3, (96, 128)), dock.workspace.result.labels(3))
