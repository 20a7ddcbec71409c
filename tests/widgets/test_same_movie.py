"""A movie that is looked at otherwise, or lies elsewhere, is the same movie: all that was done stays."""

import numpy as np
import pytest

from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.layers.movie import LayerMovie


@pytest.fixture
def worked(dock, paint, finish, truth):
    """A dock with a result, an object that is hidden, numbers, and a range of frames."""
    paint(dock, 0)
    paint(dock, 6)
    dock.bar.run.click()
    finish(dock)
    dock.commands.do("leave one out")
    finish(dock)
    drawings = dock.workspace.drawings
    drawings.choose(2)
    drawings.show(1, visible=False)
    dock.propagate.part.setChecked(True)
    dock.propagate.first.setValue(2)
    dock.propagate.last.setValue(4)
    return dock


def state(dock):
    drawings = dock.workspace.drawings
    return (
        drawings, drawings.corrected, drawings.label, drawings.colours.hidden, dock.propagate.frames(),
        len(dock.review.value()), dock.commands.touched(), dock.workspace.result,
    )  # fmt: skip


def test_other_channels_leave_everything_as_it_was(worked):
    before, view = state(worked), worked.workspace.view
    other = LayerMovie(view.layer, view.axes)
    assert before[5] > 0
    worked.workspace.set_movie(other)
    assert state(worked) == before
    parts = (worked.workspace, worked.workspace.drawings, worked.workspace.result)
    assert all(part.view is other for part in parts)
    drawn = worked.workspace.drawings.read()
    assert drawn.frames == (0, 6)


def place_elsewhere(layer):
    layer.scale = (1, 0.5, 0.25)
    layer.translate = (0, 3, -4)


def turn(layer):
    layer.rotate = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)


def measure(layer):
    layer.units = ("pixel", "um", "um")


@pytest.mark.parametrize("change", [place_elsewhere, turn, measure])
def test_what_lies_over_a_movie_follows_it(worked, change, truth, finish):
    layers = worked.viewer.layers
    before = worked.workspace.drawings.read().label_image(0, truth.labels[0].shape)
    change(layers["cells"])
    drawings = worked.workspace.drawings
    drawings.settle()
    for name in ("cells masks", "cells result"):
        corners = np.array([[0, 0, 0], [7, 95, 127]])
        for corner in corners:
            np.testing.assert_allclose(
                layers[name].data_to_world(corner), layers["cells"].data_to_world(corner)
            )
        assert layers[name].units == layers["cells"].units
    assert not drawings.corrected
    np.testing.assert_array_equal(drawings.read().label_image(0, truth.labels[0].shape), before)
    worked.propagate.everything.setChecked(True)
    worked.bar.run.click()
    finish(worked)
    assert "Done" in worked.bar.message.text()
    assert region_similarity(worked.workspace.result.labels(3) == 2, truth.labels[3] == 2) > 0.9


def test_a_layer_that_the_user_moved_stays_where_it_is(worked):
    layers = worked.viewer.layers
    layers["cells result"].translate = (0, 200, 0)
    layers["cells"].scale = (1, 0.5, 0.5)
    assert tuple(layers["cells result"].scale) == (1, 1, 1)
    assert tuple(layers["cells masks"].scale) == (1, 0.5, 0.5)


def test_a_movie_that_was_left_is_not_followed(worked):
    layers = worked.viewer.layers
    other = worked.viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="other")
    worked.movie.layer.set_value(other)
    layers["cells"].scale = (1, 0.5, 0.5)
    assert tuple(layers["cells masks"].scale) == (1, 1, 1)


def test_other_pixels_are_another_movie(worked, truth, paint, finish):
    layer, drawings = worked.viewer.layers["cells"], worked.workspace.drawings
    layer.data = truth.images[::-1].copy()
    assert worked.workspace.view.is_current
    assert worked.workspace.drawings is not drawings
    worked.workspace.drawings.settle()
    assert worked.workspace.drawings.frames == (0, 6)  # what was painted is still there
    assert worked.workspace.result is None
    before = [each for each in worked.viewer.layers if "result" in each.name]
    assert len(before) == 1
    worked.propagate.everything.setChecked(True)
    worked.bar.run.click()
    finish(worked)
    assert worked.workspace.result.done == tuple(range(8))
    assert before[0] in worked.viewer.layers


def test_a_longer_movie_in_the_same_layer_is_seen_whole(dock, truth):
    layer = dock.viewer.layers["cells"]
    layer.data = np.concatenate([truth.images, truth.images])
    assert len(dock.workspace.view) == 16
    dock.viewer.dims.set_point(0, 12)
    assert dock.workspace.frame == 12


def test_the_same_pixels_given_again_change_nothing(worked):
    before, layer = state(worked), worked.viewer.layers["cells"]
    layer.data = layer.data
    assert state(worked) == before


def test_work_on_other_pixels_is_saved_apart(saving, dock, paint, truth, qtbot):
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    first = dock.sessions.session.folder
    dock.viewer.layers["cells"].data = truth.images[::-1].copy()
    paint(dock, 3)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    assert dock.sessions.session.folder != first
    assert first.is_dir()


def test_a_dock_that_was_closed_follows_no_pixels(worked, truth):
    layer = worked.viewer.layers["cells"]
    worked.release()
    layer.data = truth.images[::-1].copy()
    assert not worked.movie.value().is_current
