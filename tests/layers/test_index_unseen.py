"""What an index says of frames that it did not look at yet."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Labels

from napari_masktrack.errors import AnnotationError
from napari_masktrack.layers.create import new_labels
from napari_masktrack.layers.index import AnnotationIndex


@pytest.mark.parametrize(
    ("backing", "answers"), [(np.asarray, True), (zarr.array, False), (da.from_array, False)]
)
def test_the_largest_id_is_that_of_all_frames_or_none(viewer, view, pixels, backing, answers):
    data = np.zeros(pixels.shape, np.int32)
    data[1, 3:6], data[6, 3:6] = 1, 65535
    index = AnnotationIndex(viewer.add_layer(Labels(backing(data), name="mine")), view)
    if answers:
        assert index.largest() == 65535
        assert index.known == {}
    else:
        with pytest.raises(AnnotationError, match="'mine' is still being looked through, 7 frames are left"):
            index.largest()
    index.settle()
    for _ in index.scan():
        pass
    assert index.largest() == 65535


def test_layers_made_here_know_their_largest_id_whatever_is_touched(view):
    index = AnnotationIndex(new_labels(view), view)
    assert index.largest() == 0
    index.layer.paint((3, 5, 5), 4)
    index.touch()
    assert index.largest() == 4


def test_frames_that_a_layer_has_not_are_not_looked_at(viewer, view, pixels):
    index = AnnotationIndex(viewer.add_layer(Labels(np.ones((2, *pixels.shape[1:]), np.uint8))), view)
    index.touch([1, 4, 6])
    assert index.frames == (0, 1)
