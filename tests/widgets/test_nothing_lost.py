"""What the user has in the window comes back from a session, and nothing is lost on the way there."""

import shutil

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.errors import AnnotationError, InputError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.io.session_numbers import SessionNumbers
from napari_masktrack.io.session_results import SessionResults
from napari_masktrack.layers import LayerMovie
from napari_masktrack.widgets.drawings import Drawings


def held(folder):
    """Which frames are in a session, and how many pixels of objects on each."""
    with Session.open(folder, read_only=True) as session:
        results = session.results
        return {frame: int((results.read(frame) > 0).sum()) for frame in results.written}


def test_running_waits_until_the_masks_of_a_session_are_read(dock, truth, paint, finish, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    with Session.create(folder, MovieReference.of(dock.workspace.view.movie)) as session:
        session.save_annotation(0, truth.frame(0).labels)
        for frame in range(len(truth)):
            session.results.write(frame, np.ones(truth.labels.shape[1:], int))
    before = held(folder)
    dock.sessions.open(folder)
    for act in (dock.bar.run.click, lambda: dock.attempt(lambda: dock.commands.do("use result"))):
        act()
        assert "still being read, 8 frames are left" in dock.bar.message.text()
        assert not dock.runner.is_running
    qtbot.waitUntil(lambda: len(dock.workspace.result.done) == len(truth))
    qtbot.waitUntil(lambda: not dock.workspace.result.unread)
    dock.bar.run.click()
    finish(dock)
    assert held(folder) != before
    dock.commands.revert()
    finish(dock)
    assert held(folder) == before


def test_a_run_on_a_result_on_disk_leaves_a_closed_session_alone(dock, paint, finish, tmp_path):
    folder = tmp_path / "mine.masktrack"
    dock.workspace.in_memory_up_to = 0
    dock.sessions.create(folder)
    paint(dock, 0, 1)
    dock.bar.run.click()
    finish(dock)
    weights = dock.sessions.session.weights
    assert weights.read_bytes() == b"weights"
    dock.sessions.close()
    before = held(folder)
    weights.write_bytes(b"others")
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.result.on_disk
    assert len(np.unique(dock.workspace.result.labels(5))) == 3
    assert held(folder) == before
    assert weights.read_bytes() == b"others"


@pytest.mark.parametrize("limit", [0, 2**30], ids=["on disk", "in memory"])
def test_what_was_painted_on_the_result_is_saved_as_it_is_painted(
    saving, dock, paint, finish, qtbot, tmp_path, limit
):
    dock.workspace.in_memory_up_to = limit
    dock.sessions.create(tmp_path / "mine.masktrack")
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    layer = dock.workspace.result.layer
    assert dock.workspace.result.on_disk == (limit == 0)
    dock.workspace.go_to(5)
    layer.paint((5, 40, 40), 333)
    qtbot.waitUntil(lambda: dock.sessions.link.is_saved and 333 in dock.sessions.session.results.read(5))
    shutil.copytree(tmp_path / "mine.masktrack", tmp_path / "killed.masktrack")  # as if it ended now
    expected = dock.workspace.result.labels(5)
    dock.sessions.close()
    for name in ("cells result", "cells masks"):
        dock.viewer.layers.remove(name)
    dock.sessions.open(tmp_path / "killed.masktrack")
    qtbot.waitUntil(lambda: len(dock.workspace.result.done) == 8)
    np.testing.assert_array_equal(dock.workspace.result.labels(5), expected)


def test_iou_confidence_and_agreement_are_shown_again_with_the_session(
    saving, dock, paint, finish, qtbot, tmp_path
):
    folder = tmp_path / "mine.masktrack"
    dock.sessions.create(folder)
    for frame in (0, 5):
        paint(dock, frame)
    dock.bar.run.click()
    finish(dock)
    dock.review.compute.click()
    finish(dock)
    qtbot.waitUntil(lambda: bool(dock.review._meetings))
    review, table = dock.review, dock.review.table.text()
    said, scores, rows = review.said.text(), review.value(), dock.workspace.result.rows()
    assert "leave-one-out" in said
    dock.sessions.close()
    for name in ("cells result", "cells masks"):
        dock.viewer.layers.remove(name)
    review.set_movie(8)
    dock.folds["5  Review"].set_open(is_open=False)
    assert review.value() == ()

    dock.sessions.open(folder)
    qtbot.waitUntil(lambda: dock.workspace.result is not None and not dock.workspace.result.unread)
    assert [(s.frame, s.label) for s in review.value()] == [(s.frame, s.label) for s in scores]
    assert (review.said.text(), review.table.text()) == (said, table)
    assert [row["frame"] for row in dock.workspace.result.rows()] == [row["frame"] for row in rows]
    qtbot.waitUntil(lambda: bool(review._meetings))
    for shown in ("confidence", "agreement", "J"):
        review.shown.setCurrentIndex(review.shown.findData(shown))
        assert {curve.label for curve in review.timeline.value()} == {1, 2}
    assert not dock.folds["5  Review"].content.isHidden()


def test_former_weights_are_kept_and_can_be_started_from(saving, dock, tracker, paint, finish, tmp_path):
    dock.sessions.create(tmp_path / "mine.masktrack")
    paint(dock, 0)
    for content in (b"first", b"second"):
        tracker.save = lambda path, content=content: path.write_bytes(content)
        dock.bar.run.click()
        finish(dock)
    (kept,) = dock.sessions.session.former.weights
    assert (kept.read_bytes(), dock.sessions.session.weights.read_bytes()) == (b"first", b"second")
    start = dock.finetune.start
    start.setCurrentIndex(start.findText("Before the last fine-tuning"))
    assert str(dock.finetune.model) == str(kept)


@pytest.mark.parametrize("limit", [0, 2**30], ids=["on disk", "in memory"])
def test_save_as_goes_on_in_another_folder_with_the_layers_of_now(
    saving, dock, truth, paint, finish, qtbot, tmp_path, monkeypatch, limit
):
    first, second = tmp_path / "mine.masktrack", tmp_path / "elsewhere" / "other.masktrack"
    dock.workspace.in_memory_up_to = limit
    dock.sessions.create(first)
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    dock.sessions.flush()
    before, layers = held(first), list(dock.viewer.layers)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(second), ""))
    dock.save.save_as.click()
    finish(dock)
    assert dock.sessions.session.folder == second
    assert list(dock.viewer.layers) == layers
    assert str(second) in dock.bar.message.text()
    assert str(second) in dock.save.where.text()
    paint(dock, 3)
    dock.workspace.go_to(6)
    dock.workspace.result.layer.paint((6, 40, 40), 333)
    dock.sessions.flush()
    assert held(first) == before
    with Session.open(second, read_only=True) as session:
        assert session.annotated_frames() == (0, 3)
        assert 333 in session.results.read(6)
    Session.open(first).close()  # nobody holds it any more
    dock.bar.run.click()
    finish(dock)
    assert held(first) == before


