"""What is remembered of an object: where to look while it is in sight, and while it is lost."""

from itertools import pairwise

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.instances import Window
from napari_masktrack.core.region import Region
from napari_masktrack.core.track import DOUBT, SMALLEST, VANISHED, Track

SHAPE = (100, 200)
CONFIG = PropagationConfig()


def square(y, x, side=20):
    return Region((y, x, y + side, x + side), np.ones((side, side), bool))


def started(region):
    return Track.start(region, frame_shape=SHAPE, margin=CONFIG.margin)


def moved(steps, dx=4):
    """A track of a square that went right by `dx` pixels per frame."""
    track = started(square(40, 50))
    for step in range(1, steps + 1):
        region = square(40, 50 + dx * step)
        track = track.seen(region, track.look(CONFIG, SHAPE))
    return track


def test_in_sight_one_looks_around_the_object():
    window = started(square(40, 50)).look(CONFIG, SHAPE)
    assert (window.y, window.x) == (49.5, 59.5)
    assert window.side == CONFIG.margin * 20


def test_an_absent_object_is_looked_for_in_the_whole_frame():
    track = started(None)
    assert track.region is None
    y0, x0, y1, x1 = track.look(CONFIG, SHAPE).bounds(SHAPE)
    assert (y0, x0, y1, x1) == (0, 0, *SHAPE)


def test_a_lost_object_is_looked_for_where_it_went_in_a_window_that_grows():
    track = moved(5)
    sides, places = [], []
    for _ in range(40):
        window = track.look(CONFIG, SHAPE)
        sides.append(window.side)
        places.append(window.x)
        track = track.missed(window)
    assert track.lost == 40
    assert track.region is None
    assert sides[0] < sides[5] < sides[10]
    assert sides[-1] <= 1.2 * max(SHAPE)
    assert places[0] < places[1] < places[5] <= SHAPE[1] - 1, "its motion goes on"
    assert places[6] - places[5] < places[1] - places[0], "but ever slower"


def test_the_window_of_a_lost_object_stays_centred_within_the_frame():
    track = moved(25, dx=5)
    for _ in range(30):
        window = track.look(CONFIG, SHAPE)
        assert 0 <= window.y < SHAPE[0]
        assert 0 <= window.x < SHAPE[1]
        track = track.missed(window)


def test_an_object_that_is_found_again_is_no_longer_lost():
    track = moved(3)
    for _ in range(4):
        track = track.missed(track.look(CONFIG, SHAPE))
    assert track.lost == 4
    found = track.seen(square(10, 100), track.look(CONFIG, SHAPE))
    assert found.lost == 0
    assert found.region.box == (10, 100, 30, 120)
    assert found.velocity == (0.0, 0.0), "where it was in between is unknown"


def test_a_speck_is_no_object():
    track = started(square(40, 50))
    assert not track.is_object(None)
    assert not track.is_object(Region((0, 0, 1, SMALLEST - 1), np.ones((1, SMALLEST - 1), bool)))
    assert not track.is_object(Region((0, 0, 1, 8), np.ones((1, 8), bool))), (
        f"8 of 400 px is below {VANISHED}"
    )
    assert track.is_object(square(0, 0, side=10))


def test_an_object_is_in_doubt_while_little_of_it_is_left_and_for_a_while_after():
    track = started(square(40, 50))
    assert not track.in_doubt
    window = track.look(CONFIG, SHAPE)
    track = track.seen(square(40, 50, side=8), window)
    states = []
    for _ in range(2 * DOUBT):
        states.append(track.in_doubt)
        track = track.seen(square(40, 50, side=15), window)
    assert states == [True] * DOUBT + [False] * DOUBT
    assert not started(None).in_doubt


def test_what_stays_small_is_no_longer_in_doubt_once_that_is_usual():
    track = started(square(40, 50))
    for _ in range(60):
        track = track.seen(square(40, 50, side=8), track.look(CONFIG, SHAPE))
    assert not track.in_doubt


def test_the_usual_area_follows_slowly_and_an_absent_object_takes_its_first_one():
    track = started(square(40, 50))
    grown = track.seen(square(40, 50, side=40), track.look(CONFIG, SHAPE))
    assert 400 < grown.area < 1000
    absent = started(None)
    assert absent.seen(square(5, 5), absent.look(CONFIG, SHAPE)).area == 400


def test_the_window_stays_wide_for_a_while_when_something_hides_half_of_the_object():
    whole, half = square(40, 50), square(40, 50, 10)
    track = started(whole)
    wide = track.look(CONFIG, SHAPE).side
    sides = []
    for _ in range(40):
        track = track.seen(half, track.look(CONFIG, SHAPE))
        sides.append(track.look(CONFIG, SHAPE).side)
    assert sides[0] > 0.9 * wide
    assert all(a >= b for a, b in pairwise(sides))
    assert sides[-1] == pytest.approx(max(24.0, CONFIG.margin * half.longer_side))


def test_an_object_that_was_found_again_is_looked_at_closely_at_once():
    track = started(square(40, 50))
    track = track.missed(Window(50.0, 60.0, 120.0))
    track = track.seen(square(40, 50, 8), Window(50.0, 60.0, 120.0))
    assert track.look(CONFIG, SHAPE).side == pytest.approx(max(24.0, CONFIG.margin * 8))
