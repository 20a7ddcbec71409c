"""The index knows which frames are painted, whatever the user does, without looking through the array."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Labels

from napari_masktrack.core.annotation import Mask
from napari_masktrack.errors import AnnotationError
from napari_masktrack.layers import AnnotationIndex, LayerMovie, new_labels, paint_frame


@pytest.fixture(params=["numpy", "sparse"])
def layer(request, viewer, view):
    return viewer.add_layer(new_labels(view, sparse_from=0 if request.param == "sparse" else 2**40))


@pytest.fixture
def index(layer, view):
    index = AnnotationIndex(layer, view)
    yield index
    index.close()


class Counted:
    """A NumPy array that counts how often each frame is read."""

    def __init__(self, array):
        self.array, self.reads = array, []
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size

    def __getitem__(self, key):
        if key != 0:  # napari asks the first frame for its type
            first = key[0].start if isinstance(key[0], slice) else key[0]
            self.reads += np.unique(first).tolist()
        return self.array[key]

    def __setitem__(self, key, value):
        self.array[key] = value


def show(viewer, frame):
    viewer.dims.set_point(0, frame)


def test_painting_is_noticed(viewer, layer, index):
    assert index.frames == ()
    show(viewer, 3)
    layer.paint((3, 5, 5), 2)
    layer.paint((3, 15, 25), 300)
    show(viewer, 4)
    layer.fill((4, 0, 0), 7)
    show(viewer, 1)
    layer.paint_polygon(np.array([[1, 2, 2], [1, 2, 9], [1, 9, 9]]), 2)
    assert index.settle() == (1, 3, 4)
    assert index.settle() == ()
    assert index.frames == (1, 3, 4)
    assert index.known[3] == (2, 300)
    np.testing.assert_array_equal(index.image(4), np.full((20, 30), 7))


def test_undo_and_redo_are_noticed_also_on_another_frame(viewer, layer, index):
    show(viewer, 3)
    layer.paint((3, 5, 5), 2)
    assert index.settle() == (3,)
    show(viewer, 6)
    assert index.settle() == ()
    layer.undo()
    assert index.settle() == (3,)
    assert index.frames == ()
    layer.redo()
    assert index.settle() == (3,)
    assert index.frames == (3,)
    assert index.settle() == ()


def test_an_undo_on_a_hidden_layer_is_noticed_when_it_counts(viewer, layer, index):
    layer.paint((0, 5, 5), 2)
    assert index.masks()[0].label == 2
    layer.visible = False
    layer.undo()
    assert index.masks() == ()


def test_erasing_makes_a_frame_unpainted(viewer, layer, index):
    layer.paint((0, 5, 5), 2)
    index.settle()
    layer.paint((0, 5, 5), 0)
    assert index.settle() == (0,)
    assert index.frames == ()


def test_painting_over_many_frames_at_once_is_noticed(viewer, layer, index):
    layer.n_edit_dimensions = 3
    layer.brush_size = 5
    layer.paint((3, 5, 5), 2)
    assert index.settle() == (1, 2, 3, 4, 5)


def test_painting_by_the_program_is_noticed(layer, view, index):
    image = np.zeros((20, 30), np.uint16)
    image[3:9] = 4
    paint_frame(layer, view, 5, image)
    assert index.settle() == (5,)
    assert index.known[5] == (4,)


def test_only_touched_frames_are_read(viewer, view, pixels):
    data = Counted(np.zeros(pixels.shape, np.uint16))
    layer = viewer.add_layer(Labels(data))
    index = AnnotationIndex(layer, view, known=())
    data.reads.clear()
    layer.visible = False
    layer.paint((3, 5, 5), 2)
    index.settle()
    index.masks()
    index.masks()
    assert set(data.reads) == {3}


def test_touched_frames_can_be_looked_at_one_by_one_and_settle_still_names_them(viewer, view, pixels):
    data = Counted(np.zeros(pixels.shape, np.uint16))
    layer = viewer.add_layer(Labels(data))
    layer.visible = False
    index = AnnotationIndex(layer, view, known=())
    for frame in (2, 4, 5):
        data[frame, 3:6, 3:6] = 7
    index.touch([2, 4, 5])
    assert list(index.scan()) == [2, 1, 0]
    data.reads.clear()
    assert index.settle() == (2, 4, 5)
    assert data.reads == []


def test_masks_are_read_ahead_one_frame_at_a_time(viewer, view, pixels):
    data = Counted(np.zeros(pixels.shape, np.uint16))
    for frame in (2, 4, 5):
        data[frame, 3:6, 3:6] = 7
    layer = viewer.add_layer(Labels(data))
    layer.visible = False
    index = AnnotationIndex(layer, view, known=(2, 4, 5))
    for _ in index.scan():
        pass
    assert list(index.remember()) == [2, 1, 0]
    data.reads.clear()
    assert [mask.frame for mask in index.masks()] == [2, 4, 5]
    assert data.reads == []


def test_masks_are_in_the_form_of_the_engine_and_remembered(layer, index):
    layer.paint((2, 5, 5), 1)
    layer.paint((2, 15, 25), 65535)
    first = index.masks()
    image = np.asarray(layer.data[2])
    assert first == (Mask(2, 1, image == 1), Mask(2, 65535, image == 65535))
    assert all(one is other for one, other in zip(first, index.masks(), strict=True))
    layer.paint((2, 5, 8), 1)
    assert index.masks() != first


def test_masks_are_copies(layer, index):
    layer.paint((2, 5, 5), 1)
    image, (mask,) = index.image(2), index.masks()
    before = mask.guidance((20, 30))
    layer.paint((2, 5, 8), 1)
    assert image.any()
    np.testing.assert_array_equal(image == 1, before)
    np.testing.assert_array_equal(mask.guidance((20, 30)), before)


def test_a_new_array_is_looked_through(viewer, layer, view, index, pixels):
    layer.paint((2, 5, 5), 1)
    index.settle()
    fresh = np.zeros(pixels.shape, np.uint16)
    fresh[4, 3:6, 3:6] = 9
    layer.data = fresh
    assert index.frames == (4,)
    assert set(index.settle()) == {2, 4}


def test_what_others_write_into_the_shown_frame_is_noticed(viewer, layer, view):
    index = AnnotationIndex(layer, view, dims=viewer.dims)
    show(viewer, 4)
    layer.data[4, 3:6, 3:6] = 9
    layer.refresh()
    assert index.settle() == (4,)
    show(viewer, 5)
    assert index.settle() == ()
    index.close()


def test_a_stroke_that_is_under_way_is_noticed(viewer, layer, view):
    index = AnnotationIndex(layer, view, dims=viewer.dims)
    show(viewer, 4)
    index.settle()
    with layer.block_history():
        layer.paint((4, 5, 5), 2)
        assert index.settle() == (4,)
        layer.paint((4, 5, 25), 2)
        assert index.settle() == (4,)
        assert index.known[4] == (2,)
    assert index.settle() == ()
    index.close()


def test_what_others_write_elsewhere_is_noticed_on_request(layer, index):
    layer.data[4, 3:6, 3:6] = 9
    assert index.settle() == ()
    index.touch([4])
    assert index.settle() == (4,)
    layer.data[5, 3:6, 3:6] = 9
    index.touch()
    assert index.frames == (4, 5)


def test_what_others_write_in_place_is_found_by_comparing(layer, index):
    assert index.frames == ()
    layer.data[4, 3:6, 3:6] = 9
    layer.data[5, 3:6, 3:6] = 9
    index.compare()
    assert index.settle() == (4, 5)
    layer.data[4, 3:6, 3:6], layer.data[5] = 8, 0
    index.compare()
    assert index.settle() == (4, 5)
    assert index.known == {4: (8,)}
    index.compare()
    assert index.settle() == ()


def test_comparing_reads_nothing_that_is_not_in_memory(viewer, view, pixels):
    data = Counted(np.zeros(pixels.shape, np.uint16))
    index = AnnotationIndex(viewer.add_layer(Labels(data)), view)
    for _ in index.scan():
        pass
    data.reads.clear()
    index.compare()
    assert index.settle() == ()
    assert not data.reads


def test_several_learn_what_changed_each_since_it_asked_last(layer, index):
    layer.paint((0, 5, 5), 2)
    index.catch_up()
    first = index.version
    assert index.changed_since(0) == (0,)
    index.touch([2])
    layer.data[2, 3:6, 3:6] = 9
    assert index.settle() == (0, 2)
    assert index.changed_since(first) == (2,)
    assert index.changed_since(0) == (0, 2)
    assert index.changed_since(index.version) == ()


def test_what_is_known_so_far_is_told_without_looking(viewer, view, pixels):
    data = np.zeros(pixels.shape, np.uint16)
    data[2, 3:6, 3:6] = 7
    index = AnnotationIndex(Labels(data), view)
    assert index.known == {}
    assert index.frames == (2,)
    assert index.known == {2: (7,)}


def test_many_touched_frames_are_looked_at_bit_by_bit(layer, view, index):
    for frame in range(7):
        paint_frame(layer, view, frame, np.full((20, 30), frame + 1))
    found = [index.settle(budget=0) for _ in range(8)]
    assert sorted(found) == [(), *((frame,) for frame in range(7))]


def test_changes_are_announced(viewer, layer, view):
    calls = []
    index = AnnotationIndex(layer, view, on_change=lambda: calls.append(1))
    show(viewer, 3)
    assert not calls
    layer.paint((3, 5, 5), 2)
    assert calls
    index.close()
    calls.clear()
    layer.paint((3, 9, 9), 2)
    layer.undo()
    assert not calls


@pytest.mark.parametrize("backing", [np.asarray, zarr.array, da.from_array], ids=["numpy", "zarr", "dask"])
def test_layers_painted_elsewhere_are_looked_through_bit_by_bit(viewer, view, pixels, backing):
    data = np.zeros(pixels.shape, np.int32)
    data[1, 3:6], data[6, 3:6] = 1, 65535
    index = AnnotationIndex(viewer.add_layer(Labels(backing(data))), view)
    assert index.known == {}
    assert list(index.scan()) == [6, 5, 4, 3, 2, 1, 0]
    assert index.settle() == (1, 6)
    assert index.known[6] == (65535,)


def test_boolean_layers_are_object_1(viewer, view, pixels):
    data = np.zeros(pixels.shape, bool)
    data[2, 3:6] = True
    index = AnnotationIndex(Labels(data), view)
    assert [(mask.frame, mask.label) for mask in index.masks()] == [(2, 1)]


@pytest.mark.parametrize("value", [-1, 65536])
def test_impossible_ids_are_refused(view, pixels, value):
    data = np.zeros(pixels.shape, np.int32)
    data[2, 3:6] = value
    index = AnnotationIndex(Labels(data, name="odd"), view)
    with pytest.raises(AnnotationError, match="'odd' has ids from"):
        index.masks()


# Layers that lie elsewhere


def painted(view, **options):
    """A layer of the movie's shape with one object, moved."""
    data = np.zeros((7, 20, 30), np.uint8)
    data[2, 4:8, 10:20] = 3
    return Labels(data, name="other", **options)


