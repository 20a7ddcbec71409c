"""The main path of the window with the embedded network: nothing is imitated but the user."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_masktrack.config import FinetuneConfig
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.io.readers import read_annotations
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.exports import export

STEPS = FinetuneConfig(steps=12, batch=2, size=128)
WAIT = 240_000
"""Milliseconds; a quiet machine needs a tenth of it."""


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def mean_similarity(dock, truth):
    values = [
        region_similarity(truth.frame(frame).labels == label, dock.workspace.result.labels(frame) == label)
        for frame in range(len(truth))
        for label in (1, 2)
    ]
    return float(np.mean(values))


@pytest.mark.weights
@pytest.mark.timeout(600)
def test_paint_press_correct_press_again_compare_export_reopen(
    make_napari_viewer, truth, paint, finish, qtbot, tmp_path
):
    tifffile.imwrite(tmp_path / "cells.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "cells.tif", plugin="napari")
    dock = MaskTrackDock(viewer)
    viewer.window.add_dock_widget(dock, name="MaskTrack")
    dock.sessions.create(tmp_path / "cells.masktrack")
    dock.finetune.details.set_value(STEPS)

    press(qtbot, dock.annotate.tools["Paint"])
    for frame in (0, 3):
        paint(dock, frame)
    press(qtbot, dock.bar.run)
    finish(dock, WAIT)
    assert "Done: 6 frames computed, 2 frames kept" in dock.bar.message.text()
    assert dock.workspace.result.done == tuple(range(len(truth)))
    assert mean_similarity(dock, truth) >= 0.9
    assert np.array_equal(dock.workspace.result.labels(0), truth.frame(0).labels)

    before = [dock.workspace.result.labels(frame) for frame in range(len(truth))]
    viewer.dims.set_point(0, 6)
    dock.commands.do("use result")
    paint(dock, 6)
    dock.finetune.set_value("off")
    dock.propagate.touched.setChecked(True)
    written = []
    dock.runner.framed.connect(lambda result: written.append(result.frame))
    press(qtbot, dock.bar.run)
    finish(dock, WAIT)
    assert set(written) == set(range(3, 8))
    for frame in range(3):
        assert np.array_equal(dock.workspace.result.labels(frame), before[frame])
    assert np.array_equal(dock.workspace.result.labels(6), truth.frame(6).labels)
    assert mean_similarity(dock, truth) >= 0.9

    dock.review.reference.set_value(viewer.add_labels(np.array(truth.labels), name="truth"))
    dock.folds["5  Review"].set_open()
    press(qtbot, dock.review.compute)
    finish(dock, WAIT)
    rows = {row.label: row for row in dock.review.table.value()}
    assert rows[None].mean == pytest.approx(mean_similarity(dock, truth), abs=1e-6)

    export(dock, tmp_path / "masks", "png")
    finish(dock)
    exported = read_annotations(tmp_path / "masks", dock.workspace.view.movie)
    result = [dock.workspace.result.labels(frame) for frame in range(len(truth))]
    for frame, image in enumerate(result):
        assert np.array_equal(exported.label_image(frame, image.shape), image)
    dock.sessions.flush()
    dock.release()

    again = MaskTrackDock(make_napari_viewer())
    again.sessions.open(tmp_path / "cells.masktrack")
    qtbot.waitUntil(lambda: again.workspace.drawings.frames == (0, 3, 6), timeout=20_000)
    qtbot.waitUntil(lambda: len(again.workspace.result.done) == len(truth), timeout=20_000)
    for frame, image in enumerate(result):
        assert np.array_equal(again.workspace.result.labels(frame), image)
    assert str(again.finetune.model).endswith("finetuned.safetensors")
    again.finetune.set_value("off")
    qtbot.waitUntil(lambda: not again.workspace.drawings.corrected, timeout=20_000)
    press(qtbot, again.bar.run)
    finish(again, WAIT)
    assert "Done: 5 frames computed, 3 frames kept" in again.bar.message.text()
    assert mean_similarity(again, truth) >= 0.9
    again.release()
