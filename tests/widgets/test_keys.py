"""The keys of a viewer belong to the dock while it is open, and then to whom they belonged before."""

import pytest
from qtpy.QtCore import Qt

from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.keys import KEYS


def bound(viewer):
    """What each key does that a dock takes."""
    keys = {str(key): act for key, act in viewer.keymap.items()}
    return {name: keys.get(name) for name in KEYS}


def test_a_key_that_the_user_bound_is_theirs_again_once_the_dock_is_closed(viewer):
    def mine(viewer):
        """Do something of mine."""

    viewer.bind_key("J", mine)
    dock = MaskTrackDock(viewer)
    assert bound(viewer)["J"].__doc__ == "MaskTrack: " + KEYS["J"][1]
    dock.release()
    assert bound(viewer) == {"J": mine, "N": None, "H": None, "K": None}


def test_a_key_that_the_user_bound_while_the_dock_was_open_stays_theirs(viewer):
    def mine(viewer):
        """Do something of mine."""

    dock = MaskTrackDock(viewer)
    viewer.bind_key("N", mine, overwrite=True)
    dock.release()
    assert bound(viewer) == {"J": None, "N": mine, "H": None, "K": None}


@pytest.mark.parametrize("first", [0, 1], ids=["older dock closes first", "newer dock closes first"])
def test_of_two_docks_the_one_that_is_left_has_the_keys(viewer, first):
    def mine(viewer):
        """Do something of mine."""

    viewer.bind_key("K", mine)
    docks, keys = [], []
    for _ in range(2):
        docks.append(MaskTrackDock(viewer))
        keys.append(bound(viewer))
    docks[first].release()
    assert bound(viewer) == keys[1 - first]
    docks[1 - first].release()
    assert bound(viewer) == {"J": None, "N": None, "H": None, "K": mine}


def test_a_key_that_is_pressed_on_the_canvas_does_what_it_says(dock, paint, qtbot):
    paint(dock, 3)
    dock.workspace.go_to(0)
    qtbot.keyClick(dock.viewer.window._qt_viewer.canvas.native, Qt.Key.Key_K)
    qtbot.waitUntil(lambda: dock.workspace.frame == 3)
