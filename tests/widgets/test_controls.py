"""Controls beyond the main path: strokes beside, boxes, probabilities, numbers, napari's own."""

import csv

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog

import napari_masktrack
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.widgets.preferences import Preferences

from .conftest import READ_PREFERENCES

MANIFEST = f"{napari_masktrack.__path__[0]}/napari.yaml"


@pytest.fixture
def answer_file(monkeypatch):
    """Answer the dialogs for files to save."""

    def act(path):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))

    return act


# Drawing


def test_strokes_beside_the_object_are_hollow_and_reach_the_engine(dock, paint, truth):
    paint(dock, 0, 1)
    dock.annotate.tools["Not object"].click()
    layer = dock.viewer.layers.selection.active
    assert (layer.name, layer.mode, layer.selected_label) == ("cells not object", "paint", 1)
    assert layer.contour > 0
    layer.data_setitem((np.full(5, 3), np.arange(5), np.arange(5)), 1)
    drawings = dock.workspace.drawings
    drawings.settle()
    (stroke,) = drawings.read().at(3)
    assert stroke.label == 1
    assert not stroke.inside.any()
    np.testing.assert_array_equal(np.argwhere(stroke.outside), [[i, i] for i in range(5)])
    assert drawings.frames == (0, 3)


def test_a_stroke_beside_an_object_that_is_nowhere_on_the_frame_is_said_to_be_useless(dock, paint, finish):
    paint(dock, 0, 1)
    drawings = dock.workspace.drawings
    drawings.ensure("beside").data_setitem((np.full(2, 4), np.arange(2), np.arange(2)), 1)
    dock.bar.run.click()
    assert "counts only together" in dock.bar.message.text()
    finish(dock)
    assert "counts only together" in dock.bar.message.text(), "also after all the time that a run takes"
    paint(dock, 4, 1)
    assert drawings.lonely == ()


def test_a_frame_with_strokes_beside_only_does_not_end_the_range_of_a_correction(dock, paint):
    for frame in (0, 6):
        paint(dock, frame, 1)
    drawings = dock.workspace.drawings
    drawings.ensure("beside").data_setitem((np.full(2, 4), np.arange(2), np.arange(2)), 1)
    drawings.settle()
    assert drawings.anchors == {1: (0, 6)}
    drawings.corrected = {(2, 1)}
    assert dock.commands.touched() == range(7)


def test_a_box_becomes_a_mask(dock, truth, finish):
    mask = truth.frame(2).labels == 1
    rows, columns = np.nonzero(mask)
    y0, x0, y1, x1 = rows.min() - 2, columns.min() - 2, rows.max() + 2, columns.max() + 2
    dock.workspace.go_to(2)
    dock.annotate.tools["Box"].click()
    shapes = dock.viewer.layers.selection.active
    assert shapes.mode == "add_rectangle"
    shapes.add_rectangles(np.array([[2, y0, x0], [2, y0, x1], [2, y1, x1], [2, y1, x0]], float))
    dock.annotate.box_to_mask.click()
    finish(dock)
    drawings = dock.workspace.drawings
    assert region_similarity(mask, drawings.indices["masks"].image(2) == 1) >= 0.8
    assert len(shapes.data) == 0
    assert dock.viewer.layers.selection.active is drawings.layers["masks"]


def test_without_a_box_the_button_says_what_to_do(dock):
    dock.annotate.box_to_mask.click()
    assert "press 'Box'" in dock.bar.message.text()


# Probabilities


@pytest.fixture
def with_probability(dock, paint, finish):
    """A dock that propagated with probabilities."""
    paint(dock, 0)
    dock.propagate.probability.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    return dock


@pytest.mark.parametrize("limit", [2**30, 0], ids=["in memory", "on disk"])
def test_probabilities_lie_over_the_movie_and_agree_with_the_masks(dock, paint, finish, limit):
    dock.workspace.in_memory_up_to = limit
    paint(dock, 0)
    dock.propagate.probability.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    store, result = dock.workspace.probability, dock.workspace.result
    assert store.on_disk == (limit == 0)
    assert (store.layer.name, store.layer.data.dtype) == ("cells probability", np.uint8)
    np.testing.assert_array_equal(store.layer.scale, dock.viewer.layers["cells"].scale)
    for frame in range(8):
        likely = np.asarray(store.layer.data[frame]) > 127
        assert region_similarity(likely, result.labels(frame) > 0) > 0.95
    np.testing.assert_array_equal(np.asarray(store.layer.data[0]), 255 * (result.labels(0) > 0))


