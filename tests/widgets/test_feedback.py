"""What the dock shows and says back, so that nobody wonders whether something happened."""

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.widgets.plot import LossPlot
from napari_masktrack.widgets.timeline import Curve, Timeline


@pytest.fixture
def propagated(dock, paint, finish):
    """A dock with a result."""
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    return dock


def test_the_result_hides_while_its_frame_is_corrected(propagated, finish):
    dock, layer = propagated, propagated.workspace.result.layer
    dock.workspace.go_to(3)
    dock.commands.do("use result")
    assert not layer.visible, "else what is erased still seems to be there"
    dock.workspace.go_to(4)
    assert layer.visible
    dock.commands.do("use result")
    dock.bar.run.click()
    assert layer.visible
    finish(dock)


def test_a_result_that_the_user_hid_stays_hidden(propagated):
    dock, layer = propagated, propagated.workspace.result.layer
    layer.visible = False
    dock.workspace.go_to(3)
    dock.commands.do("use result")
    dock.workspace.go_to(4)
    assert not layer.visible


def test_the_button_to_start_stays_where_it_is(dock, paint, finish, qtbot):
    dock.viewer.window._qt_window.show()
    paint(dock, 0)
    place = dock.bar.run.mapTo(dock, QPoint(0, 0))
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.bar.cancel.isVisible() and dock.bar.cancel.y() < dock.bar.run.y())
    assert dock.bar.run.mapTo(dock, QPoint(0, 0)) == place
    finish(dock)


def test_an_import_says_how_much_came(dock, truth, qtbot, tmp_path):
    folder = tmp_path / "drawn"
    folder.mkdir()
    for frame in (0, 5):
        Image.fromarray(truth.frame(frame).labels.astype(np.uint8)).save(folder / f"{frame:04d}.png")
    dock.commands.imports.start(folder)
    qtbot.waitUntil(lambda: "Imported drawn: 2 object(s) on 2 frame(s)." in dock.bar.message.text())
    assert "already" not in dock.bar.message.text()
    assert dock.workspace.drawings.frames == (0, 5)


@pytest.fixture
def opened_folder(make_napari_viewer, npe2pm, truth, tmp_path):
    """A dock on a folder of images that napari opened; its frames are files 60 to 67."""
    from napari_masktrack.widgets import MaskTrackDock

    for frame in range(8):
        for name, image in (("images", truth.images[frame]), ("drawn", truth.frame(frame).labels)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / name / f"{60 + frame:05d}.png")
    viewer = make_napari_viewer()
    with npe2pm.tmp_plugin(package="napari"):
        viewer.open(tmp_path / "images", plugin="napari")
    dock = MaskTrackDock(viewer)
    yield dock
    dock.release()


def test_only_the_chosen_masks_come_and_find_their_frames_by_the_files_names(
    opened_folder, tmp_path, qtbot, monkeypatch
):
    chosen = [str(tmp_path / "drawn" / f"000{number}.png") for number in (62, 65)]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_, **__: (chosen, ""))
    for expected in ((2, 5), (2, 4, 5)):
        opened_folder.annotate.import_masks.click()
        qtbot.waitUntil(lambda expected=expected: opened_folder.workspace.drawings.frames == expected)
        qtbot.waitUntil(lambda: not opened_folder.runner.is_running)
        chosen[:] = [str(tmp_path / "drawn" / "00064.png")]


def test_the_end_says_where_objects_are_missing_that_were_not_drawn_on_a_painted_frame(dock, paint, finish):
    paint(dock, 0)
    paint(dock, 4, 1)
    dock.bar.run.click()
    finish(dock)
    said = dock.bar.message.text()
    assert "2 frames kept as you annotated them (1 without the objects that you did not draw there;" in said
    dock.workspace.drawings.set_absent(4, 2, absent=True)
    dock.bar.run.click()
    finish(dock)
    assert "without the objects" not in dock.bar.message.text()


def test_the_end_says_what_was_really_done(dock, paint, finish):
    paint(dock, 2)
    dock.propagate.direction.setCurrentIndex(dock.propagate.direction.findData("forward"))
    dock.bar.run.click()
    finish(dock)
    assert (
        "Done: 5 frames computed, 1 frame kept as you annotated it, 2 frames left as they were, because "
        "nothing is carried there."
    ) in dock.bar.message.text()


def test_a_run_in_one_direction_leaves_what_the_other_one_gave(dock, paint, finish):
    paint(dock, 2)
    for direction in ("forward", "backward"):
        dock.propagate.direction.setCurrentIndex(dock.propagate.direction.findData(direction))
        dock.bar.run.click()
        finish(dock)
    assert dock.workspace.result.done == tuple(range(8))
    assert all(dock.workspace.result.labels(frame).any() for frame in range(8))


def test_frames_that_nothing_is_carried_to_in_this_direction_are_refused(dock, paint, finish):
    paint(dock, 5)
    dock.propagate.direction.setCurrentIndex(dock.propagate.direction.findData("forward"))
    dock.propagate.part.setChecked(True)
    dock.propagate.first.setValue(1)
    dock.propagate.last.setValue(3)
    dock.bar.run.click()
    assert "nothing is carried to frames 1 to 3" in dock.bar.message.text()
    assert not dock.runner.is_running


def test_no_word_of_the_literature_needs_a_dictionary(dock):
    said = [each.toolTip() for row in dock.finetune.details.rows.values() for each in [row.control]]
    assert not any("dream" in text.lower() for text in said)


def test_saving_says_where_and_asks_only_once(dock, tmp_path):
    asking = dock.save.save.text()
    dock.sessions.create(tmp_path / "mine.masktrack")
    assert dock.save.save.text() == "Save now"
    dock.save.save.click()
    assert str(tmp_path / "mine.masktrack") in dock.bar.message.text()
    dock.sessions.close()
    assert dock.save.save.text() == asking


def test_the_thick_line_of_the_loss_falls_where_single_steps_jump(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.clear(100)
    for step in range(1, 101):
        plot.add(step, (1 if step % 5 else 3) / step)
    means = [mean for _, mean in plot.means]
    assert means[-1] < means[50] < means[10]
    assert not plot.grab().isNull()


def test_ids_at_the_end_of_the_timeline_do_not_cover_one_another(qtbot):
    timeline = Timeline()
    qtbot.addWidget(timeline)
    timeline.resize(400, 150)
    timeline.set_frames(3)
    timeline.set_value([Curve(label, (1.0, 0.0, 0.0), np.full(3, 0.9)) for label in (1, 2, 3)])
    timeline.grab()
    tops = sorted(place.y() for place in timeline.names.values())
    assert len(tops) == 3
    assert np.diff(tops).min() >= 8


def test_the_guide_promises_no_fine_tuning_where_it_is_off(dock, paint):
    paint(dock, 2)
    dock.finetune.set_value("quick")
    assert "adapts" in dock.guide.text()
    dock.finetune.set_value("off")
    assert "Press the button below" in dock.guide.text()
    assert "adapts" not in dock.guide.text()


def test_a_run_that_could_learn_nothing_says_so(dock, tracker, paint, finish, monkeypatch):
    paint(dock, 0)
    monkeypatch.setattr(tracker, "finetune", lambda *_, **__: (each for each in ()))
    dock.bar.run.click()
    finish(dock)
    assert "Nothing was learned: boxes and strokes" in dock.bar.message.text()
    dock.finetune.mode.setCurrentIndex(dock.finetune.mode.findData("off"))
    dock.bar.run.click()
    finish(dock)
    assert "learned" not in dock.bar.message.text()
