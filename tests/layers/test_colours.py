"""One colour per object on all layers, also for objects that are hidden for a while."""

import pytest

from napari_masktrack.layers import colours_of, new_labels
from napari_masktrack.layers.colours import ObjectColours

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


def test_an_object_that_comes_up_while_another_is_hidden_has_its_colour(masks):
    known = [1]
    colours = ObjectColours(lambda: known)
    colours.follow([masks])
    colours.show(1, visible=False)
    known.append(7)
    colours.refresh()
    assert colours_of(masks, [7])[7] == pytest.approx(colours.colour(7))


def test_a_layer_that_is_left_shows_everything_again(masks, colours, usual):
    colours.show(1, visible=False)
    colours.follow([])
    assert colours_of(masks, IDS) == usual
    masks.new_colormap(seed=9)
    assert colours.colour(1) == usual[1]
