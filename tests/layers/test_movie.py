"""Every kind of image layer becomes a movie, and labels made for it lie on its pixels."""

import itertools

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_masktrack.layers import (
    LayerAxes,
    LayerMovie,
    ResultStore,
    new_labels,
    new_shapes,
    read_annotations,
)
from napari_masktrack.propagation import FrameResult

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # of time last, which is turned


def product(*parts):
    return list(itertools.product(*parts))


TURN = np.deg2rad(20)
SPIN = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])

TYPES = ("uint8", "uint16", "float32", "int16", "bool")
SHAPES = {
    "tyx": ((7, 20, 30), LayerAxes(frame=0), {}),
    "one frame": ((1, 20, 30), LayerAxes(frame=0), {}),
    "yx": ((20, 30), LayerAxes(frame=None), {}),
    "rgb": ((7, 20, 30, 3), LayerAxes(frame=0, channel=3), {"rgb": True}),
    "rgb image": ((20, 30, 3), LayerAxes(frame=None, channel=2), {"rgb": True}),
    "tcyx": ((7, 2, 20, 30), LayerAxes(frame=0, channel=1), {}),
    "ctyx": ((3, 7, 20, 30), LayerAxes(frame=1, channel=0), {}),
    "tyxc": ((7, 20, 30, 3), LayerAxes(frame=0, channel=3), {"rgb": False}),
    "tzyx": ((7, 5, 20, 30), LayerAxes(frame=0, planes={1: 3}), {}),
    "zyx of tzyx": ((5, 7, 20, 30), LayerAxes(frame=1, planes={0: 2}), {}),
    "yxt": ((20, 30, 7), LayerAxes(frame=2), {}),
}
BACKINGS = {"numpy": np.asarray, "dask": da.from_array, "zarr": zarr.array}
PLACES = {
    "plain": {},
    "scaled": {"scale": (2, 0.5, 0.25)},
    "moved": {"scale": (2, 0.5, 0.25), "translate": (10, -3, 7)},
    "turned": {"scale": (2, 0.5, 0.25), "rotate": SPIN, "translate": (1, 2, 3)},
    "sheared": {"scale": (1, 0.5, 0.25), "shear": (0.3,)},
    "affine": {"affine": np.array([[0.5, 0.1, 3], [-0.2, 0.7, -4], [0, 0, 1]])},
    "units": {"scale": (2, 0.5, 0.25), "units": ("s", "um", "um"), "axis_labels": ("t", "y", "x")},
}

EVERYWHERE = product(SHAPES, ["turned"]) + product(["tyx", "tcyx"], PLACES)


def placed(place, ndim, spatial):
    """Spread the transform for (T, Y, X) over the dimensions of a layer."""
    given = dict(PLACES[place])
    for name, default in (("scale", 1.0), ("translate", 0.0), ("units", "pixel")):
        if name in given:
            values = [default] * ndim
            for axis, value in zip(spatial, given[name][1:], strict=True):
                values[axis] = value
            frame = next((axis for axis in range(ndim) if axis not in spatial), None)
            if frame is not None:
                values[frame] = given[name][0]
            given[name] = tuple(values)
    for name, size in (("rotate", ndim), ("affine", ndim + 1)):
        if name in given:
            matrix = np.eye(size)
            where = [*spatial, ndim] if name == "affine" else list(spatial)
            matrix[np.ix_(where, where)] = given[name]
            given[name] = matrix
    if "shear" in given:
        upper = itertools.combinations(range(ndim), 2)
        given["shear"] = [0.3 if pair == tuple(spatial) else 0.0 for pair in upper]
    given.pop("axis_labels", None)
    return given


def make(viewer, shape="tyx", place="plain", dtype="uint8", backing="numpy"):
    size, axes, options = SHAPES[shape]
    data = (np.random.default_rng(0).random(size) * 200).astype(dtype)
    ndim = len(size) - bool(options.get("rgb"))
    spatial = [axis for axis in axes.spatial(len(size)) if axis < ndim]
    layer = viewer.add_image(BACKINGS[backing](data), name="cells", **options, **placed(place, ndim, spatial))
    viewer.dims.order = [axis for axis in range(ndim) if axis not in spatial] + spatial
    return LayerMovie(layer, axes), data


def world(view, frame, y, x, other=0):
    """Where a pixel of the movie is in the viewer."""
    point = np.full(view.layer.ndim, other, float)
    for axis, plane in view.axes.planes.items():
        point[axis] = plane
    if view.axes.frame is not None:
        point[view.axes.frame] = frame
    point[[view.rows, view.columns]] = y, x
    return view.layer.data_to_world(point)


def show(viewer, view, frame, channel=0):
    """Move the sliders as a user would."""
    viewer.dims.set_point(range(view.layer.ndim), world(view, frame, 0, 0, channel))


