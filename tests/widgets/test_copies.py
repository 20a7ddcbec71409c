"""Copies that the user makes of layers are the user's: nothing removes them, or takes them for originals."""

from copy import deepcopy

import numpy as np
import pytest
from napari.layers import Layer


@pytest.fixture
def copied(viewer):
    """Copy a layer as napari's 'Duplicate layer' does."""

    def act(name, new):
        layer = viewer.layers[name]
        data, state, kind = layer.as_layer_data_tuple()
        copy = Layer.create(deepcopy(data), {**state, "name": new}, kind)
        viewer.layers.insert(viewer.layers.index(layer) + 1, copy)
        return copy

    return act


@pytest.fixture
def leave_and_come_back(dock, qtbot):
    def act():
        other = dock.viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="other")
        dock.movie.layer.set_value(other)
        assert dock.sessions.session is None
        dock.movie.layer.set_value(dock.viewer.layers["cells"])
        qtbot.waitUntil(lambda: dock.sessions.session is not None)
        dock.sessions.slices.finish()

    return act


def test_copies_of_results_stay_when_the_movie_comes_back(
    saving, dock, paint, finish, qtbot, copied, leave_and_come_back
):
    dock.propagate.probability.setChecked(True)
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    dock.bar.run.click()
    finish(dock)
    mine = {copied("cells result", "my masks"), copied("cells probability", "my probabilities")}
    dock.viewer.layers["cells probability"].data[2] = 7
    leave_and_come_back()
    assert mine <= set(dock.viewer.layers)
    assert all(layer.visible for layer in mine)
    assert {layer.name for layer in mine} == {"my masks", "my probabilities"}
    (kept,) = [layer for layer in dock.viewer.layers if "(before)" in layer.name]
    assert (kept.data[2] == 7).all()
    assert (dock.workspace.probability.labels(2) != 7).any()
    assert kept.name in dock.bar.message.text()


def test_results_that_were_put_aside_twice_are_named_once(
    saving, dock, paint, finish, qtbot, leave_and_come_back
):
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    dock.bar.run.click()
    finish(dock)
    layer = dock.workspace.result.layer
    layer.data[2] = 7
    layer.name = "cells result (before)"  # as if the movie had been left while it was being compared
    leave_and_come_back()
    assert layer in dock.viewer.layers
    assert layer.name == "cells result (before)"


def test_a_copied_movie_gets_a_session_of_its_own(saving, dock, paint, qtbot, copied):
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    folder = dock.sessions.session.folder
    other = copied("cells", "filtered")
    other.data = other.data[::-1].copy()
    dock.movie.layer.set_value(other)
    paint(dock, 1)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    assert dock.sessions.session.folder != folder
    dock.movie.layer.set_value(dock.viewer.layers["cells"])
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    assert dock.sessions.session.folder == folder


def test_absent_is_not_said_of_a_copy(dock, paint, copied):
    paint(dock, 0)
    copy = copied("cells masks", "my masks")
    dock.workspace.drawings.set_absent(3, 2, absent=True)
    assert not copy.metadata["masktrack"].get("absent")
