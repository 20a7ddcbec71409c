"""Layers to draw on: placed, named and coloured; painting by the program can be undone."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels, Layer

from napari_masktrack.errors import AnnotationError, ConfigError
from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.layers import (
    LayerAxes,
    LayerMovie,
    absent_marks,
    add_shapes,
    choose_object,
    mark_absent,
    new_labels,
    new_shapes,
    paint_frame,
    read_shapes,
    role_of,
)
from napari_masktrack.layers.create import belongs_to, check_paintable, claim, disclaim


@pytest.fixture
def view(viewer, pixels):
    layer = viewer.add_image(
        pixels,
        name="cells",
        scale=(2, 0.5, 0.25),
        translate=(1, 2, 3),
        rotate=np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]),
        affine=np.diag([1, 2, 2, 1.0]),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    return LayerMovie(layer)


@pytest.mark.parametrize("role", ["masks", "scribbles", "beside", "result", "shapes"])
def test_new_layers_lie_over_the_movie_and_are_named_after_it(view, role):
    layer = new_shapes(view) if role == "shapes" else new_labels(view, role)
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(layer, name), getattr(view.layer, name))
    np.testing.assert_allclose(layer.affine.affine_matrix, view.layer.affine.affine_matrix)
    assert layer.units == view.layer.units
    assert layer.axis_labels == ("t", "y", "x")
    assert layer.name.startswith("cells ")
    assert role_of(layer) == role


def test_the_type_holds_every_id(view):
    assert new_labels(view).data.dtype == np.uint16


@pytest.mark.parametrize("role", ["shapes", "points"])
def test_unknown_roles_are_refused(view, role):
    with pytest.raises(ConfigError, match="cannot be"):
        new_labels(view, role)


def test_layers_made_elsewhere_have_the_role_of_their_kind(view):
    assert role_of(Labels(np.zeros((3, 4), np.uint8))) == "masks"
    assert role_of(view.layer) is None


@pytest.mark.parametrize("sparse_from", [0, 2**40])
def test_a_frame_is_painted_in_one_step_that_can_be_undone(viewer, view, sparse_from):
    layer = viewer.add_layer(new_labels(view, sparse_from=sparse_from))
    layer.paint((3, 10, 10), 4)
    before = np.array(layer.data[3])
    image = np.zeros((20, 30), np.int64)
    image[2:9, 4:20], image[12:, 25:] = 1, 300
    paint_frame(layer, view, 3, image)
    np.testing.assert_array_equal(np.asarray(layer.data[3]), image)
    layer.undo()
    np.testing.assert_array_equal(np.asarray(layer.data[3]), before)
    layer.redo()
    np.testing.assert_array_equal(np.asarray(layer.data[3]), image)
    paint_frame(layer, view, 3, image)
    layer.undo()
    np.testing.assert_array_equal(np.asarray(layer.data[3]), before)


@pytest.mark.parametrize(
    ("frame", "image", "said"),
    [
        (7, np.ones((20, 30), int), "no frame 7"),
        (0, np.ones((20, 31), int), "cannot be put into"),
        (0, np.full((20, 30), 65536), "use 0 for the background and 1 to 65535"),
        (0, np.ones((20, 30)), "whole numbers"),
    ],
)
def test_images_that_do_not_fit_are_refused(view, frame, image, said):
    with pytest.raises(AnnotationError, match=said):
        paint_frame(new_labels(view), view, frame, image)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (np.zeros((6, 20, 30), np.uint16), {}, r"'mine' has shape \(6, 20, 30\)"),
        (np.zeros((7, 20, 30), np.uint16), {"translate": (0, 0, 4)}, "shifted or scaled against 'cells'"),
        (np.zeros((7, 20, 30), np.uint16), {"translate": (3, 0, 0)}, "shifted or scaled against 'cells'"),
        (np.zeros((7, 20, 30), np.uint8), {}, "'mine' holds ids up to 255, not 300"),
    ],
    ids=["other length", "other place", "other time", "other type"],
)
def test_a_layer_of_the_user_is_painted_only_where_pixels_and_ids_stay_what_they_are(
    viewer, pixels, data, options, said
):
    view = LayerMovie(viewer.add_image(pixels, name="cells"))
    layer = Labels(data, name="mine", **options)
    for act in (
        lambda: check_paintable(layer, view, [1, 300]),
        lambda: paint_frame(layer, view, 2, np.full((20, 30), 300)),
    ):
        with pytest.raises(AnnotationError, match=said):
            act()
    assert not layer.data.any()


def locked():
    array = np.zeros((7, 20, 30), np.uint16)
    array.flags.writeable = False
    return array


def locked_store():
    store = zarr.storage.MemoryStore()
    zarr.create_array(store, shape=(7, 20, 30), dtype="uint16")
    return zarr.open_array(store, mode="r")


@pytest.mark.parametrize(
    "array",
    [
        locked,
        locked_store,
        lambda: da.zeros((7, 20, 30), dtype=np.uint16),
        lambda: [np.zeros((7, 20, 30), np.uint16), np.zeros((7, 10, 15), np.uint16)],
    ],
    ids=["read-only", "read-only zarr", "dask", "multiscale"],
)
def test_arrays_that_take_no_pixels_are_refused_before_any_work(viewer, pixels, array):
    view = LayerMovie(viewer.add_image(pixels, name="cells"))
    layer = Labels(array(), name="mine")
    for act in (
        lambda: check_paintable(layer, view, []),
        lambda: paint_frame(layer, view, 2, np.ones((20, 30), int)),
    ):
        with pytest.raises(AnnotationError, match="'mine' is lazy, read-only or of several resolutions"):
            act()


def test_a_zarr_array_of_the_user_can_be_painted(viewer, pixels):
    view = LayerMovie(viewer.add_image(pixels, name="cells"))
    layer = Labels(zarr.array(np.zeros((7, 20, 30), np.uint16)), name="mine")
    paint_frame(layer, view, 2, np.ones((20, 30), int))
    assert np.asarray(layer.data[2]).all()


@pytest.mark.parametrize("role", ["masks", "scribbles", "beside"])
def test_layers_made_here_can_be_painted_wherever_the_movie_lies(view, role):
    check_paintable(new_labels(view, role), view, [65535])


def test_shapes_are_drawn_and_read_back(view):
    shapes = (
        DrawnShape("rectangle", 2, 7, ((1.5, 2.5), (1.5, 9.5), (8.5, 9.5), (8.5, 2.5))),
        DrawnShape("ellipse", 3, 1, ((1, 2), (1, 9), (8, 9), (8, 2))),
        DrawnShape("path", 3, 2, ((1, 2), (5, 9), (8, 9)), 3.0),
    )
    layer = new_shapes(view)
    add_shapes(layer, view, shapes)
    assert [int(label) for label in layer.features["label"]] == [7, 1, 2]
    assert int(layer.feature_defaults["label"].iloc[0]) == 1
    for found, drawn in zip(read_shapes(layer, view), shapes, strict=True):
        assert (found.kind, found.frame, found.label) == (drawn.kind, drawn.frame, drawn.label)
        np.testing.assert_allclose(found.vertices, drawn.vertices)
        assert found.width == pytest.approx(drawn.width)


def test_the_object_is_chosen_in_all_layers_that_are_drawn_on(view):
    masks, scribbles, shapes, result = (
        new_labels(view),
        new_labels(view, "scribbles"),
        new_shapes(view),
        new_labels(view, "result"),
    )
    shapes.add_rectangles(np.array([[0, 1, 1], [0, 1, 5], [0, 5, 5], [0, 5, 1]]))
    shapes.selected_data = {0}
    choose_object(300, [masks, scribbles, shapes, result, view.layer], colour=(0, 1, 0, 1))
    shapes.add_rectangles(np.array([[0, 1, 1], [0, 1, 5], [0, 5, 5], [0, 5, 1]]))
    assert (masks.selected_label, scribbles.selected_label, result.selected_label) == (300, 300, 1)
    assert list(shapes.features["label"]) == [1, 300]
    np.testing.assert_allclose(shapes.edge_color[1], (0, 1, 0, 1))


def test_an_id_that_a_layer_does_not_hold_is_refused_in_words(view):
    small = Labels(np.zeros((7, 20, 30), np.uint8), name="old")
    masks = new_labels(view)
    with pytest.raises(AnnotationError, match="'old' holds ids up to 255, not 300"):
        choose_object(300, [masks, small])
    assert masks.selected_label == 1


def test_absent_marks_are_kept_in_the_layer(view):
    layer = new_labels(view)
    assert absent_marks(layer) == ()
    mark_absent(layer, 5, 1)
    mark_absent(layer, 2, 300)
    mark_absent(layer, 5, 1)
    assert absent_marks(layer) == ((2, 300), (5, 1))
    mark_absent(layer, 5, 1, absent=False)
    assert absent_marks(layer) == ((2, 300),)
    assert absent_marks(Labels(np.zeros((3, 4), np.uint8))) == ()


def test_a_layer_belongs_to_its_movie_whatever_that_is_called(viewer, view, pixels):
    masks = new_labels(view)
    view.layer.name = "renamed"
    other = LayerMovie(viewer.add_image(pixels, name="cells"))
    assert belongs_to(masks, LayerMovie(view.layer), viewer.layers)
    assert not belongs_to(masks, other, viewer.layers)


def test_a_layer_that_was_saved_and_opened_again_is_told_by_the_movies_name(viewer, view, pixels):
    opened = Layer.create(*new_labels(view).as_layer_data_tuple())
    viewer.layers.clear()
    again, other = (LayerMovie(viewer.add_image(pixels, name=name)) for name in ("cells", "other"))
    assert belongs_to(opened, again, viewer.layers)
    assert not belongs_to(opened, other, viewer.layers)
    claim(opened, again, viewer.layers)
    again.layer.name = "renamed"
    assert belongs_to(opened, LayerMovie(again.layer), viewer.layers)


def test_a_layer_of_another_movie_or_of_another_plane_is_not_claimed(viewer, view, pixels):
    masks, other = new_labels(view), LayerMovie(viewer.add_image(pixels, name="other"))
    claim(masks, other, viewer.layers)
    assert belongs_to(masks, view, viewer.layers)
    stack = Image(np.zeros((3, 4, 20, 30), np.uint8), name="stack")
    third, fourth = (LayerMovie(stack, LayerAxes(frame=0, planes={1: plane})) for plane in (2, 3))
    of_third = new_labels(third)
    claim(of_third, fourth, [stack])
    assert belongs_to(of_third, third, [stack])
    assert not belongs_to(of_third, fourth, [stack])


def test_a_layer_that_is_disclaimed_is_no_movies(viewer, view):
    masks = new_labels(view)
    disclaim(masks)
    claim(masks, view, viewer.layers)
    assert not belongs_to(masks, view, viewer.layers)