def result(frame, image):
    return FrameResult(frame, image, {1: 0.5}, {1: 0})


@pytest.mark.parametrize(("dtype", "backing"), product(TYPES, BACKINGS))
def test_frames_are_read_from_every_type_and_backing(viewer, dtype, backing):
    view, data = make(viewer, dtype=dtype, backing=backing)
    for frame in (0, 6):
        np.testing.assert_array_equal(view.movie.raw(frame), data[frame])
    assert view.movie.image(3).shape == (20, 30, 3)


@pytest.mark.parametrize(("shape", "backing"), product(SHAPES, BACKINGS))
def test_frames_are_read_from_every_shape(viewer, shape, backing):
    view, data = make(viewer, shape, backing=backing)
    frame = len(view) // 2
    expected = {
        "yx": lambda: data,
        "rgb image": lambda: data,
        "tcyx": lambda: np.moveaxis(data[frame], 0, -1),
        "ctyx": lambda: np.moveaxis(data[:, frame], 0, -1),
        "tzyx": lambda: data[frame, 3],
        "zyx of tzyx": lambda: data[2, frame],
        "yxt": lambda: data[..., frame],
    }.get(shape, lambda: data[frame])()
    np.testing.assert_array_equal(view.movie.raw(frame), expected)
    assert view.movie.shape == (20, 30)


def test_of_a_multiscale_layer_the_full_resolution_is_read(viewer, pixels):
    levels = [pixels, pixels[:, ::2, ::2], pixels[:, ::4, ::4]]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    view = LayerMovie(layer)
    np.testing.assert_array_equal(view.movie.raw(3), pixels[3])
    labels = viewer.add_layer(new_labels(view))
    assert labels.data.shape == pixels.shape
    labels.paint((3, 5, 6), 2)
    assert read_annotations(view, [labels]).at(3)[0].guidance((20, 30))[5, 6]


@pytest.mark.parametrize(("shape", "place"), EVERYWHERE)
@pytest.mark.parametrize("label", [1, 300, 65535])
def test_labels_lie_on_the_pixels_they_were_painted_on(viewer, shape, place, label):
    view, _ = make(viewer, shape, place)
    labels = viewer.add_layer(new_labels(view))
    frame = len(view) - 1
    show(viewer, view, frame)
    labels.brush_size = 1
    labels.paint(labels.world_to_data(world(view, frame, 4, 23)), label)
    (mask,) = read_annotations(view, [labels]).items
    assert (mask.frame, mask.label) == (frame, label)
    assert mask.guidance((20, 30))[4, 23]
    assert labels.get_value(world(view, frame, 4, 23), world=True) == label
    assert labels.get_value(world(view, frame, 4, 20), world=True) == 0


@pytest.mark.parametrize(("shape", "place"), EVERYWHERE)
def test_the_result_is_seen_where_the_movie_shows_the_object(viewer, shape, place):
    view, _ = make(viewer, shape, place)
    store = ResultStore(view)
    viewer.add_layer(store.layer)
    frame = len(view) // 2
    image = np.zeros((20, 30), np.uint16)
    image[2:9, 11:28] = 65535
    store.begin()
    store.write_frame(result(frame, image), viewer.dims)
    store.end()
    show(viewer, view, frame)
    assert store.layer.get_value(world(view, frame, 8, 27), world=True) == 65535
    assert store.layer.get_value(world(view, frame, 9, 27), world=True) == 0
    assert store.layer.name == f"{view.name} result"
    if view.axes.channel in (None, view.layer.ndim) and not view.axes.planes:
        np.testing.assert_allclose(store.layer.extent.world, view.layer.extent.world)


@pytest.mark.parametrize("shape", ["tcyx", "ctyx"])
def test_labels_and_shapes_are_seen_on_every_channel(viewer, shape):
    view, _ = make(viewer, shape, "turned")
    labels = viewer.add_layer(new_labels(view))
    shapes = viewer.add_layer(new_shapes(view))
    labels.data[view.layout.key(4)][5, 6] = 3
    for channel in range(view.shape[view.axes.channel]):
        show(viewer, view, 4, channel)
        labels.refresh()
        assert view.frame_at(viewer.dims) == 4
        assert labels.get_value(world(view, 4, 5, 6, channel), world=True) == 3
        corners = [world(view, 4, y, x, channel) for y, x in ((2, 3), (2, 9), (8, 9), (8, 3))]
        shapes.add_rectangles(np.array([shapes.world_to_data(corner) for corner in corners]))
    found = read_annotations(view, [shapes]).items
    assert [(item.frame, item.label) for item in found] == [(4, 1)]  # the same box, once for all channels


