"""The synthetic movie: what it promises to show, and that it is a pure function of its config."""

import pickle
import zlib

import numpy as np
import pytest

from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.errors import ConfigError, MovieError

SMALL = SyntheticConfig(frames=6, shape=(64, 96), objects=2)


@pytest.fixture(scope="module")
def movie():
    return synthetic_movie()


def areas(movie, label):
    return np.count_nonzero(movie.labels == label, axis=(1, 2))


def test_the_default_movie_has_forty_frames_of_four_cells(movie):
    assert movie.images.shape == movie.labels.shape == (40, 240, 320)
    assert (movie.images.dtype, movie.labels.dtype) == (np.uint8, np.uint16)
    assert np.unique(movie.labels[0]).tolist() == [0, 1, 2, 3, 4]


def test_whole_lazy_and_single_frames_agree(movie):
    assert np.array_equal(movie.images[7], movie.frame(7).image)
    assert np.array_equal(movie.labels[7], movie.lazy_labels[7])
    assert np.array_equal(movie.images[2:9:3, 10:50, 5], movie.lazy_images[2:9:3, 10:50, 5])
    assert np.array_equal(movie.images[-1, ..., 3:9], movie.lazy_images[-1, ..., 3:9])
    assert np.array_equal(movie.images[..., 0], movie.lazy_images[..., 0])
    assert movie.lazy_images[5:5].shape == (0, 240, 320)


def test_a_lazy_movie_is_an_array_like():
    lazy = synthetic_movie(SMALL).lazy_images
    assert (lazy.shape, lazy.ndim, lazy.dtype, len(lazy)) == ((6, 64, 96), 3, np.uint8, 6)
    assert np.asarray(lazy).shape == (6, 64, 96)
    assert sum(1 for _ in lazy) == 6
    assert np.array_equal(pickle.loads(pickle.dumps(lazy))[3], lazy[3])
    with pytest.raises(IndexError):
        lazy[6]


def test_a_late_frame_of_a_long_movie_costs_no_other_frame():
    config = SyntheticConfig(frames=1_000_000, shape=(64, 96))
    assert np.array_equal(
        synthetic_movie(config).frame(999_999).image, synthetic_movie(config).lazy_images[999_999]
    )


def test_the_same_config_gives_these_very_pixels_on_every_platform():
    image, labels = synthetic_movie(SyntheticConfig(shape=(64, 96))).frame(19)
    assert zlib.crc32(labels.astype("<u2").tobytes()) == 3497086417
    assert zlib.crc32(image.tobytes()) == 1740201165


@pytest.mark.parametrize(
    "field", [{"seed": 1}, {"noise": 0.1}, {"drift": 0.5}, {"period": 20}, {"deform": False}]
)
def test_every_setting_changes_the_pictures(field):
    other = SyntheticConfig(frames=6, shape=(64, 96), objects=2, **field)
    assert not np.array_equal(synthetic_movie(SMALL).images[3], synthetic_movie(other).images[3])


def test_crossing_cells_swap_sides_and_the_higher_id_stays_in_front(movie):
    def column(label, frame):
        return np.nonzero(movie.labels[frame] == label)[1].mean()

    assert column(1, 0) < column(2, 0)
    assert column(1, 39) > column(2, 39)
    behind, front = areas(movie, 1), areas(movie, 2)
    assert 0 < behind.min() < 0.6 * behind[0]
    assert front.min() > 0.9 * front[0]


def test_the_last_cell_leaves_and_comes_back(movie):
    seen = areas(movie, 4) > 0
    assert seen[0]
    assert seen[-1]
    assert 5 <= np.count_nonzero(~seen) <= 20


def test_events_can_be_switched_off():
    calm = synthetic_movie(SyntheticConfig(frames=40, shape=(120, 160), cross=False, leave=False))
    for label in (1, 2, 3, 4):
        assert areas(calm, label).min() > 0.8 * areas(calm, label).max()


def test_outlines_deform_and_keep_their_size(movie):
    area = areas(movie, 3)
    assert np.ptp(area) < 0.1 * area.mean()
    boxes = [np.ptp(np.argwhere(frame == 3), axis=0) for frame in movie.labels]
    shapes = [height / width for height, width in boxes]
    assert np.ptp(shapes) > 0.1


def test_cells_move_smoothly(movie):
    centres = np.array([np.argwhere(frame == 3).mean(axis=0) for frame in movie.labels])
    steps = np.hypot(*np.diff(centres, axis=0).T)
    assert 0 < steps.max() < 6


def test_the_texture_of_a_cell_moves_with_it_and_tells_it_from_the_one_it_crosses(movie):
    first, second = (movie.images[0][movie.labels[0] == label].astype(float) for label in (1, 2))
    assert abs(first.mean() - second.mean()) > 15
    background = movie.images[0][movie.labels[0] == 0].astype(float)
    assert first.std() > 1.5 * background.std()


def test_brightness_drifts_by_the_share_asked_for():
    def level(drift):
        movie = synthetic_movie(SyntheticConfig(frames=41, shape=(64, 96), drift=drift, noise=0))
        ground = (movie.labels[0] == 0) & (movie.labels[40] == 0)
        return movie.images[40][ground].mean() / movie.images[0][ground].mean()

    assert level(0.0) == pytest.approx(1.0, abs=0.02)
    assert level(0.5) == pytest.approx(0.5, abs=0.05)


def test_sixteen_bit_movies_look_like_a_twelve_bit_camera():
    image = synthetic_movie(SyntheticConfig(dtype="uint16")).frame(0).image
    assert image.dtype == np.uint16
    assert image.min() > 100
    assert 1500 < image.max() <= 4095


@pytest.mark.parametrize("shape", [(32, 32), (200, 40), (48, 300)])
@pytest.mark.parametrize("objects", [1, 2, 3, 7, 23])
def test_every_cell_is_in_the_first_frame_whatever_the_shape(shape, objects):
    config = SyntheticConfig(frames=3, shape=shape, objects=objects)
    assert set(np.unique(synthetic_movie(config).frame(0).labels)) >= set(range(1, objects + 1))


@pytest.mark.parametrize(
    "field", [{"frames": 0}, {"objects": 0}, {"shape": (16, 400)}, {"noise": -1.0}, {"dtype": "float32"}]
)
def test_settings_outside_their_limits_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        SyntheticConfig(**field)


@pytest.mark.parametrize("frame", [-1, 6])
def test_a_frame_outside_is_refused(frame):
    with pytest.raises(MovieError, match="frame from 0 to 5"):
        synthetic_movie(SMALL).frame(frame)
