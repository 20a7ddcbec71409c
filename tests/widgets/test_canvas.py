"""Opening the dock leaves the whole movie in sight, and the user's own view alone."""

import numpy as np
import pytest

from napari_masktrack.widgets import MaskTrackDock


@pytest.fixture
def wide(viewer, qtbot):
    viewer.window._qt_window.resize(1100, 600)
    viewer.window._qt_window.show()
    qtbot.wait(100)
    viewer.add_image(np.zeros((3, 40, 200), np.uint8), name="wide")
    qtbot.wait(100)
    return viewer


def camera(viewer):
    found = viewer.scene.camera
    return np.array([found.zoom, *found.center])


def open_dock(viewer):
    dock = MaskTrackDock(viewer)
    viewer.window.add_dock_widget(dock, name="MaskTrack")
    return dock


def test_a_movie_that_was_seen_whole_is_so_beside_the_dock(wide, qtbot):
    before = camera(wide)
    dock = open_dock(wide)
    qtbot.waitUntil(lambda: camera(wide)[0] < 0.9 * before[0])
    fitted = camera(wide)
    wide.reset_view()
    np.testing.assert_allclose(camera(wide), fitted)
    dock.release()


@pytest.mark.parametrize("what", ["zoom", "center"])
def test_a_view_that_the_user_chose_stays(wide, qtbot, what):
    chosen = {"zoom": 9.0, "center": (0.0, 10.0, 20.0)}
    setattr(wide.scene.camera, what, chosen[what])
    before = camera(wide)
    dock = open_dock(wide)
    qtbot.wait(400)
    np.testing.assert_allclose(camera(wide), before)
    dock.release()
