"""What the dimensions of a layer are: proposed in words, refused in words."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_masktrack.errors import MovieError
from napari_masktrack.layers import LayerAxes, LayerMovie, guess_axes, movie_of


def image(shape, **options):
    return Image(np.zeros(shape, np.uint8), name="cells", **options)


@pytest.mark.parametrize(
    ("layer", "axes", "certain"),
    [
        (image((30, 20, 24)), LayerAxes(frame=0), True),
        (image((20, 24)), LayerAxes(frame=None), True),
        (image((1, 20, 24)), LayerAxes(frame=0), True),
        (image((1, 1, 20, 24)), LayerAxes(frame=0, planes={1: 0}), True),
        (image((30, 20, 24, 3), rgb=True), LayerAxes(frame=0, channel=3), True),
        (image((20, 24, 3), rgb=True), LayerAxes(frame=None, channel=2), True),
        (image((3, 20, 24)), LayerAxes(frame=0), False),
        (image((30, 2, 20, 24)), LayerAxes(frame=0, channel=1), False),
        (image((3, 30, 20, 24)), LayerAxes(frame=1, channel=0), False),
        (image((30, 1, 20, 24)), LayerAxes(frame=0, planes={1: 0}), True),
        (image((1, 30, 20, 24)), LayerAxes(frame=1, planes={0: 0}), True),
        (image((30, 12, 20, 24)), LayerAxes(frame=0, planes={1: 5}), False),
        (image((30, 12, 3, 20, 24)), LayerAxes(frame=0, channel=2, planes={1: 5}), False),
        (image((70, 57, 49, 3), rgb=False), LayerAxes(frame=0, channel=3), False),
        (image((57, 49, 3), rgb=False), LayerAxes(frame=None, channel=2), False),
        (image((3, 9, 20, 24), axis_labels=("c", "t", "y", "x")), LayerAxes(frame=1, channel=0), True),
        (image((20, 24, 9), axis_labels=("Y", "X", "Time")), LayerAxes(frame=2), True),
        (image((4, 20, 24), axis_labels=("z", "y", "x")), LayerAxes(frame=0), True),
        (image((9, 5, 20, 24), axis_labels=("t", "z", "y", "x")), LayerAxes(frame=0, planes={1: 2}), False),
        (image((1, 9, 20, 24), axis_labels=("t", "z", "y", "x")), LayerAxes(frame=1, planes={0: 0}), True),
    ],
    ids=lambda each: f"{each.data.shape}" if isinstance(each, Image) else "",
)
def test_the_axes_are_proposed_with_a_reason(layer, axes, certain):
    guess = guess_axes(layer)
    assert guess.axes == axes
    assert guess.certain == certain
    assert guess.reason.endswith(".")
    LayerMovie(layer, guess.axes)


@pytest.mark.parametrize(
    "axes",
    [
        LayerAxes(frame=0, channel=3, planes={1: 2}),
        LayerAxes(frame=3, channel=None, planes={0: 1, 1: 0}),
        LayerAxes(frame=None, planes={0: 1, 1: 2}),
        LayerAxes(frame=1, channel=0, planes={2: 4}),
    ],
    ids=str,
)
def test_axes_come_out_of_their_letters_as_they_went_in(axes):
    ndim = 4 + (axes.frame is not None and len(axes.planes) + (axes.channel is not None) > 1)
    again = LayerAxes.from_letters(axes.letters(ndim), axes.planes, ndim)
    assert again == axes
    assert hash(again) == hash(axes)


def test_letters_of_other_data_are_refused():
    with pytest.raises(MovieError, match="choose another image"):
        LayerAxes.from_letters("tcyx", {}, 2)


def test_time_and_depth_are_said_to_be_a_choice():
    reason = guess_axes(image((30, 12, 20, 24))).reason
    assert "Axis 0 with 30 entries is taken for time or depth" in reason
    assert "axis 1 with 12 is held at one plane" in reason
    assert "choose which" in reason


@pytest.mark.parametrize(
    ("layer", "axes", "said"),
    [
        (image((9, 12, 20, 24)), LayerAxes(frame=0), r"axis 1 \(12 entries\) is neither time or depth nor"),
        (image((9, 12, 20, 24)), LayerAxes(frame=0, planes={1: 12}), "choose a plane from 0 to 11"),
        (image((9, 20, 24)), LayerAxes(frame=3), "one meaning only"),
        (image((9, 20, 24)), LayerAxes(frame=0, channel=0), "one meaning only"),
        (image((9, 20, 24)), LayerAxes(frame=0, channel=1), "leave two of its axes"),
        (image((9, 20, 24, 3), rgb=True), LayerAxes(frame=0), "its channels are axis 3"),
        (image((9, 6, 20, 24)), LayerAxes(frame=0, channel=1), "has 6 channels; choose one to three"),
    ],
)
def test_axes_that_make_no_movie_are_refused(layer, axes, said):
    with pytest.raises(MovieError, match=said):
        LayerMovie(layer, axes)


def test_a_layer_of_labels_is_no_movie():
    with pytest.raises(MovieError, match="'nuclei' is a labels layer; choose an image layer"):
        guess_axes(Labels(np.zeros((3, 4, 5), np.uint8), name="nuclei"))


def test_six_dimensions_are_refused():
    with pytest.raises(MovieError, match="6 dimensions"):
        guess_axes(image((2, 2, 2, 2, 8, 8)))


def test_guessing_reads_no_pixel():
    class Unread:
        shape, ndim, dtype, size = (9, 20, 24), 3, np.dtype(np.uint8), 9 * 20 * 24

        def __getitem__(self, key):
            raise AssertionError("read")

    layer = Image(Unread(), contrast_limits=(0, 1), visible=False)
    assert guess_axes(layer).axes == LayerAxes(frame=0)
    LayerMovie(layer)


def test_a_movie_is_made_with_chosen_axes_channels_and_planes():
    data = np.random.default_rng(0).integers(0, 255, (5, 6, 4, 20, 24)).astype(np.uint8)
    layer = Image(data, name="cells")
    movie = movie_of(layer, frame_axis=1, channel_axis=2, planes={0: 3}, channels=2)
    assert (len(movie), movie.shape, movie.name) == (6, (20, 24), "cells (axis 0 at 3)")
    np.testing.assert_array_equal(movie.raw(4), np.moveaxis(data[3, 4], 0, -1))
    rgb = Image(data[0, :, 0, :, :, None].repeat(3, axis=-1), rgb=True)
    assert movie_of(rgb, frame_axis=0).raw(2).shape == (20, 24, 3)
