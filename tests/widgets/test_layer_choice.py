"""Which layer is chosen before the user chose one, and afterwards."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_masktrack.layers.create import new_labels
from napari_masktrack.widgets.movie_section import MovieSection

MOVIE, PICTURE = np.zeros((7, 20, 30), np.uint8), np.zeros((20, 30), np.uint8)


@pytest.fixture
def viewer():
    """Two movies between two pictures; the newest is a picture, and nothing is selected."""
    model = ViewerModel()
    for name in ("first picture", "first movie", "second movie", "last picture"):
        model.add_image(MOVIE if name.endswith("movie") else PICTURE, name=name)
    model.layers.selection.clear()
    return model


@pytest.fixture
def chosen(viewer, qtbot):
    """Open the section of the movie, and say which layer it took."""
    sections = []

    def act():
        sections.append(MovieSection(viewer))
        qtbot.addWidget(sections[-1])
        return sections[-1].layer

    yield act
    for section in sections:
        section.release()


@pytest.mark.parametrize("name", ["first picture", "first movie", "second movie"])
def test_the_layer_that_is_selected_is_the_movie(viewer, chosen, name):
    viewer.layers.selection.active = viewer.layers[name]
    assert chosen().value() is viewer.layers[name]


def test_else_the_newest_is(viewer, chosen):
    assert chosen().value().name == "last picture"
    viewer.layers.selection.active = viewer.add_points(np.zeros((1, 2)))  # which can be no movie
    assert chosen().value().name == "last picture"


def test_masks_that_are_selected_choose_the_movie_that_they_were_made_for(viewer, chosen):
    section = MovieSection(viewer)
    section.layer.set_value(viewer.layers["first movie"])
    viewer.layers.selection.active = viewer.add_layer(new_labels(section.value()))
    section.release()
    assert chosen().value().name == "first movie"


def test_what_was_chosen_stays_whatever_is_selected_or_added(viewer, chosen):
    choice = chosen()
    choice.set_value(viewer.layers["first movie"])
    viewer.layers.selection.active = viewer.layers["second movie"]
    viewer.add_image(MOVIE, name="newest")
    assert choice.value().name == "first movie"


def test_when_the_chosen_one_is_deleted_another_is_chosen(viewer, chosen):
    choice = chosen()
    viewer.layers.selection.active = viewer.layers["second movie"]
    viewer.layers.remove("last picture")
    assert choice.value().name == "second movie"
