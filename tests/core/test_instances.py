"""Crop, paste back, and who owns which pixel."""

import numpy as np
import pytest

from napari_masktrack.core.instances import (
    Window,
    bounding_box,
    crop_image,
    crop_mask,
    merge,
    paste,
    window_around,
)
from napari_masktrack.core.metrics import region_similarity

SHAPE = (48, 64)


def disc(cy=20.0, cx=30.0, radius=9.0, shape=SHAPE):
    y, x = np.indices(shape)
    return (y - cy) ** 2 + (x - cx) ** 2 < radius**2


def ramp(shape=SHAPE):
    """An image that tells its own coordinates: red is 3 y, green 3 x."""
    y, x = np.indices(shape)
    return np.stack([3 * y, 3 * x, 0 * x], axis=-1).astype(np.uint8)


def test_the_bounding_box_ends_behind_the_last_pixel():
    mask = np.zeros(SHAPE, bool)
    assert bounding_box(mask) is None
    mask[3, 7] = mask[10, 5] = True
    assert bounding_box(mask) == (3, 5, 11, 8)
    assert bounding_box(np.ones(SHAPE, bool)) == (0, 0, *SHAPE)


def test_the_window_is_a_square_about_the_centre_of_the_box():
    assert window_around((10, 20, 50, 40), margin=1.5) == Window(29.5, 29.5, 60.0)
    assert window_around((10, 20, 11, 21), margin=1.5).side == 24, "a speck keeps some surroundings"


def test_a_window_of_whole_pixels_cuts_the_very_pixels():
    crop = crop_image(ramp(), Window(19.5, 29.5, 20.0), 20)
    assert np.array_equal(crop, ramp()[10:30, 20:40])
    assert np.array_equal(crop_mask(disc(), Window(19.5, 29.5, 20.0), 20), disc()[10:30, 20:40])


@pytest.mark.parametrize("size", [40, 31, 20, 16, 10])
def test_enlarging_and_reducing_keep_the_place(size):
    crop = crop_image(ramp(), Window(19.5, 29.5, 20.0), size)[..., :2].astype(float)
    places = (np.arange(size) - (size - 1) / 2) * 20 / size
    assert np.abs(crop[:, 0, 0] - 3 * (19.5 + places)).max() < 1.01, "rounded to whole grey levels"
    assert np.abs(crop[0, :, 1] - 3 * (29.5 + places)).max() < 1.01


def test_outside_the_frame_the_edge_is_repeated_and_no_object_is_there():
    window = Window(0.0, 0.0, 24.0)
    assert np.array_equal(crop_image(ramp(), window, 24)[:12, :12], np.zeros((12, 12, 3)))
    assert not crop_mask(np.ones(SHAPE, bool), window, 24)[:11, :11].any()
    far = Window(-200.0, -300.0, 24.0)
    assert crop_image(ramp(), far, 32).shape == (32, 32, 3)
    values, box = paste(np.ones((32, 32), np.float32), far, SHAPE)
    assert values.size == 0
    assert box == (0, 0, 0, 0)


def test_a_wide_window_is_reduced_without_aliasing():
    stripes = np.zeros((200, 300, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = crop_image(stripes, Window(99.5, 149.5, 180.0), 60)
    assert crop.min() > 60
    assert crop.max() < 140
    wide = ramp((80, 80))
    whole = crop_image(wide, Window(39.5, 39.5, 80.0), 20)[2:-2, 2:-2, 1].astype(float)
    assert whole[0] == pytest.approx(3 * (4 * np.arange(2, 18) + 1.5), abs=1.5)


@pytest.mark.parametrize("size", [24, 64, 97, 160])
@pytest.mark.parametrize(
    "window", [Window(20, 30, 32.0), Window(18.3, 31.7, 40.5), Window(2, 62, 28.0), Window(24, 32, 90.0)]
)
def test_crop_and_paste_are_a_round_trip(window, size):
    mask = disc() | disc(3, 60, 6)
    values, (y0, x0, y1, x1) = paste(crop_mask(mask, window, size).astype(np.float32), window, SHAPE)
    assert values.shape == (y1 - y0, x1 - x0)
    assert values.dtype == np.float32
    inner = Window(window.y, window.x, window.side - 4).bounds(SHAPE)
    back = np.zeros(SHAPE, bool)
    back[y0:y1, x0:x1] = values > 0.5
    seen = np.s_[inner[0] : inner[2] - 1, inner[1] : inner[3] - 1]
    assert region_similarity(mask[seen], back[seen]) > (0.93 if size >= window.side else 0.75)


def test_copying_a_mask_through_many_crops_does_not_move_it():
    mask = disc(20, 30, 9)
    start = np.argwhere(mask).mean(axis=0)
    for _ in range(30):
        window = window_around(bounding_box(mask), margin=1.6)
        values, (y0, x0, y1, x1) = paste(crop_mask(mask, window, 64).astype(np.float32), window, SHAPE)
        mask = np.zeros(SHAPE, bool)
        mask[y0:y1, x0:x1] = values > 0.5
    assert np.abs(np.argwhere(mask).mean(axis=0) - start).max() < 0.3
    assert region_similarity(disc(20, 30, 9), mask) > 0.9


def test_a_lost_objects_window_grows_to_a_limit():
    window = Window(5, 5, 40.0)
    assert window.grown(0.25, SHAPE).side == 50
    assert window.grown(9.0, SHAPE).side == pytest.approx(1.2 * 64)


def piece(value, box, shape=SHAPE):
    y0, x0, y1, x1 = box
    return np.full((y1 - y0, x1 - x0), value, np.float32), box


def test_the_most_probable_object_owns_a_pixel():
    pieces = {
        300: piece(0.7, (0, 0, 10, 10)),
        65535: piece(0.9, (5, 5, 15, 15)),
        7: piece(0.4, (20, 20, 30, 30)),
    }
    labels = merge(pieces, SHAPE)
    assert labels.dtype == np.uint16
    assert labels.shape == SHAPE
    assert labels[2, 2] == 300
    assert labels[7, 7] == 65535
    assert set(np.unique(labels)) == {0, 300, 65535}, (
        "what is less probable than the background is background"
    )


def test_the_order_of_objects_matters_only_between_equals():
    rng = np.random.default_rng(0)
    pieces = [(n, rng.random(SHAPE, np.float32), (0, 0, *SHAPE)) for n in (1, 2, 300)]
    assert np.array_equal(merge(pieces, SHAPE), merge(pieces[::-1], SHAPE))
    winner = np.argmax([values for _, values, _ in pieces], axis=0)
    expected = np.where(np.max([v for _, v, _ in pieces], axis=0) > 0.5, np.array([1, 2, 300])[winner], 0)
    assert np.array_equal(merge(pieces, SHAPE), expected)
    equals = [(4, *piece(0.8, (0, 0, 9, 9))), (3, *piece(0.8, (0, 0, 9, 9)))]
    assert merge(equals, SHAPE)[0, 0] == 4


def test_the_background_may_count_more_and_nothing_gives_nothing():
    assert not merge({1: piece(0.8, (0, 0, 9, 9))}, SHAPE, background=0.8).any()
    assert not merge({}, SHAPE).any()
    assert not merge({1: (np.zeros((0, 0), np.float32), (0, 0, 0, 0))}, SHAPE).any()
