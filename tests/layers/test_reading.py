"""Everything that can be drawn becomes annotations in the movie's own pixels."""

import numpy as np
import pytest
from napari.layers import Labels, Shapes

from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Polygon, Scribble
from napari_masktrack.errors import AnnotationError
from napari_masktrack.layers import (
    AnnotationIndex,
    LayerAxes,
    LayerMovie,
    choose_object,
    mark_absent,
    new_labels,
    new_shapes,
    read_annotations,
    read_shapes,
)

SIZE = (20, 30)


@pytest.fixture
def view(viewer, pixels):
    return LayerMovie(viewer.add_image(pixels, name="cells", scale=(2, 0.5, 0.25), translate=(1, 2, 3)))


def corners(frame, y0, x0, y1, x1):
    return np.array([[frame, y0, x0], [frame, y0, x1], [frame, y1, x1], [frame, y1, x0]], float)


def painted(frame, label, *, role="masks", view=None):
    layer = new_labels(view, role)
    layer.data[frame, 3:8, 4:9] = label
    return layer


def image(label=1):
    out = np.zeros(SIZE, np.uint16)
    out[3:8, 4:9] = label
    return out


def test_all_kinds_of_layers_are_joined(view):
    masks, scribbles = painted(1, 300, view=view), painted(2, 4, role="scribbles", view=view)
    beside = new_labels(view, "beside")
    beside.data[2, 12:15, 4:9] = 4
    shapes = new_shapes(view)
    shapes.add_rectangles(corners(3, 2.5, 3.5, 10.5, 12.5))
    mark_absent(masks, 4, 300)
    found = read_annotations(view, [masks, scribbles, beside, shapes])
    expected = [
        Mask(1, 300, image(300) == 300),
        Scribble(2, 4, image(), beside.data[2]),
        Box(3, 1, (3, 4, 11, 13)),
        Absent(4, 300),
    ]
    assert found == Annotations(expected)


def test_an_index_gives_the_same_as_its_layer(view):
    layers = [painted(1, 300, view=view), painted(2, 4, role="scribbles", view=view)]
    mark_absent(layers[0], 3, 300)
    indices = [AnnotationIndex(layer, view) for layer in layers]
    assert read_annotations(view, indices) == read_annotations(view, layers)


def test_reading_leaves_no_trace_on_the_layer(view):
    layer = painted(1, 3, view=view)
    before = [len(layer.events[name].callbacks) for name in ("paint", "set_data", "data", "scale")]
    read_annotations(view, [layer])
    assert [len(layer.events[name].callbacks) for name in ("paint", "set_data", "data", "scale")] == before


def test_annotations_are_copies(view):
    layer = painted(1, 3, view=view)
    found = read_annotations(view, [layer])
    layer.data[:] = 0
    np.testing.assert_array_equal(found.label_image(1, SIZE), image(3))


def test_nothing_drawn_is_no_annotation(view):
    assert len(read_annotations(view, [new_labels(view), new_shapes(view)])) == 0
    assert len(read_annotations(view, [])) == 0


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon", "path", "line"])
def test_shapes_are_read_with_kind_frame_and_object(viewer, view, kind):
    layer = viewer.add_layer(new_shapes(view))
    choose_object(300, [layer])
    points = corners(4, 2.5, 3.5, 10.5, 12.5)[: 2 if kind == "line" else 4]
    layer.add(points, shape_type=kind, edge_width=2)
    (item,) = read_annotations(view, [layer]).items
    classes = {"rectangle": Box, "ellipse": Mask, "polygon": Polygon, "path": Scribble, "line": Scribble}
    assert type(item) is classes[kind]
    assert (item.frame, item.label) == (4, 300)
    assert item.guidance(SIZE).any()


@pytest.mark.parametrize(
    ("kind", "side", "counts"),
    [("rectangle", 0.7, False), ("ellipse", 1.0, False), ("polygon", 0.3, False), ("rectangle", 2, True)],
)
def test_a_click_with_a_tool_for_areas_is_no_drawing(view, kind, side, counts):
    layer = new_shapes(view)
    choose_object(1, [layer])
    layer.add(corners(1, 5, 9, 5 + side, 9 + side), shape_type=kind)
    assert len(read_shapes(layer, view)) == counts
    assert len(read_annotations(view, [layer]).items) == counts


def test_a_shape_drawn_with_the_mouse_lies_on_the_pixels_below(viewer, view):
    """On a layer of shapes with a transform of its own, as napari makes one."""
    own = viewer.add_shapes(ndim=3, scale=(1, 2, 3), translate=(5, 5, 5), features={"label": []})
    world = [view.layer.data_to_world(corner) for corner in corners(3, 2.5, 3.5, 10.5, 12.5)]
    own.add_rectangles(np.array([own.world_to_data(corner) for corner in world]))
    own.features = {"label": [7]}
    assert read_annotations(view, [own]) == Annotations([Box(3, 7, (3, 4, 11, 13))])