def mask_at(index, frame):
    (mask,) = index.masks()
    assert (mask.frame, mask.label) == (frame, 3)
    return mask.guidance((20, 30))


def expected(y, x):
    image = np.zeros((20, 30), bool)
    image[y, x] = True
    return image


def test_a_moved_layer_is_read_where_it_is_seen(view):
    index = AnnotationIndex(painted(view, translate=(1, 3, -2)), view)
    np.testing.assert_array_equal(mask_at(index, 3), expected(slice(7, 11), slice(8, 18)))


def test_a_coarse_layer_is_read_where_it_is_seen(view):
    index = AnnotationIndex(painted(view, scale=(1, 2, 0.5)), view)
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(7, 15), slice(5, 10)))


def test_a_turned_layer_is_read_where_it_is_seen(view):
    quarter = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    index = AnnotationIndex(painted(view, rotate=quarter, translate=(0, 0, 12)), view)
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(10, 20), slice(5, 9)))


def test_a_layer_in_other_units_is_read_where_it_is_seen(viewer, pixels):
    layer = viewer.add_image(pixels, scale=(1, 0.5, 0.5), units=("s", "um", "um"))
    index = AnnotationIndex(
        painted(None, scale=(1000, 500, 500), units=("ms", "nm", "nm")), LayerMovie(layer)
    )
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(4, 8), slice(10, 20)))


