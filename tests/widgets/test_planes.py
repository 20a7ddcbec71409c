"""A movie of volumes is worked on one plane at a time: the one that is seen is the one that is painted."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_masktrack.errors import AnnotationError
from napari_masktrack.io.session import Session
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine

PLANES = 10


@pytest.fixture
def volume(viewer, truth, tracker):
    """A dock on a movie of ten planes, (T, Z, Y, X), that all show the same."""
    viewer.add_image(np.repeat(truth.images[:, np.newaxis], PLANES, axis=1), name="cells")
    widget = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    viewer.window.add_dock_widget(widget, name="MaskTrack")
    widget.finetune.mode.setCurrentIndex(widget.finetune.mode.findData("off"))
    yield widget
    widget.release()


def click(qtbot, widget):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def test_the_plane_that_is_seen_is_the_guess(volume, viewer):
    seen = int(viewer.dims.point[1])
    assert seen == (PLANES - 1) // 2
    assert volume.workspace.view.axes.planes == {1: seen}
    assert volume.workspace.frame is not None
    viewer.dims.set_point(1, 7)
    volume.movie.frame_axis.setCurrentIndex(volume.movie.frame_axis.findData(1))
    volume.movie.frame_axis.setCurrentIndex(volume.movie.frame_axis.findData(0))
    assert volume.workspace.view.axes.planes == {1: 7}


def test_a_stroke_of_the_mouse_lands_on_the_plane_of_the_movie_whatever_was_looked_at(
    volume, viewer, truth, qtbot, finish
):
    viewer.dims.set_point((0, 1), (0, 9))
    click(qtbot, volume.annotate.tools["Paint"])
    plane = volume.workspace.view.axes.planes[1]
    assert viewer.dims.point[1] == plane
    viewer.window._qt_window.show()
    layer = viewer.layers.selection.active
    layer.brush_size = 10
    canvas = viewer.window._qt_viewer.canvas
    qtbot.waitUntil(lambda: canvas.native.isVisible())
    viewer.camera.center, viewer.camera.zoom = np.argwhere(truth.frame(0).labels == 1).mean(axis=0), 4
    middle = canvas.native.rect().center()
    for offset in (0, 6, 12):
        qtbot.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=middle + QPoint(offset, 0))
        qtbot.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=middle + QPoint(offset, 0))
    qtbot.waitUntil(lambda: volume.annotate.strip.value() == (0,))
    click(qtbot, volume.bar.run)
    finish(volume)
    assert volume.workspace.result.done == tuple(range(len(truth)))
    viewer.dims.set_point(1, 2)
    volume.workspace.go_to(5)
    assert viewer.dims.point[:2] == (5, plane)


def test_on_another_plane_the_brush_is_put_down_with_a_word(volume, viewer, qtbot):
    click(qtbot, volume.annotate.tools["Paint"])
    layer = viewer.layers.selection.active
    assert layer.mode == "paint"
    viewer.dims.set_point(1, 9)
    assert layer.mode == "pan_zoom"
    assert "no frame of 'cells (axis 1 at 4)'" in volume.bar.message.text()
    click(qtbot, volume.annotate.tools["Paint"])
    assert (layer.mode, viewer.dims.point[1]) == ("paint", 4)


def test_each_plane_has_its_own_drawings_and_result(volume, viewer, paint, finish):
    paint(volume, 0)
    volume.bar.run.click()
    finish(volume)
    first, masks = volume.workspace.result, volume.workspace.drawings.layers["masks"]
    volume.movie.planes[1].setValue(6)
    assert viewer.dims.point[1] == 6
    assert volume.workspace.result is None
    assert volume.workspace.drawings.layers == {}
    paint(volume, 2, 1)
    volume.bar.run.click()
    finish(volume)
    assert volume.workspace.result.layer is not first.layer
    assert volume.workspace.result.layer.data_to_world((0, 0, 0, 0))[1] == 6
    assert first.layer.data_to_world((0, 0, 0, 0))[1] == 4
    volume.movie.planes[1].setValue(4)
    assert volume.workspace.drawings.layers["masks"] is masks
    other = volume.viewer.layers["cells (axis 1 at 6) masks"]
    with pytest.raises(AnnotationError, match="lies beside the plane"):
        volume.workspace.drawings.take("masks", other)


def test_each_plane_has_its_own_session_which_comes_back_with_it(
    saving, volume, paint, finish, qtbot, tmp_path
):
    sessions = volume.sessions
    paint(volume, 0)
    qtbot.waitUntil(lambda: sessions.session is not None)
    volume.bar.run.click()
    finish(volume)
    first, result = sessions.session.folder, volume.workspace.result.labels(3)
    volume.movie.planes[1].setValue(6)
    assert sessions.session is None
    paint(volume, 2)
    qtbot.waitUntil(lambda: sessions.session is not None)
    assert sessions.session.folder != first
    volume.movie.planes[1].setValue(4)
    qtbot.waitUntil(lambda: sessions.session is not None and volume.workspace.result is not None)
    assert sessions.session.folder == first
    qtbot.waitUntil(lambda: len(volume.workspace.result.done) == 8)
    assert np.array_equal(volume.workspace.result.labels(3), result)
    with Session.open(first, read_only=True) as session:
        assert session.annotated_frames() == (0,)
        assert session.movie.planes == ((1, 4),)


def test_the_sessions_of_all_planes_belong_to_the_pixels_of_then(saving, volume, paint, qtbot):
    layer, sessions, folders = volume.movie.layer.value(), volume.sessions, []
    for plane in (4, 6):
        volume.movie.planes[1].setValue(plane)
        paint(volume, 0)
        qtbot.waitUntil(lambda: sessions.session is not None)
        folders.append(sessions.session.folder)
    layer.data = 255 - layer.data
    for plane in (6, 4):
        volume.movie.planes[1].setValue(plane)
        qtbot.wait(100)
        assert sessions.session is None
        assert "another movie" not in volume.bar.message.text()
        paint(volume, 2)
        qtbot.waitUntil(lambda: sessions.session is not None)
        assert sessions.session.folder not in folders