def test_a_turned_movie_has_its_shapes_turned_back(viewer, pixels):
    angle = np.deg2rad(30)
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    view = LayerMovie(viewer.add_image(pixels, rotate=turn, scale=(1, 0.5, 0.25)))
    layer = viewer.add_shapes(ndim=3, features={"label": []})
    polygon = corners(3, 2, 3, 10, 12)
    layer.add_polygons(np.array([view.layer.data_to_world(corner) for corner in polygon]))
    layer.features = {"label": [1]}
    (shape,) = read_shapes(layer, view)
    np.testing.assert_allclose(shape.vertices, polygon[:, 1:], atol=1e-9)


def test_the_width_of_a_stroke_is_in_the_movies_pixels(viewer, pixels):
    view = LayerMovie(viewer.add_image(pixels, scale=(1, 0.5, 0.5)))
    layer = viewer.add_shapes(ndim=3, features={"label": []})
    layer.add_paths(corners(3, 2, 3, 8, 12) * (1, 0.5, 0.5), edge_width=2)
    layer.features = {"label": [1]}
    assert read_shapes(layer, view)[0].width == pytest.approx(4)


def test_of_a_stack_of_volumes_the_shapes_on_the_plane_count(viewer):
    layer = viewer.add_image(np.zeros((7, 5, *SIZE), np.uint8))
    view = LayerMovie(layer, LayerAxes(frame=0, planes={1: 3}))
    shapes = viewer.add_shapes(ndim=4, features={"label": []})
    for plane in (2, 3):
        box = np.insert(corners(4, 2.5, 3.5, 10.5, 12.5), 1, plane, axis=1)
        shapes.add_rectangles(box)
    shapes.features = {"label": [1, 2]}
    assert read_annotations(view, [shapes]) == Annotations([Box(4, 2, (3, 4, 11, 13))])


def test_a_single_image_takes_flat_shapes(viewer):
    view = LayerMovie(viewer.add_image(np.zeros(SIZE, np.uint8)))
    shapes = viewer.add_shapes(ndim=2, features={"label": []})
    shapes.add_rectangles(corners(0, 2.5, 3.5, 10.5, 12.5)[:, 1:])
    shapes.features = {"label": [5]}
    assert read_annotations(view, [shapes]) == Annotations([Box(0, 5, (3, 4, 11, 13))])


@pytest.mark.parametrize("value", [np.nan, 0, -1, 65536, 1.5, "cell", None])
def test_a_shape_without_an_id_is_named(view, value):
    layer = new_shapes(view)
    for _ in range(2):
        layer.add_rectangles(corners(0, 2, 3, 8, 9))
    layer.features = {"label": np.array([1, value], object)}
    with pytest.raises(AnnotationError, match=r"Shape 1 of 'cells shapes' has the id .*; give it the id"):
        read_annotations(view, [layer])
    assert len(read_shapes(layer, view, lenient=True)) == 1


def test_shapes_of_a_layer_without_ids_are_refused(view):
    layer = Shapes([corners(0, 2, 3, 8, 9)], name="drawn before")
    with pytest.raises(AnnotationError, match=r"'drawn before' belong to no object; add a column 'label'"):
        read_annotations(view, [layer])


def test_a_shape_over_several_frames_is_refused(view):
    layer = new_shapes(view)
    box = corners(0, 2, 3, 8, 9)
    box[2:, 0] = 2
    layer.add_polygons(box)
    with pytest.raises(AnnotationError, match="Shape 0 of 'cells shapes' lies on frames 0 to 2"):
        read_annotations(view, [layer])


def test_a_shape_before_the_first_frame_is_refused(view):
    layer = new_shapes(view)
    layer.add_rectangles(corners(-2, 2, 3, 8, 9))
    with pytest.raises(AnnotationError, match="before the first frame"):
        read_annotations(view, [layer])


def test_flat_shapes_over_a_movie_are_refused(view):
    layer = Shapes([corners(0, 2, 3, 8, 9)[:, 1:]], features={"label": [1]}, name="flat")
    with pytest.raises(AnnotationError, match="'flat' has 2 dimensions"):
        read_annotations(view, [layer])


def test_an_object_that_is_drawn_and_absent_is_refused(view):
    layer = painted(1, 3, view=view)
    mark_absent(layer, 1, 3)
    with pytest.raises(AnnotationError, match="object 3 on frame 1, which is also called absent"):
        read_annotations(view, [layer])


def test_frames_outside_the_movie_are_found_by_the_check(view):
    longer = Labels(np.zeros((12, *SIZE), np.uint8), scale=(2, 0.5, 0.25), translate=(1, 2, 3))
    longer.data[9, 3:6, 3:6] = 1
    found = read_annotations(view, [longer])
    with pytest.raises(AnnotationError, match="frame 9 lies outside the movie"):
        found.check(len(view), SIZE)
