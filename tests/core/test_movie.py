"""What a movie shows of arrays of every kind, and what it refuses."""

import subprocess
import sys
import warnings

import dask.array
import numpy as np
import pytest
import zarr

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import MovieError

RANDOM = np.random.default_rng(0)
FRAMES, HEIGHT, WIDTH = 5, 12, 17
STACK = RANDOM.integers(0, 4000, (FRAMES, HEIGHT, WIDTH)).astype(np.uint16)
CHANNELS = RANDOM.integers(0, 4000, (FRAMES, 2, HEIGHT, WIDTH)).astype(np.uint16)
COLOUR = RANDOM.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)

TYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    ">u2",
    "int16",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
]


class Counting:
    """An array that counts what is read of it."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.keys = data, data.shape, data.dtype, []

    def __getitem__(self, key):
        self.keys.append(key)
        return self.data[key]


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_becomes_three_equal_planes_of_8_bits(dtype):
    data = (STACK > 2000).astype(dtype) if dtype == "bool" else (STACK // 40).astype(dtype)
    image = Movie(data).image(1)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.owndata
    assert (image == image[..., :1]).all()
    order = np.argsort(data[1].ravel(), kind="stable")
    assert (np.diff(image[..., 0].ravel()[order].astype(int)) >= 0).all()
    assert np.ptp(image) > 200


@pytest.mark.parametrize("wrap", [np.asarray, dask.array.from_array, zarr.array])
def test_numpy_dask_and_zarr_show_the_same(wrap):
    movie = Movie(wrap(STACK))
    assert len(movie) == FRAMES
    assert movie.shape == (HEIGHT, WIDTH)
    assert movie.dtype == np.uint16
    np.testing.assert_array_equal(movie.raw(3), STACK[3])
    np.testing.assert_array_equal(movie.image(3), Movie(STACK).image(3))


def test_signed_values_keep_their_order():
    data = np.linspace(-3000, 3000, 2 * 40 * 50).reshape(2, 40, 50).astype(np.int16)
    image = Movie(data).image(0)[..., 0].astype(int)
    assert (np.diff(image.ravel()) >= 0).all()
    assert image[0, 0] == 0


def test_8_bit_colour_is_taken_as_it_is():
    np.testing.assert_array_equal(Movie(COLOUR, axes="tyxc").image(2), COLOUR[2])


def test_the_image_is_never_the_callers_array():
    data = COLOUR.copy()
    Movie(data, axes="tyxc").image(0)[:] = 0
    np.testing.assert_array_equal(data, COLOUR)


def test_alpha_is_left_out():
    alpha = np.full((*COLOUR.shape[:3], 1), 7, np.uint8)
    np.testing.assert_array_equal(Movie(np.concatenate([COLOUR, alpha], -1), axes="tyxc").image(2), COLOUR[2])


def test_deep_colour_shares_one_scale():
    deep = COLOUR.astype(np.uint16) * 16
    deep[..., 2] = 0
    image = Movie(deep, axes="tyxc").image(0)
    assert (image[..., 2] == image[..., 2].min()).all()
    assert abs(image[..., :2].astype(int) - COLOUR[0, ..., :2]).max() <= 4


def test_brightness_is_scaled_over_the_movie_not_per_frame():
    data = np.stack([STACK[0] // 4, STACK[0]])
    movie = Movie(data)
    assert movie.image(0).mean() < 0.5 * movie.image(1).mean()


def test_a_few_bright_pixels_do_not_make_16_bits_black():
    data = STACK.copy()
    data[0, 0, 0] = 65535
    assert Movie(np.tile(data, (1, 4, 4))).image(1).mean() > 80


def test_few_bright_objects_on_an_even_ground_are_seen():
    data = np.full((3, 100, 100), 100, np.uint16)
    data[:, 50, 50:52] = 300
    image = Movie(data).image(1)
    assert image[50, 50, 0] == 255
    assert image[0, 0, 0] == 0


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_a_constant_movie_is_mid_grey_without_warnings(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Movie(np.full((2, 8, 9), 3, dtype)).image(0)
    assert (image == 128).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_become_zero_and_leave_the_rest_alone(dtype, hole):
    whole = (STACK / 4000).astype(dtype)
    holed = whole.copy()
    holed[2, 3:5] = hole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Movie(holed).image(2)
    assert (image[3:5] == 0).all()
    assert abs(image[6:].astype(int) - Movie(whole).image(2)[6:]).max() <= 8


@pytest.mark.parametrize("value", [np.nan, 1e300, -1e300, 5e-324])
def test_strange_numbers_do_not_warn(value):
    data = np.zeros((2, 8, 9))
    data[0] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Movie(data).image(0).shape == (8, 9, 3)
        assert Movie(np.full((1, 8, 9), np.nan)).image(0).max() == 0


def test_bool_becomes_black_and_white():
    image = Movie(STACK > 2000).image(0)
    np.testing.assert_array_equal(image[..., 1], np.where(STACK[0] > 2000, 255, 0))


@pytest.mark.parametrize("axes", ["tyx", "zyx", "ytx", "xyt", "yxz", "TYX"])
def test_frames_lie_along_time_or_depth_wherever_it_stands(axes):
    data = STACK.transpose(["tyx".index(axis) for axis in axes.lower().replace("z", "t")])
    movie = Movie(data, axes=axes)
    assert len(movie) == FRAMES
    np.testing.assert_array_equal(movie.raw(4), STACK[4])


@pytest.mark.parametrize("axes", ["tcyx", "ctyx", "tyxc"])
def test_channels_come_last_wherever_they_stood(axes):
    data = CHANNELS.transpose(["tcyx".index(axis) for axis in axes])
    movie = Movie(data, axes=axes)
    np.testing.assert_array_equal(movie.raw(1), np.moveaxis(CHANNELS[1], 0, -1))


def test_one_channel_is_shown_in_grey_and_alone_is_read():
    data = Counting(CHANNELS)
    movie = Movie(data, axes="tcyx", channels=1)
    np.testing.assert_array_equal(movie.image(0), Movie(CHANNELS[:, 1]).image(0))
    assert {key[1] for key in data.keys} == {1}


def test_of_two_channels_the_third_plane_is_the_mean():
    image = Movie(CHANNELS, axes="tcyx", channels=(1, 0)).image(0).astype(int)
    for plane, channel in enumerate((1, 0)):
        np.testing.assert_array_equal(image[..., plane], Movie(CHANNELS[:, channel]).image(0)[..., 0])
    np.testing.assert_array_equal(image[..., 2], (image[..., 0] + image[..., 1]) // 2)


def test_each_channel_has_its_own_scale():
    data = CHANNELS * np.array([1, 16], np.uint16)[:, None, None]
    assert abs(np.subtract(*(Movie(data, axes="tcyx", channels=i).image(0).mean() for i in (0, 1)))) < 20


def test_three_channels_are_red_green_and_blue():
    np.testing.assert_array_equal(
        Movie(COLOUR, axes="tyxc", channels=(2, 1, 0)).image(0), COLOUR[0][..., ::-1]
    )


def test_only_the_frame_that_is_asked_for_is_read():
    data = Counting(COLOUR)
    movie = Movie(data, axes="tyxc")
    movie.image(0)  # looks whether the colours are colours
    data.keys.clear()
    movie.image(3)
    assert data.keys == [(3, slice(None), slice(None), slice(None))]


def test_a_dark_grey_movie_stored_as_colour_is_scaled_like_a_grey_one():
    grey = np.random.default_rng(0).integers(0, 40, (4, 16, 16), np.uint8)
    stored = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(Movie(stored, axes="tyxc").image(2), Movie(grey).image(2))


def test_intensities_come_from_a_dozen_frames_of_a_long_movie():
    data = Counting(np.zeros((500, 4, 4), np.uint16))
    movie = Movie(data)
    for frame in range(3):
        movie.image(frame)
    assert len(data.keys) <= 12 + 3


def test_a_movie_of_one_frame_works():
    movie = Movie(STACK[:1])
    assert len(movie) == 1
    assert movie.image(0).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("frame", [-1, FRAMES, 10**6])
@pytest.mark.parametrize("read", [Movie.raw, Movie.image])
def test_a_frame_outside_is_refused(read, frame):
    with pytest.raises(MovieError, match=rf"Frame {frame} is outside 'cells', which has 5 .* 0 to 4"):
        read(Movie(STACK, name="cells"), frame)


@pytest.mark.parametrize(
    ("data", "axes", "channels", "said"),
    [
        (STACK, "yx", None, "one letter per dimension"),
        (STACK, "cyx", None, "name y, x and the axis along"),
        (STACK, "tyy", None, "at most once"),
        (STACK, "qyx", None, "no other letter"),
        (CHANNELS, "tzyx", None, "choose one plane"),
        (STACK[:0], "tyx", None, "nothing in it"),
        (STACK.astype(complex), "tyx", None, "complex128"),
        (STACK.astype(str), "tyx", None, "bool, integer or float"),
        ([STACK, STACK[:, ::2]], "tyx", None, "full-resolution"),
        (STACK, "tyx", 0, "no axis of channels"),
        (CHANNELS, "tcyx", 2, "from 0 to 1"),
        (CHANNELS, "tcyx", -1, "from 0 to 1"),
        (CHANNELS, "tcyx", (), "one to three"),
        (CHANNELS, "tcyx", (0, 1, 0, 1), "one to three"),
        (np.zeros((2, 5, 8, 8)), "tcyx", None, "5 channels; choose"),
        (np.zeros((2, 4, 8, 8)), "tcyx", None, "4 channels; choose"),
    ],
)
def test_what_is_no_movie_is_refused_in_one_line(data, axes, channels, said):
    with pytest.raises(MovieError, match=said) as error:
        Movie(data, axes=axes, channels=channels, name="odd\nname")
    assert "\n" not in str(error.value)


def test_a_failure_behind_the_array_names_the_frame_and_is_ours():
    class Broken(Counting):
        def __getitem__(self, key):
            raise RuntimeError("codec failed\nbadly")

    with pytest.raises(MovieError, match=r"Frame 2 of 'cells' cannot be read \(codec failed badly\)"):
        Movie(Broken(STACK), name="cells").image(2)


def test_the_same_frames_have_the_same_fingerprint_however_they_are_stored():
    prints = {
        Movie(STACK).fingerprint(),
        Movie(STACK.astype(">u2"), name="other").fingerprint(),
        Movie(zarr.array(STACK.transpose(1, 2, 0)), axes="yxt").fingerprint(),
        Movie(dask.array.from_array(STACK), axes="zyx").fingerprint(),
    }
    assert len(prints) == 1
    assert len(prints.pop()) == 64


@pytest.mark.parametrize(
    "other", [STACK[:-1], STACK[:, ::-1], STACK.astype(np.int16), STACK.reshape(FRAMES, WIDTH, HEIGHT)]
)
def test_another_movie_has_another_fingerprint(other):
    assert Movie(other).fingerprint() != Movie(STACK).fingerprint()


def test_importing_it_loads_no_library_for_files_or_images():
    code = (
        "import sys, napari_masktrack.core.movie;"
        "print(sorted({'cv2', 'tifffile', 'zarr', 'dask', 'scipy', 'skimage', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