def test_labels_of_one_plane_are_seen_on_that_plane_only(viewer):
    view, _ = make(viewer, "tzyx", "scaled")
    labels = viewer.add_layer(new_labels(view))
    labels.data[view.layout.key(4)][:] = 3
    seen = []
    for plane in range(5):
        point = np.array([4, plane, 5, 6])
        viewer.dims.set_point(range(4), view.layer.data_to_world(point))
        seen.append(labels.get_value(view.layer.data_to_world(point), world=True))
    assert [bool(value) for value in seen] == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("shape", "place"), product(["tyx", "tcyx", "yxt", "zyx of tzyx"], ["plain", "moved", "units"])
)
def test_the_slider_is_moved_to_a_frame_and_read_again(viewer, shape, place):
    view, _ = make(viewer, shape, place)
    for frame in (0, 3, 6):
        view.go_to(viewer.dims, frame)
        assert view.frame_at(viewer.dims) == frame
        assert view.shows_frame(viewer.dims, frame)
        assert not view.shows_frame(viewer.dims, frame - 1)
        step = viewer.dims.current_step[view.axes.frame]
        assert step == frame
    view.go_to(viewer.dims, 99)
    assert view.frame_at(viewer.dims) == 6


def test_the_slider_serves_a_movie_of_fewer_dimensions_than_the_viewer(viewer):
    viewer.add_image(np.zeros((4, 5, 20, 30), np.uint8))
    view, _ = make(viewer, "tyx")
    viewer.dims.set_point(0, 2)
    view.go_to(viewer.dims, 3)
    assert viewer.dims.current_step[:2] == (2, 3)
    assert view.frame_at(viewer.dims) == 3


def test_beside_the_movie_there_is_no_frame(viewer):
    viewer.add_image(np.zeros((20, 20, 30), np.uint8))
    view, _ = make(viewer, "tyx", "plain")
    viewer.dims.set_point(0, 12)
    assert view.frame_at(viewer.dims) is None
    assert not view.shows_frame(viewer.dims, 6)


def test_layers_in_other_units_share_the_slider(viewer):
    viewer.add_image(np.zeros((7, 20, 30), np.uint8), units=("ms", "nm", "nm"), scale=(2000, 500, 500))
    layer = viewer.add_image(np.zeros((7, 20, 30), np.uint8), units=("s", "um", "um"), scale=(2, 0.5, 0.5))
    view = LayerMovie(layer)
    view.go_to(viewer.dims, 5)
    assert viewer.dims.current_step[0] == 5
    assert view.frame_at(viewer.dims) == 5


def test_another_plane_shows_no_frame_and_going_to_one_shows_the_held_plane(viewer):
    view, _ = make(viewer, "tzyx", "turned")
    assert view.axes.planes == {1: 3}
    show(viewer, view, 2)
    assert view.frame_at(viewer.dims) == 2
    point = list(world(view, 2, 0, 0))
    viewer.dims.set_point(1, world(LayerMovie(view.layer, LayerAxes(frame=0, planes={1: 1})), 2, 0, 0)[1])
    assert view.frame_at(viewer.dims) is None
    view.go_to(viewer.dims)
    assert view.frame_at(viewer.dims) == 2
    np.testing.assert_allclose(viewer.dims.point[:2], point[:2])


def test_each_plane_is_a_movie_of_its_own_name_and_channels_are_not(viewer):
    layer = viewer.add_image(np.zeros((7, 5, 2, 20, 30), np.uint8), name="cells")
    views = [LayerMovie(layer, LayerAxes(frame=0, channel=2, planes={1: plane})) for plane in (3, 4)]
    assert [view.movie.name for view in views] == ["cells (axis 1 at 3)", "cells (axis 1 at 4)"]
    assert not views[0].lies_like(views[1])
    other = LayerMovie(layer, views[0].axes, channels=1)
    assert views[0].lies_like(other)
    assert (views[0].channel, other.channel) == (None, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_session_says_how_a_layer_was_seen(viewer, shape):
    view, _ = make(viewer, shape)
    again = LayerMovie.of(view.layer, view.reference())
    assert again.lies_like(view)
    view.reference().check(again.movie)


def test_in_three_dimensions_every_frame_is_shown(viewer):
    view, _ = make(viewer)
    viewer.dims.ndisplay = 3
    assert view.shows_frame(viewer.dims, 2)


def test_a_large_movie_gets_labels_that_take_no_memory(viewer):
    data = da.zeros((100_000, 2048, 2048), dtype=np.uint8, chunks=(1, -1, -1))
    view = LayerMovie(viewer.add_image(data, contrast_limits=(0, 255)))
    labels = viewer.add_layer(new_labels(view))
    view.go_to(viewer.dims, 70_000)
    labels.paint((70_000, 100, 200), 5)
    labels.fill((70_000, 0, 0), 6)
    labels.undo()
    assert labels.data[70_000].max() == 5
    (mask,) = read_annotations(view, [labels]).items
    assert (mask.frame, mask.label) == (70_000, 5)
