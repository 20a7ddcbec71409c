"""Post-processing: what is dropped, what is filled, and that nothing else changes."""

import numpy as np
import pytest

from napari_masktrack.core.postprocess import STEPS, fill_holes, keep_touching, remove_specks

SHAPE = (60, 80)


def area(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    image = np.zeros(SHAPE, bool)
    image[y0:y1, x0:x1] = True
    return image


@pytest.fixture(params=STEPS)
def step(request: pytest.FixtureRequest):
    return STEPS[request.param]


def test_every_step_leaves_its_input_alone_and_gives_a_fresh_mask(step):
    random = np.random.default_rng(0)
    mask, previous = random.random((2, *SHAPE)) < 0.4
    before = mask.copy(), previous.copy()
    cleaned = step(mask, previous)
    assert cleaned.dtype == bool
    assert cleaned.shape == SHAPE
    assert not np.shares_memory(cleaned, mask)
    assert (mask == before[0]).all()
    assert (previous == before[1]).all()


def test_every_step_keeps_a_clean_mask_as_it_is(step):
    mask = area(10, 10, 30, 40)
    assert (step(mask, area(12, 12, 32, 42)) == mask).all()


def test_every_step_takes_empty_and_full_masks(step):
    nothing, everything = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    for previous in (nothing, everything):
        assert not step(nothing, previous).any()
        assert step(everything, previous).all()


def test_every_step_gives_the_same_when_applied_twice(step):
    mask = area(5, 5, 25, 25) & ~area(8, 8, 10, 10) | area(40, 50, 55, 75) | area(30, 30, 31, 31)
    previous = area(5, 5, 20, 20)
    once = step(mask, previous)
    assert (once != mask).any()
    assert (step(once, previous) == once).all()


@pytest.mark.parametrize(("gap", "kept"), [(0, True), (4, True), (5, True), (6, False), (40, False)])
def test_a_part_is_kept_up_to_the_reach(gap, kept):
    previous, near = area(10, 0, 20, 10), area(10, 5, 20, 12)
    far = area(10, 9 + max(gap, 1), 20, 12 + max(gap, 1)) if gap else area(10, 9, 20, 14)
    assert (keep_touching(far, previous, reach=5).any()) == kept
    assert keep_touching(near, previous, reach=5).any()


def test_the_reach_is_round():
    previous = area(20, 20, 21, 21)
    assert keep_touching(area(23, 24, 24, 25), previous, reach=5).any()
    assert not keep_touching(area(24, 24, 25, 25), previous, reach=5).any()


def test_a_part_that_touches_at_one_end_is_kept_whole_and_the_others_go():
    previous, snake, stray = area(0, 0, 5, 5), area(4, 4, 6, 79), area(40, 40, 50, 50)
    assert (keep_touching(snake | stray, previous, reach=3) == snake).all()


def test_parts_that_meet_at_a_corner_are_one():
    mask = area(0, 0, 5, 5) | area(5, 5, 50, 50)
    assert (keep_touching(mask, area(0, 0, 2, 2), reach=0) == mask).all()


def test_nothing_is_dropped_when_there_was_no_mask_before():
    mask = area(0, 0, 5, 5) | area(40, 40, 50, 50)
    assert (keep_touching(mask, np.zeros(SHAPE, bool)) == mask).all()


def test_small_holes_are_filled_and_large_ones_stay():
    whole, small, large = area(10, 10, 50, 70), area(20, 20, 23, 23), area(30, 30, 48, 60)
    assert (fill_holes(whole & ~small & ~large, share=0.05) == (whole & ~large)).all()


def test_notches_and_gaps_at_the_border_are_no_holes():
    mask = np.ones(SHAPE, bool) & ~area(0, 20, 3, 23) & ~area(30, 77, 33, 80)
    assert (fill_holes(mask, share=1) == mask).all()


def test_a_hole_that_is_open_only_at_a_corner_is_closed():
    mask = area(10, 10, 30, 30) & ~area(20, 20, 22, 22)
    assert fill_holes(mask)[20:22, 20:22].all()
    ring = area(0, 0, 3, 3) & ~area(1, 1, 2, 2) & ~area(0, 0, 1, 1)
    assert fill_holes(ring, share=1)[1, 1]


def test_specks_go_and_parts_of_some_size_stay():
    large, medium, speck = area(10, 10, 30, 30), area(40, 40, 46, 46), area(55, 70, 57, 72)
    assert (remove_specks(large | medium | speck, share=0.05) == (large | medium)).all()


def test_the_largest_part_always_stays():
    mask = area(10, 10, 12, 12) | area(40, 40, 41, 41)
    assert (remove_specks(mask, share=1) == area(10, 10, 12, 12)).all()


def test_frames_that_are_no_contiguous_array_are_taken(step):
    stack = np.zeros((*SHAPE, 3), bool)
    stack[10:30, 10:40] = True
    assert (step(stack[..., 1], stack[..., 1]) == stack[..., 1]).all()
    assert (step(stack[..., 1].T, stack[..., 1].T) == stack[..., 1].T).all()
