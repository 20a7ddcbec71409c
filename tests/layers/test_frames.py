"""A label array whose frames lie elsewhere behaves as a NumPy array does."""

import numpy as np
import pytest

from napari_masktrack.io.session_results import LabelStore
from napari_masktrack.layers.frames import FrameArray, SparseFrames, frames_of, stored_frames
from napari_masktrack.layers.movie import Layout

LAYOUTS = {
    "tyx": Layout((5, 6, 7), 0, 1, 2),
    "yx": Layout((6, 7), None, 0, 1),
    "tcyx": Layout((5, 1, 6, 7), 0, 2, 3),
    "yxt": Layout((6, 7, 5), 2, 0, 1),
    "zytx": Layout((1, 6, 5, 7), 2, 1, 3),
}
KEYS = {
    "nothing": (),
    "everything": (...,),
    "an integer": (0,),
    "the last": (-1,),
    "a range": (slice(0, 2),),
    "two integers": (0, 0),
    "an integer at the end": (..., 3),
    "steps": (..., slice(None, None, 2), slice(1, 5)),
    "backwards": (..., slice(None, None, -1)),
    "an empty range": (slice(2, 2),),
    "an empty range at the end": (..., slice(2, 2), slice(None)),
}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


@pytest.fixture(params=["memory", "disk"])
def array(request, layout, tmp_path):
    """A frame array and its NumPy twin."""
    twin = np.random.default_rng(0).integers(0, 65536, layout.shape).astype(np.uint16)
    if request.param == "memory":
        array = FrameArray(layout, SparseFrames(layout.size))
    else:
        array = stored_frames(
            layout, LabelStore(tmp_path / "a.zarr", frames=layout.frames, shape=layout.size)
        )
    for frame in range(layout.frames):
        array[layout.key(frame)] = twin[layout.key(frame)]
    return array, twin


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_parts_are_read_as_from_numpy(array, key):
    mine, twin = array
    np.testing.assert_array_equal(mine[key], twin[key])
    assert np.shape(mine[key]) == np.shape(twin[key])


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_parts_are_written_as_to_numpy(array, key):
    mine, twin = array
    for value in (3, np.arange(*np.shape(twin[key])[-1:] or (1,)).reshape(np.shape(twin[key])[-1:])):
        mine[key] = value
        twin[key] = value
        np.testing.assert_array_equal(np.asarray(mine), twin)


def test_single_pixels_are_read_and_written_as_in_numpy(array):
    mine, twin = array
    rng = np.random.default_rng(1)
    points = tuple(rng.integers(-size, size, 20) for size in twin.shape)
    np.testing.assert_array_equal(mine[points], twin[points])
    points = np.unravel_index(rng.choice(twin.size, 20, replace=False), twin.shape)
    mine[points] = twin[points] = np.arange(20)
    np.testing.assert_array_equal(np.asarray(mine), twin)


def test_a_condition_selects_as_in_numpy(array):
    mine, twin = array
    chosen = twin > 30000
    np.testing.assert_array_equal(mine[chosen], twin[chosen])
    mine[chosen] = twin[chosen] = 9
    np.testing.assert_array_equal(np.asarray(mine), twin)


def test_it_looks_like_an_array(array):
    mine, twin = array
    assert (mine.shape, mine.ndim, mine.size, mine.dtype) == (twin.shape, twin.ndim, twin.size, twin.dtype)
    assert len(mine) == len(twin)
    assert mine.max() == np.max(mine) == twin.max()
    assert np.asarray(mine, np.int32).dtype == np.int32


@pytest.mark.parametrize("key", [(0,) * 6, (99,), (np.array([99]),) * 3, (slice(None), np.array([0]))])
def test_impossible_indices_are_refused(key):
    array = FrameArray(LAYOUTS["tyx"], SparseFrames((6, 7)))
    with pytest.raises(IndexError):
        array[key]


def test_frames_that_hold_nothing_take_no_memory():
    layout = Layout((10**6, 4096, 4096), 0, 1, 2)
    array = FrameArray(layout, SparseFrames(layout.size))
    array[7, 5:9, 5:9] = 3
    array[9, 5, 5] = 4
    assert frames_of(array) == (7, 9)
    array[9, 5, 5] = 0
    assert frames_of(array) == (7,)
    assert array.max() == 3
    assert not array[8].any()


def test_a_frame_that_was_read_is_not_changed_by_writing_into_it():
    array = FrameArray(LAYOUTS["tyx"], SparseFrames((6, 7)))
    array[2] = 1
    array[2][:] = 5
    array[3][:] = 5
    assert array[2].max() == 1
    assert array[3].max() == 0


def test_other_arrays_do_not_know_their_frames():
    assert frames_of(np.zeros((2, 3, 4))) is None