def test_probabilities_cover_no_masks(with_probability):
    names = [layer.name for layer in with_probability.viewer.layers]
    assert names == ["cells", "cells probability", "cells masks", "cells result"]


def test_probabilities_are_no_movie_and_can_be_deleted(with_probability, finish):
    dock = with_probability
    choices = [dock.movie.layer.itemText(row) for row in range(dock.movie.layer.count())]
    assert choices == ["cells"]
    dock.viewer.layers.remove(dock.workspace.probability.layer)
    assert dock.workspace.probability is None
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.probability.layer in dock.viewer.layers


def test_taking_a_propagation_back_takes_its_probabilities_back(with_probability, finish):
    dock = with_probability
    dock.commands.do("revert")
    finish(dock)
    assert not np.asarray(dock.workspace.probability.layer.data).any()


def test_probabilities_are_not_computed_unasked(dock, paint, finish):
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.probability is None


# Numbers


def test_masks_from_both_sides_are_compared_on_each_frame(dock, paint, finish):
    for frame in (0, 6):
        paint(dock, frame)
    dock.propagate.compare.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    dock.review.shown.setCurrentIndex(dock.review.shown.findData("agreement"))
    curves = {curve.label: curve.values for curve in dock.review.timeline.value()}
    assert set(curves) == {1, 2}
    for values in curves.values():
        assert np.flatnonzero(np.isfinite(values)).tolist() == [1, 2, 3, 4, 5]
        assert np.nanmin(values) > 0.8
    features = dock.workspace.result.layer.features
    between = features["frame"].between(1, 5)
    assert features["agreement"].notna().equals(between)


def test_one_direction_cannot_be_compared(dock):
    dock.propagate.compare.setChecked(True)
    dock.propagate.direction.setCurrentIndex(dock.propagate.direction.findData("forward"))
    assert not dock.propagate.compare.isEnabled()
    assert not dock.propagate.value().both_sides


@pytest.fixture
def compared(dock, truth, paint, finish):
    """A dock whose result was compared with the truth."""
    reference = dock.viewer.add_labels(np.array(truth.labels), name="truth")
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    dock.review.reference.set_value(reference)
    dock.review.compute.click()
    finish(dock)
    return dock


def test_every_number_is_saved_as_csv(compared, answer_file, tmp_path):
    answer_file(tmp_path / "iou.csv")
    compared.review.to_file.click()
    with (tmp_path / "iou.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    frames = [row for row in rows if row["kind"] == "frame"]
    assert {(int(row["frame"]), int(row["label"])) for row in frames} == {
        (frame, label) for frame in range(8) for label in (1, 2)
    }
    (total,) = [row for row in rows if row["label"] == "all"]
    assert float(total["J"]) == pytest.approx(compared.review.table.value()[-1].mean, abs=1e-5)


def test_a_csv_that_cannot_be_written_is_said(compared, answer_file, tmp_path):
    answer_file(tmp_path / "nowhere" / "iou.csv")
    compared.review.to_file.click()
    assert "iou.csv" in compared.bar.message.text()


def test_the_table_is_copied_for_a_spreadsheet(compared):
    compared.review.copy.click()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:2] == ["Object", "IoU"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["1", "2", "all"]


# Exports


@pytest.mark.parametrize(
    ("kind", "typed", "written"),
    [
        ("tif", "masks", "masks.tif"),
        ("tif", "masks.TIFF", "masks.TIFF"),
        ("zarr", "cells.v2", "cells.v2.zarr"),
        ("coco", "masks.tif", "masks.tif.json"),
        ("png", "masks", "masks"),
    ],
)
def test_an_exported_file_ends_as_its_kind_does(
    dock, paint, finish, answer_file, tmp_path, kind, typed, written
):
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    dock.save.format.setCurrentIndex(dock.save.format.findData(kind))
    answer_file(tmp_path / typed)
    dock.save.export.click()
    finish(dock)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("masks", "cells"))] == [written]


# napari


