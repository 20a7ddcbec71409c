"""One colour per object on all layers, also for objects that are hidden for a while."""

import numpy as np
import pytest

from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.layers import (
    ObjectColours,
    add_shapes,
    colours_of,
    give_colours,
    new_labels,
    new_shapes,
)

IDS = (1, 2, 49, 50, 300)


@pytest.fixture
def masks(view):
    return new_labels(view)


@pytest.fixture
def colours(masks):
    made = ObjectColours(lambda: IDS)
    made.follow([masks])
    return made


@pytest.fixture(params=["as made", "shuffled"])
def usual(request, masks, colours):
    """The colours before anything is hidden."""
    if request.param == "shuffled":
        masks.new_colormap(seed=4)
    return colours_of(masks, IDS)


def test_annotation_and_result_have_the_same_colours(view, masks, colours):
    result = new_labels(view, "result")
    masks.selected_label, result.selected_label = 5, 9
    colours.follow([masks, result])
    assert colours_of(masks, IDS) == colours_of(result, IDS)
    masks.new_colormap(seed=7)
    assert colours_of(masks, IDS) == colours_of(result, IDS)
    masks.show_selected_label = True
    assert not result.show_selected_label
    assert colours_of(masks, IDS) == colours_of(result, IDS)
    assert (masks.selected_label, result.selected_label) == (5, 9)
    colours.follow([masks])
    masks.new_colormap(seed=8)
    assert colours_of(masks, IDS) != colours_of(result, IDS)


def test_colours_can_be_chosen(view, masks, colours):
    result = new_labels(view, "result")
    colours.follow([masks, result])
    give_colours([masks], {3: (1, 0, 0, 1), 300: (0, 1, 0, 1)})
    assert colours_of(result, (3, 300)) == {3: (1, 0, 0, 1), 300: (0, 1, 0, 1)}


def test_an_object_that_was_hidden_comes_back_with_all_colours_as_they_were(masks, colours, usual):
    colours.show(2, visible=False)
    hidden = colours_of(masks, IDS)
    assert hidden[2][3] == 0
    assert all(hidden[each] == pytest.approx(usual[each]) for each in IDS if each != 2)
    colours.show(2, visible=True)
    assert colours_of(masks, IDS) == usual


def test_the_colour_of_a_hidden_object_is_known(colours, usual):
    colours.show(1, visible=False)
    assert colours.colour(1) == usual[1]


def test_an_object_stays_hidden_when_the_user_shuffles_the_colours(masks, colours):
    before = colours_of(masks, IDS)
    colours.show(1, visible=False)
    masks.new_colormap(seed=4)
    assert colours_of(masks, [1])[1][3] == 0
    assert colours_of(masks, [2])[2] == pytest.approx(colours.colour(2))
    colours.show(1, visible=True)
    assert colours_of(masks, [1])[1] == colours.colour(1) != before[1]


def test_an_object_that_comes_up_while_another_is_hidden_has_its_colour(view, masks):
    known = [1]
    colours = ObjectColours(lambda: known)
    colours.follow([masks])
    colours.show(1, visible=False)
    known.append(7)
    colours.follow([masks, new_labels(view, "result")])
    colours.refresh()
    assert colours_of(masks, [7])[7] == pytest.approx(colours.colour(7))


def test_a_layer_that_is_left_shows_everything_again(masks, colours, usual):
    colours.show(1, visible=False)
    colours.follow([])
    assert colours_of(masks, IDS) == usual
    masks.new_colormap(seed=9)
    assert colours.colour(1) == usual[1]


# Several layers


@pytest.fixture
def shapes(view):
    """A box of object 1, a filled one of object 2, a path of object 300."""
    layer = new_shapes(view)
    kinds = {1: "rectangle", 2: "rectangle", 300: "path"}
    corners = ((2, 2), (2, 8), (8, 8), (8, 2))
    add_shapes(layer, view, [DrawnShape(kind, 0, label, corners, 1.0) for label, kind in kinds.items()])
    faces = layer.face_color
    faces[1] = (0.5, 0, 0, 0.25)
    layer.face_color = faces
    return layer


def test_an_object_has_one_colour_on_all_layers(view, masks, colours, shapes):
    scribbles = new_labels(view, "scribbles")
    colours.follow([masks, scribbles, shapes])
    for _ in range(2):
        np.testing.assert_allclose(shapes.edge_color, [colours.colour(each) for each in (1, 2, 300)])
        assert colours_of(scribbles, IDS) == colours_of(masks, IDS)
        scribbles.new_colormap(seed=5)


def test_shapes_of_a_hidden_object_are_not_seen_and_come_back_as_they_were(masks, colours, shapes):
    colours.follow([masks, shapes])
    shapes.selected_data = {1}
    edges, faces = np.array(shapes.edge_color), np.array(shapes.face_color)
    for _ in range(2):
        colours.show(2, visible=False)
        assert np.rint(255 * np.array(shapes.edge_color)[:, 3]).tolist() == [255, 0, 255]
        assert np.rint(255 * np.array(shapes.face_color)[:, 3]).tolist() == [0, 0, 0]
        assert not shapes.selected_data
        colours.refresh()
    colours.show(2, visible=True)
    np.testing.assert_allclose(shapes.edge_color, edges)
    np.testing.assert_allclose(shapes.face_color, faces)


def test_a_shape_that_is_given_to_another_object_takes_its_colour(masks, colours, shapes):
    colours.follow([masks, shapes])
    shapes.features = {"label": [2, 2, "?"]}
    colours.refresh()
    np.testing.assert_allclose(shapes.edge_color, [colours.colour(each) for each in (2, 2, 300)])
