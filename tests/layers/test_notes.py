"""What a layer remembers is its own, also when napari copies the layer."""

from copy import deepcopy

import numpy as np
import pytest
from napari.layers import Layer

from napari_masktrack.layers import absent_marks, mark_absent, new_labels, notes_of, role_of
from napari_masktrack.layers.create import belongs_to, sign_notes
from napari_masktrack.layers.notes import (
    remember_session,
    remember_view,
    remembered_session,
    remembered_view,
)


def copied(viewer, layer):
    """Copy a layer as napari's 'Duplicate layer' does: it hands the metadata over as they are."""
    data, state, kind = layer.as_layer_data_tuple()
    copy = viewer.add_layer(Layer.create(deepcopy(data), {**state, "name": f"{layer.name} copy"}, kind))
    sign_notes(copy)  # the dock has every layer sign that is added
    return copy


@pytest.fixture
def masks(viewer, view):
    layer = viewer.add_layer(new_labels(view))
    sign_notes(layer)
    return layer


def test_a_copy_of_a_layer_has_notes_of_its_own(viewer, view, masks):
    mark_absent(masks, 1, 2)
    copy = copied(viewer, masks)
    mark_absent(masks, 3, 2)
    assert absent_marks(masks) == ((1, 2), (3, 2))
    assert absent_marks(copy) == ((1, 2),)
    assert role_of(copy) == "masks"
    assert belongs_to(copy, view, viewer.layers)


def test_a_copy_is_in_no_session(viewer, masks):
    notes_of(masks).update(session="/somewhere", problems=["damaged"])
    copy = copied(viewer, masks)
    assert not {"session", "problems"} & set(notes_of(copy))
    assert notes_of(masks)["session"] == "/somewhere"
    again = copied(viewer, copy)
    notes_of(copy)["session"] = "/elsewhere"
    assert "session" not in notes_of(again)


def test_a_copy_of_a_movie_is_seen_alike_but_has_another_session(viewer, view, tmp_path):
    remember_view(view)
    remember_session(view, tmp_path)
    sign_notes(view.layer)
    copy = copied(viewer, view.layer)
    assert remembered_view(copy) == remembered_view(view.layer)
    other = type(view)(copy, view.axes)
    assert remembered_session(other) is None
    remember_session(other, tmp_path / "other")
    assert remembered_session(view) == tmp_path


def test_notes_that_nobody_signed_are_those_of_the_layer_that_asks(viewer, masks):
    notes_of(masks).pop("signed")
    notes_of(masks)["session"] = "/somewhere"
    data, state, kind = masks.as_layer_data_tuple()  # as of a reader
    assert notes_of(Layer.create(np.array(data), state, kind))["session"] == "/somewhere"


def test_a_layer_without_notes_stays_without(viewer):
    layer = viewer.add_image(np.zeros((3, 4, 5)))
    sign_notes(layer)
    assert role_of(layer) is None
    assert "masktrack" not in layer.metadata
