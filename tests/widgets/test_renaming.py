"""A movie may be called otherwise at any time: what was drawn on it stays its own."""

import numpy as np
import pytest

ROLES = ("masks", "scribbles", "beside", "shapes")


@pytest.fixture
def elsewhere(dock, truth):
    """Rename the movie, work on another one, and come back."""
    movie, other = dock.workspace.view.layer, dock.viewer.add_image(truth.images[::-1].copy(), name="second")

    def act(name):
        movie.name = name
        dock.movie.layer.set_value(other)
        assert not dock.workspace.drawings.layers
        dock.movie.layer.set_value(movie)

    return act


@pytest.mark.parametrize("saved", [False, True], ids=["without a session", "with one"])
def test_the_layers_of_a_renamed_movie_are_drawn_on_again(dock, paint, elsewhere, qtbot, tmp_path, saved):
    drawings = dock.workspace.drawings
    layers = {role: drawings.ensure(role) for role in ROLES}
    paint(dock, 0)
    if saved:
        dock.sessions.create(tmp_path / "mine.masktrack")
    elsewhere("cells A")
    drawings = dock.workspace.drawings
    qtbot.waitUntil(lambda: not dock.sessions.reopening.is_pending)
    assert drawings.layers == layers
    layers["masks"].data_setitem((np.array([4, 4]), np.array([10, 11]), np.array([10, 10])), 2)
    drawings.settle()
    assert drawings.objects[2] == (0, 4)
    names = [layer.name for layer in dock.viewer.layers]
    assert not [name for name in names if name.startswith("cells A ")]


def test_another_movie_that_takes_over_the_name_has_no_drawings(dock, paint, truth):
    paint(dock, 0)
    dock.workspace.view.layer.name = "cells A"
    dock.movie.layer.set_value(dock.viewer.add_image(truth.images, name="cells"))
    assert not dock.workspace.drawings.layers