def test_a_layer_of_every_other_frame_is_read_where_it_is_seen(view):
    index = AnnotationIndex(painted(view, scale=(2, 1, 1)), view)
    assert index.masks()[0].frame == 4


def test_moving_a_layer_changes_what_it_says(view):
    layer = painted(view)
    index = AnnotationIndex(layer, view)
    mask_at(index, 2)
    assert index.settle() == (2,)
    layer.translate = (0, 3, -2)
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(7, 11), slice(8, 18)))
    assert index.settle() == (2,)


def test_a_layer_without_the_axis_of_channels_is_taken_frame_by_frame(viewer):
    data = np.zeros((7, 2, 20, 30), np.uint8)
    view = LayerMovie(viewer.add_image(data, scale=(1, 1, 0.5, 0.5)))
    index = AnnotationIndex(painted(view, scale=(1, 0.5, 0.5)), view)
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(4, 8), slice(10, 20)))


def test_paint_on_any_channel_counts(viewer):
    view = LayerMovie(viewer.add_image(np.zeros((7, 2, 20, 30), np.uint8)))
    data = np.zeros((7, 2, 20, 30), np.uint8)
    data[2, 1, 4:8, 10:20] = 3
    index = AnnotationIndex(Labels(data), view)
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(4, 8), slice(10, 20)))


