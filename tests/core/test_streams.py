"""The second stream sees motion, rides along with the image, and is averaged in."""

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Annotations, Mask
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.streams import MotionMovie, TwoStreamMovie, TwoStreams
from napari_masktrack.errors import InputError, MovieError
from napari_masktrack.propagation import propagate

SHAPE = (96, 128)
FRAMES = 5


def square(frame):
    mask = np.zeros(SHAPE, bool)
    mask[30:58, 30 + 4 * frame : 58 + 4 * frame] = True
    return mask


class Frames:
    """Colour noise in which a square of the same noise moves; counts what is read."""

    def __init__(self, frames=FRAMES):
        noise = np.random.default_rng(0).integers(0, 256, (2, SHAPE[0] // 4, SHAPE[1] // 4, 3), np.uint8)
        ground, thing = noise.repeat(4, axis=1).repeat(4, axis=2)
        self.stack = np.stack(
            [np.where(square(t)[..., None], np.roll(thing, 4 * t, 1), ground) for t in range(frames)]
        )
        self.shape, self.dtype, self.ndim = self.stack.shape, self.stack.dtype, 4
        self.read = []

    def __getitem__(self, key):
        self.read.append(key[0])
        return self.stack[key]


def movie():
    return Movie(Frames(), axes="tyxc", name="square")


def test_what_moves_is_bright():
    source = movie()
    motion = MotionMovie(source)
    assert (len(motion), motion.shape, motion.name) == (len(source), SHAPE, "square")
    for frame in range(FRAMES):
        image = motion.image(frame)
        assert image.dtype == np.uint8
        assert image.shape == (*SHAPE, 3)
        assert (image == image[..., :1]).all()
        assert np.median(image[square(frame)]) > 120
        assert np.median(image[~square(frame)]) < 30
    assert np.array_equal(motion.raw(2), source.raw(2))


def test_motion_rides_along_as_a_fourth_plane():
    source = movie()
    both = TwoStreamMovie(source)
    for frame in (0, 2, FRAMES - 1):
        image = both.image(frame)
        assert np.array_equal(image[..., :3], source.image(frame))
        assert np.array_equal(image[..., 3:], MotionMovie(source).image(frame)[..., :1])


def test_frames_are_read_once_in_both_directions():
    source = movie()
    both = TwoStreamMovie(source)
    source.image(0)
    source.data.read.clear()
    for frames in (range(FRAMES), range(FRAMES - 1, -1, -1)):
        for frame in frames:
            both.image(frame)
        assert len(source.data.read) <= FRAMES
        source.data.read.clear()


def test_a_single_frame_does_not_move():
    assert not MotionMovie(Movie(Frames(1), axes="tyxc")).image(0).any()


def test_large_frames_are_no_problem():
    stack = np.zeros((2, 40, 2100), np.uint8)
    stack[0, 10:30, 100:400], stack[1, 10:30, 110:410] = 255, 255
    image = TwoStreamMovie(Movie(stack)).image(1)
    assert image.shape == (40, 2100, 4)
    assert image[..., 3].max() > 200


def test_frames_outside_the_movie_are_refused():
    for frame in (-1, FRAMES):
        with pytest.raises(MovieError, match="outside"):
            TwoStreamMovie(movie()).image(frame)


def test_both_answers_are_averaged():
    calls = []

    def answer(value):
        def segment(images, guidance):
            calls.append(images)
            return np.full(guidance.shape, value, np.float32)

        return segment

    crops = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), np.uint8)
    guidance = np.zeros((2, 8, 8), bool)
    mean = TwoStreams(answer(0.2), answer(0.7))(crops, guidance)
    assert mean.dtype == np.float32
    assert mean == pytest.approx(0.45)
    assert np.array_equal(calls[0], crops[..., :3])
    assert np.array_equal(calls[1], crops[..., [3, 3, 3]])
    assert all(images.flags.c_contiguous for images in calls)


def test_without_a_second_segmenter_the_first_sees_the_motion_too():
    seen = TwoStreams(lambda images, guidance: images[..., 0] / np.float32(255))
    crops = np.zeros((1, 4, 4, 4), np.uint8)
    crops[..., 3] = 255
    assert seen(crops, np.zeros((1, 4, 4), bool)) == pytest.approx(0.5)


def test_images_without_motion_are_refused():
    with pytest.raises(InputError, match="TwoStreamMovie"):
        TwoStreams(lambda images, guidance: guidance)(
            np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), bool)
        )


def test_an_object_that_only_its_motion_shows_is_carried_through_the_movie():
    both = TwoStreamMovie(movie())
    segment = TwoStreams(
        lambda images, guidance: np.full(guidance.shape, 0.4, np.float32),
        lambda images, guidance: np.where(images[..., 0] > 80, np.float32(0.9), np.float32(0.1)),
    )
    config = PropagationConfig(crop_size=96)
    annotations = Annotations([Mask(2, 1, square(2))])
    results = {result.frame: result.labels for result in propagate(both, annotations, segment, config)}
    assert sorted(results) == list(range(FRAMES))
    for frame, labels in results.items():
        common, union = ((labels == 1) & square(frame)).sum(), ((labels == 1) | square(frame)).sum()
        assert common / union > 0.6
