"""What hiding an object does: to the colours, to all that was drawn of it, and to the list of objects."""

import pytest
from qtpy.QtCore import Qt

from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.layers import colours_of
from napari_masktrack.layers.create import add_shapes
from napari_masktrack.widgets.object_table import SHOW


@pytest.fixture
def show(dock):
    """Tick or untick an object in the list."""

    def act(label, *, visible):
        rows = [row for row, entry in enumerate(dock.annotate.table.value()) if entry.label == label]
        state = Qt.CheckState.Checked if visible else Qt.CheckState.Unchecked
        dock.annotate.table.item(rows[0], SHOW).setCheckState(state)

    return act


def test_hiding_and_showing_an_object_changes_no_colour(dock, paint, show):
    paint(dock, 0)
    masks = dock.workspace.drawings.layers["masks"]
    before, listed = colours_of(masks, (1, 2)), [each.colour for each in dock.annotate.table.value()]
    show(1, visible=False)
    assert colours_of(masks, (1, 2)) == {1: (*before[1][:3], 0), 2: pytest.approx(before[2])}
    assert [each.colour for each in dock.annotate.table.value()] == listed
    show(1, visible=True)
    assert colours_of(masks, (1, 2)) == before
    assert [each.colour for each in dock.annotate.table.value()] == listed == list(before.values())


@pytest.fixture
def box(dock, truth):
    """Draw the box of an object on the first frame."""

    def act(label):
        rows, columns = (axis.nonzero()[0] for axis in ((truth.labels[0] == label).any(k) for k in (1, 0)))
        (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
        corners = ((top, left), (top, right), (bottom, right), (bottom, left))
        drawings = dock.workspace.drawings
        add_shapes(
            drawings.ensure("shapes"), dock.workspace.view, [DrawnShape("rectangle", 0, label, corners, 1.0)]
        )
        drawings.settle()

    return act


def rounded(colour):
    return tuple(round(part, 3) for part in colour[:3])


def seen(layer, label):
    """Give the colour of an object on a layer; None if it is not seen there."""
    if layer.name.endswith("shapes"):
        place = list(layer.features["label"]).index(label)
        colour = tuple(float(part) for part in layer.edge_color[place])
    else:
        colour = colours_of(layer, [label])[label]
    return rounded(colour) if round(255 * colour[3]) else None


def test_an_object_with_boxes_only_has_one_colour_and_is_hidden_everywhere(dock, box, finish, show):
    box(1)
    box(2)
    dock.finetune.set_value("off")
    dock.bar.run.click()
    finish(dock)
    layers = [dock.workspace.drawings.layers["shapes"], dock.workspace.result.layer]
    assert "masks" not in dock.workspace.drawings.layers
    listed = {each.label: rounded(each.colour) for each in dock.annotate.table.value()}
    for label in (1, 2):
        assert [seen(layer, label) for layer in layers] == [listed[label]] * 2
    show(1, visible=False)
    assert [seen(layer, 1) for layer in layers] == [None, None]
    assert [seen(layer, 2) for layer in layers] == [listed[2]] * 2
    show(1, visible=True)
    assert [seen(layer, 1) for layer in layers] == [listed[1]] * 2


def test_a_layer_that_is_made_while_an_object_is_hidden_hides_it_too(dock, box, finish, show, paint):
    box(1)
    show(1, visible=False)
    dock.finetune.set_value("off")
    dock.bar.run.click()
    finish(dock)
    paint(dock, 3)
    layers = [*dock.workspace.drawings.layers.values(), dock.workspace.result.layer]
    assert [seen(layer, 1) for layer in layers] == [None] * 3
    show(1, visible=True)
    assert [seen(layer, 1) for layer in layers] == [rounded(dock.annotate.table.value()[0].colour)] * 3


def test_scribbles_and_boxes_are_hidden_with_the_masks(dock, box, paint, show):
    paint(dock, 0)
    box(2)
    drawings = dock.workspace.drawings
    layers = [drawings.ensure(role) for role in ("masks", "scribbles", "beside", "shapes")]
    show(2, visible=False)
    assert [seen(layer, 2) for layer in layers] == [None] * 4
    assert all(seen(layer, 1) for layer in layers[:3])


def test_colours_that_the_user_shuffles_are_those_of_all_layers(dock, box, paint):
    box(1)
    paint(dock, 0)
    drawings = dock.workspace.drawings
    before = drawings.colour(1)
    drawings.layers["masks"].new_colormap(seed=3)
    drawings.settle()
    assert drawings.colour(1) != before
    assert [seen(layer, 1) for layer in drawings.layers.values()] == [rounded(drawings.colour(1))] * 2


def test_a_tool_shows_the_object_that_it_draws(dock, paint, show):
    paint(dock, 0)
    show(1, visible=False)
    dock.annotate.tools["Paint"].click()
    assert [each.visible for each in dock.annotate.table.value()] == [True, True]
    assert seen(dock.workspace.drawings.layers["masks"], 1)


def test_another_movie_hides_nothing_and_leaves_nothing_hidden(dock, box, show, truth):
    box(1)
    shapes, movie = dock.workspace.drawings.layers["shapes"], dock.workspace.view.layer
    show(1, visible=False)
    dock.movie.layer.set_value(dock.viewer.add_image(truth.images, name="second"))
    assert seen(shapes, 1)
    dock.movie.layer.set_value(movie)
    dock.workspace.drawings.settle()
    assert dock.annotate.table.value()[0].visible
    assert seen(shapes, 1)


def test_a_frame_that_is_corrected_shows_all_objects_that_are_on_it(dock, paint, show, finish):
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    show(1, visible=False)
    dock.workspace.go_to(4)
    dock.commands.do("use result")
    masks = dock.workspace.drawings.layers["masks"]
    assert not dock.workspace.drawings.colours.hidden
    assert all(seen(masks, label) for label in (1, 2))


def test_the_timeline_has_the_colours_of_the_masks_also_without_annotations(dock, paint, finish):
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    drawings = dock.workspace.drawings
    drawings.paint(0, dock.workspace.result.labels(0) * 0)
    assert not drawings.objects
    drawings.layers["masks"].new_colormap(seed=5)
    dock.review.refresh()
    curves = dock.review.timeline.value()
    assert {curve.label for curve in curves} == {1, 2}
    for curve in curves:
        assert rounded(curve.colour) == seen(dock.workspace.result.layer, curve.label)
