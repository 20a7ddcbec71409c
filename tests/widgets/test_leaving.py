"""Whoever leaves a movie, or closes the dock, finds the work again on coming back."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_masktrack.errors import OutputError
from napari_masktrack.io.session import Session
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine

from .conftest import frame_of, press


@pytest.fixture
def worked(saving, dock, paint, finish, qtbot):
    """A dock with a session that began by itself, and a result."""
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    dock.bar.run.click()
    finish(dock)
    return dock


def names(dock):
    return sorted(layer.name for layer in dock.viewer.layers if layer.name != "other")


def leave_for_another_image(dock):
    dock.viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="other")
    dock.movie.layer.set_value(dock.viewer.layers["other"])
    return lambda: dock.movie.layer.set_value(dock.viewer.layers["cells"])


def make_the_axes_impossible(dock):
    axis = dock.movie.frame_axis
    axis.setCurrentIndex(axis.findData(1))
    dock.movie.channel_axis.setCurrentIndex(dock.movie.channel_axis.findData(0))
    dock.movie.frame_axis.setCurrentIndex(dock.movie.frame_axis.findData(0))
    assert dock.workspace.view is None

    def back():
        dock.movie.channel_axis.setCurrentIndex(dock.movie.channel_axis.findData(None))

    return back


@pytest.mark.parametrize("leave", [leave_for_another_image, make_the_axes_impossible])
def test_work_on_a_movie_comes_back_with_it(worked, finish, qtbot, leave, truth):
    folder, result, shown = worked.sessions.session.folder, worked.workspace.result.labels(3), names(worked)
    rows = worked.workspace.result.rows()
    back = leave(worked)
    assert worked.sessions.session is None
    assert worked.workspace.result is None
    back()
    qtbot.waitUntil(lambda: worked.sessions.session is not None)
    assert worked.sessions.session.folder == folder
    qtbot.waitUntil(lambda: names(worked) == shown)
    assert worked.workspace.result.done == tuple(range(len(truth)))
    assert np.array_equal(worked.workspace.result.labels(3), result)
    assert [row["frame"] for row in worked.workspace.result.rows()] == [row["frame"] for row in rows]
    worked.commands.do("next")
    assert worked.review.suggestion() is not None
    worked.bar.run.click()
    finish(worked)
    assert names(worked) == shown
    assert len(list(folder.parent.glob("*.masktrack"))) == 1


def test_a_closed_dock_finds_its_session_when_it_is_opened_again(worked, tracker, paint, qtbot):
    folder, shown, viewer = worked.sessions.session.folder, names(worked), worked.viewer
    paint(worked, 5)
    press(worked, "Close")
    with Session.open(folder) as session:  # nobody holds it any more
        assert session.annotated_frames() == (0, 5)
    with qtbot.waitSignal(worked.destroyed):
        pass
    again = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    qtbot.waitUntil(lambda: again.sessions.session is not None and names(again) == shown)
    assert again.sessions.session.folder == folder
    assert len(again.workspace.result.done) == 8
    again.release()


def test_frames_that_were_finished_when_the_dock_was_closed_come_back(saving, dock, tracker, paint, qtbot):
    viewer, tracker.frame_seconds = dock.viewer, 0.1
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    folder = dock.sessions.session.folder
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.workspace.result is not None and len(dock.workspace.result.done) > 2)
    done, job = dock.workspace.result.done, dock.runner.job
    press(dock, "Close")
    assert job.thread_ended
    again = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    qtbot.waitUntil(lambda: again.sessions.session is not None and again.workspace.result is not None)
    assert again.sessions.session.folder == folder
    qtbot.waitUntil(lambda: set(done) <= set(again.workspace.result.done))
    assert len(again.workspace.result.done) < 8
    again.release()


@pytest.mark.parametrize("way", ["hidden", "switched off", "floating", "moved"])
def test_a_dock_that_is_only_hidden_or_moved_keeps_its_session(worked, paint, qtbot, way):
    session, frame = worked.sessions.session, frame_of(worked)
    window = frame.parent()
    window.show()
    qtbot.waitUntil(worked.isVisible)
    if way == "hidden":
        press(worked, "Hide")
    elif way == "switched off":
        frame.toggleViewAction().trigger()
    elif way == "floating":
        press(worked, "Float")
    else:
        window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, frame)
    qtbot.wait(100)
    assert worked.isVisible() == (way in ("floating", "moved"))
    assert frame.isFloating() == (way == "floating")
    frame.setFloating(False)
    frame.show()
    qtbot.waitUntil(worked.isVisible)
    assert worked.sessions.session is session
    paint(worked, 5)
    worked.sessions.flush()
    assert session.annotated_frames() == (0, 5)


def test_what_was_painted_on_a_result_while_its_movie_was_left_is_kept(worked, qtbot):
    layer = worked.workspace.result.layer
    back = leave_for_another_image(worked)
    layer.data[5, :4] = 77
    back()
    qtbot.waitUntil(lambda: "so it was kept" in worked.bar.message.text())
    assert layer in worked.viewer.layers
    assert (layer.data[5, :4] == 77).all()
    assert worked.workspace.result.layer is not layer
    assert 77 not in worked.workspace.result.labels(5)


def test_drawings_that_were_deleted_while_the_movie_was_left_come_back(worked, truth, qtbot):
    folder = worked.sessions.session.folder
    back = leave_for_another_image(worked)
    worked.viewer.layers.remove("cells masks")
    back()
    qtbot.waitUntil(lambda: worked.sessions.session is not None and worked.workspace.drawings.frames == (0,))
    worked.sessions.flush()
    with Session.open(folder, read_only=True) as session:
        assert session.annotated_frames() == (0,)


def test_a_session_that_cannot_be_taken_up_begins_no_other_by_itself(worked, paint, qtbot):
    folder = worked.sessions.session.folder
    back = leave_for_another_image(worked)
    with Session.open(folder):  # as in another window
        back()
        qtbot.waitUntil(lambda: "open elsewhere" in worked.bar.message.text())
        assert "Save session" in worked.bar.message.text()
        paint(worked, 3)
        qtbot.wait(400)
        assert worked.sessions.session is None
        assert list(folder.parent.glob("*.masktrack")) == [folder]


def test_a_movie_whose_session_was_deleted_begins_another(worked, paint, qtbot, tmp_path):
    back = leave_for_another_image(worked)
    for path in sorted((tmp_path / "sessions").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    back()
    paint(worked, 3)
    qtbot.waitUntil(lambda: worked.sessions.session is not None)


@pytest.fixture
def colourful(make_napari_viewer, truth, tracker, saving, tmp_path):
    """Opens a movie of five channels, the cells on the second, in a new window with a dock."""
    data = np.zeros((len(truth), 5, *truth.images.shape[1:3]), np.uint8)
    data[:, 1] = truth.images
    tifffile.imwrite(
        tmp_path / "movie.tif", data, photometric="minisblack", metadata={"axes": "TCYX"}, imagej=False
    )
    docks = []

    def act(*, with_movie=True):
        viewer = make_napari_viewer()
        if with_movie:
            viewer.open(tmp_path / "movie.tif", plugin="napari")
        docks.append(MaskTrackDock(viewer, Engine(lambda model, device: tracker)))
        return docks[-1]

    yield act
    for each in docks:
        each.release()


@pytest.mark.parametrize("with_movie", [True, False], ids=["movie open", "movie opened"])
def test_a_session_of_a_chosen_channel_is_opened_with_it(colourful, paint, qtbot, tmp_path, with_movie):
    dock = colourful()
    dock.movie.channel.setCurrentIndex(dock.movie.channel.findData(1))
    paint(dock, 2)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    folder = dock.sessions.session.folder
    dock.movie.channel.setCurrentIndex(dock.movie.channel.findData(3))
    assert dock.sessions.session.folder == folder  # drawings are the same on every channel
    dock.release()

    other = colourful(with_movie=with_movie)
    other.sessions.open(folder)
    qtbot.waitUntil(lambda: other.sessions.session is not None)
    assert other.sessions.session.folder == folder
    assert other.workspace.view.movie.channels == (3,)
    assert other.movie.channel.currentData() == 3
    qtbot.waitUntil(lambda: other.workspace.drawings.frames == (2,))
    assert len([layer for layer in other.viewer.layers if layer._type_string == "image"]) == 1
    qtbot.wait(400)
    assert list(folder.parent.glob("*.masktrack")) == [folder]


@pytest.mark.parametrize("with_movie", [True, False], ids=["movie open", "movie opened"])
def test_a_session_of_a_plane_is_opened_with_it(
    make_napari_viewer, truth, tracker, saving, paint, qtbot, tmp_path, with_movie
):
    data = np.repeat(truth.images[:, np.newaxis], 6, axis=1)
    data[:, 4] += 1
    tifffile.imwrite(tmp_path / "movie.tif", data, photometric="minisblack", metadata={"axes": "TZYX"})

    def open_dock(*, with_movie):
        viewer = make_napari_viewer()
        if with_movie:
            viewer.open(tmp_path / "movie.tif", plugin="napari")
        return MaskTrackDock(viewer, Engine(lambda model, device: tracker))

    dock = open_dock(with_movie=True)
    dock.movie.planes[1].setValue(4)
    paint(dock, 2)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    folder = dock.sessions.session.folder
    dock.release()
    other = open_dock(with_movie=with_movie)
    other.sessions.open(folder)
    qtbot.waitUntil(lambda: other.sessions.session is not None)
    assert other.sessions.session.folder == folder
    assert other.workspace.view.axes.planes == {1: 4}
    qtbot.waitUntil(lambda: other.workspace.drawings.frames == (2,))
    assert np.array_equal(other.workspace.drawings.indices["masks"].image(2), truth.frame(2).labels)
    other.release()


def test_what_could_not_be_saved_at_the_end_is_said_outside_the_dock(worked, monkeypatch):
    said = []
    monkeypatch.setattr("napari_masktrack.widgets.sessions.show_error", said.append)

    def full(*_):
        raise OutputError("The disk is full.")

    monkeypatch.setattr(worked.sessions.link, "close", full)
    press(worked, "Close")
    assert said == ["MaskTrack: The disk is full."]
