"""What is said of earlier work on a movie is said for as long as it is true."""

import numpy as np
import pytest

from napari_masktrack.io.session import Session
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine


@pytest.fixture
def offered(make_napari_viewer, truth, tracker, saving, tmp_path, qtbot):
    """A dock that offers earlier work on its movie."""
    viewer = make_napari_viewer()
    movie = viewer.add_image(truth.images, name="cells")
    Session.create(tmp_path / "sessions" / "earlier.masktrack", LayerMovie(movie).reference()).close()
    dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    viewer.window.add_dock_widget(dock, name="MaskTrack")
    qtbot.waitUntil(lambda: "There is work on this movie" in dock.bar.message.text())
    yield dock
    dock.release()


def another_movie(dock, paint):
    other = dock.viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="other")
    dock.movie.layer.set_value(other)


def no_movie(dock, paint):
    dock.viewer.layers.remove("cells")


def a_session_that_began(dock, paint):
    paint(dock, 1)


@pytest.mark.parametrize("what", [another_movie, no_movie, a_session_that_began])
def test_the_offer_goes_once_there_is_something_else(offered, paint, qtbot, what):
    what(offered, paint)
    qtbot.waitUntil(lambda: offered.bar.message.text() == "")
    assert offered.save.earlier.text() == ""
    assert offered.save.open_earlier.isHidden()


def test_another_message_stays(offered, paint):
    offered.bar.say("Something else.")
    another_movie(offered, paint)
    assert offered.bar.message.text() == "Something else."


def test_the_offer_comes_back_with_its_movie(offered, paint, qtbot):
    another_movie(offered, paint)
    assert offered.bar.message.text() == ""
    offered.movie.layer.set_value(offered.viewer.layers["cells"])
    qtbot.waitUntil(lambda: "There is work on this movie" in offered.bar.message.text())