def test_the_preferences_page_sets_the_dock(npe2pm, monkeypatch, tmp_path, qtbot):
    from napari.components import ViewerModel
    from napari.settings import get_plugin_settings

    from napari_masktrack.widgets import MaskTrackDock

    (tmp_path / "mine.safetensors").write_bytes(b"")
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})
    monkeypatch.setattr(Preferences, "read", READ_PREFERENCES)
    with npe2pm.tmp_plugin(manifest=MANIFEST):
        settings = get_plugin_settings("napari-masktrack", path_dir=None).general
        assert Preferences.read() == Preferences()
        settings.device, settings.model_folder, settings.autosave = "cpu", str(tmp_path), False
        dock = MaskTrackDock(ViewerModel())
        qtbot.addWidget(dock)
        assert dock.finetune.device.currentData() == "cpu"
        assert dock.finetune.start.findText("mine.safetensors") >= 0
        assert not dock.preferences.autosave
        dock.release()


@pytest.mark.parametrize(
    ("typed", "meant"), [("~/mine", "home/mine"), ("mine", "home/mine"), ("{tmp}/mine", "mine")]
)
def test_folders_of_the_preferences_page_are_found_wherever_napari_began(
    npe2pm, monkeypatch, tmp_path, typed, meant
):
    from napari.settings import get_plugin_settings

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})
    with npe2pm.tmp_plugin(manifest=MANIFEST):
        settings = get_plugin_settings("napari-masktrack", path_dir=None).general
        settings.session_folder = typed.format(tmp=tmp_path)
        assert READ_PREFERENCES().sessions == tmp_path / meant


@pytest.mark.parametrize("first", ["dock", "session"])
def test_a_session_that_is_dropped_on_napari_goes_on_in_the_dock(
    make_napari_viewer, npe2pm, truth, tracker, paint, finish, qtbot, tmp_path, first
):
    import tifffile

    from napari_masktrack.widgets import MaskTrackDock
    from napari_masktrack.widgets.engine import Engine

    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    folder = tmp_path / "mine.masktrack"
    with npe2pm.tmp_plugin(manifest=MANIFEST), npe2pm.tmp_plugin(package="napari"):
        viewer = make_napari_viewer()
        viewer.open(tmp_path / "movie.tif", plugin="napari")
        dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
        dock.finetune.set_value("off")
        dock.sessions.create(folder)
        paint(dock, 0)
        dock.bar.run.click()
        finish(dock)
        dock.release()

        other = make_napari_viewer()
        steps = [
            lambda: MaskTrackDock(other, Engine(lambda model, device: tracker)),
            lambda: other.open(folder, plugin="napari-masktrack"),
        ]
        made = [step() for step in (steps if first == "dock" else reversed(steps))]
        again = next(each for each in made if isinstance(each, MaskTrackDock))
        qtbot.waitUntil(lambda: again.workspace.result is not None, timeout=10_000)
        qtbot.waitUntil(lambda: len(again.workspace.result.done) == len(truth), timeout=10_000)
        qtbot.waitUntil(lambda: again.workspace.drawings.frames == (0,), timeout=10_000)
        qtbot.waitUntil(lambda: len(other.layers) == 3, timeout=10_000)  # the former result goes in steps
        again.bar.run.click()
        finish(again)
        assert again.sessions.session.folder == folder
        again.release()


def test_what_cannot_be_used_yet_says_why(dock, paint, finish):
    controls = {
        dock.save.export: "propagate first",
        dock.save.revert: "no propagation to take back",
        dock.review.copy: "press Compute IoU",
        dock.review.to_file: "press Compute IoU",
        dock.finetune.flow: "Look at motion",
        dock.propagate.crf_search: "Sharpen with a CRF",
        dock.propagate.first: "Choose 'Frames'",
    }
    for control, reason in controls.items():
        assert not control.isEnabled()
        assert reason in control.toolTip()
        assert control.toolTip().startswith(control.accessibleDescription())
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    for control in (dock.save.export, dock.save.revert):
        assert control.isEnabled()
        assert control.toolTip() == control.accessibleDescription()
    dock.finetune.mode.setCurrentIndex(dock.finetune.mode.findData("off"))
    assert "Fine-tuning is off" in dock.finetune.flow.toolTip()