def test_of_a_painted_volume_the_plane_of_the_movie_counts(viewer):
    from napari_masktrack.layers import LayerAxes

    image = viewer.add_image(np.zeros((7, 5, 20, 30), np.uint8))
    view = LayerMovie(image, LayerAxes(frame=0, planes={1: 3}))
    data = np.zeros((7, 5, 20, 30), np.uint8)
    data[2, 3, 4:8, 10:20], data[4, 2] = 3, 3
    index = AnnotationIndex(Labels(data), view)
    np.testing.assert_array_equal(mask_at(index, 2), expected(slice(4, 8), slice(10, 20)))


def test_a_flat_layer_serves_a_single_image(viewer):
    view = LayerMovie(viewer.add_image(np.zeros((1, 20, 30), np.uint8)))
    flat = Labels(painted(view).data[2])
    np.testing.assert_array_equal(
        mask_at(AnnotationIndex(flat, view), 0), expected(slice(4, 8), slice(10, 20))
    )


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (Labels(np.ones((20, 30), np.uint8), name="flat"), "'flat' has 2 dimensions and 'cells' has 3"),
        (painted(None, rotate=(0, 30, 0)), "turned or sheared against 'cells'"),
        (painted(None, units=("s", "um", "um")), "measured in second and 'cells' in pixel"),
    ],
)
def test_layers_that_do_not_lie_over_the_movie_are_refused(view, layer, said):
    with pytest.raises(AnnotationError, match=said):
        AnnotationIndex(layer, view)


def test_painted_frames_between_those_of_the_movie_are_refused(view):
    index = AnnotationIndex(painted(view, translate=(0.5, 0, 0)), view)
    with pytest.raises(AnnotationError, match=r"Frame 2 of 'other' lies between frames 2 and 3"):
        index.masks()