def test_a_session_cannot_be_saved_where_something_is(dock, paint, tmp_path, monkeypatch):
    (tmp_path / "full.masktrack").mkdir()
    (tmp_path / "full.masktrack" / "mine.txt").touch()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "full"), ""))
    assert not dock.save.save_as.isVisibleTo(dock.save)
    dock.sessions.create(tmp_path / "mine.masktrack")
    assert dock.save.save_as.isVisibleTo(dock.save)
    dock.save.save_as.click()
    assert "not an empty folder" in dock.bar.message.text()
    assert dock.sessions.session.folder == tmp_path / "mine.masktrack"


def test_probabilities_and_looks_come_back_with_the_session(saving, dock, paint, finish, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    dock.sessions.create(folder)
    paint(dock, 0)
    dock.propagate.probability.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    probable = np.array(dock.viewer.layers["cells probability"].data)
    assert probable.any()
    result = dock.workspace.result.layer
    result.opacity, result.contour, result.visible = 0.125, 2, False
    dock.sessions.flush()
    dock.sessions.close()
    for name in ("cells result", "cells probability", "cells masks"):
        dock.viewer.layers.remove(name)

    dock.sessions.open(folder)
    qtbot.waitUntil(lambda: dock.workspace.probability is not None and not dock.workspace.probability.unread)
    qtbot.waitUntil(lambda: not dock.workspace.result.unread)
    np.testing.assert_array_equal(dock.viewer.layers["cells probability"].data, probable)
    result = dock.workspace.result.layer
    assert (result.opacity, result.contour, result.visible) == (0.125, 2, False)

    dock.propagate.probability.setChecked(False)
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.probability.done == ()  # they were those of other masks
    dock.commands.revert()
    finish(dock)
    np.testing.assert_array_equal(dock.viewer.layers["cells probability"].data, probable)

    dock.viewer.layers.remove("cells probability")
    session = dock.sessions.session
    qtbot.waitUntil(lambda: session.probabilities.written == ())
    assert len(session.results.written) == 8


def test_an_object_with_strokes_beside_it_only_may_be_called_absent(qtbot):
    viewer = ViewerModel()
    drawings = Drawings(viewer, LayerMovie(viewer.add_image(np.zeros((5, 20, 30), np.uint8), name="cells")))
    drawings.ensure("beside").paint((0, 5, 5), 1)
    drawings.settle()
    drawings.set_absent(0, 1, absent=True)
    assert [type(item).__name__ for item in drawings.read().items] == ["Absent"]
    drawings.ensure("scribbles").paint((0, 15, 15), 2)
    drawings.settle()
    with pytest.raises(AnnotationError, match="Object 2 is drawn on frame 0; erase it there"):
        drawings.set_absent(0, 2, absent=True)
    drawings.release()


@pytest.mark.parametrize("what", ["result", "comparison"])
def test_a_session_that_cannot_be_read_now_is_not_said_to_be_saved(
    saving, dock, paint, finish, qtbot, monkeypatch, what
):
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    dock.bar.run.click()
    finish(dock)
    folder, movie = dock.sessions.session.folder, dock.movie.layer
    movie.set_value(dock.viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="other"))

    def refuse(*_):
        raise InputError("The disk does not answer; connect it again.")

    with monkeypatch.context() as broken:
        if what == "result":
            broken.setattr(SessionResults, "written", property(refuse))
        else:
            broken.setattr(SessionNumbers, "scores", refuse)
        movie.set_value(dock.viewer.layers["cells"])
        qtbot.waitUntil(lambda: "does not answer" in dock.bar.message.text())
        qtbot.wait(400)  # longer than a deleted result stays in its session
    assert "Nothing is saved until you press" in dock.bar.message.text()
    assert (dock.sessions.session, dock.sessions.link) == (None, None)
    assert dock.save.where.text() == "Nothing is saved yet."
    assert dock.viewer.layers["cells result"].visible
    paint(dock, 6)
    Session.open(folder).close()  # nobody holds it, and it lost nothing
    movie.set_value(dock.viewer.layers["other"])
    movie.set_value(dock.viewer.layers["cells"])
    qtbot.waitUntil(lambda: dock.sessions.session is not None and dock.workspace.result is not None)
    qtbot.waitUntil(lambda: len(dock.workspace.result.done) == 8)
    assert dock.sessions.session.folder == folder
    dock.sessions.flush()
    assert dock.sessions.session.annotated_frames() == (0, 6)
