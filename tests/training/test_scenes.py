"""What changes the look of a scene: light, noise, other objects, and whole dreams of other frames."""

from dataclasses import replace

import numpy as np
import pytest

from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.training import scenes
from napari_masktrack.training.dreams import Stage, dream, fill_hole, hide
from napari_masktrack.training.scenes import Scene

SHAPE = (90, 120)
OBJECT, GROUND = (230, 60, 60), (30, 70, 90)


def ellipse(cy=45, cx=60, ry=14, rx=20, shape=SHAPE):
    y, x = np.indices(shape)
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1


def scene(mask=None, colour=OBJECT, **changes):
    mask = ellipse() if mask is None else mask
    image = np.where(mask[..., None], np.array(colour), np.array(GROUND)).astype(np.uint8)
    return Scene(image, mask, np.ones_like(mask), **changes)


def rng(seed=0):
    return np.random.default_rng(seed)


def reddish(image):
    return image[..., 0].astype(int) > image[..., 2].astype(int) + 20


def test_a_large_image_is_cut_down_around_the_object():
    mask = ellipse(500, 800, 10, 20, shape=(1000, 1200))
    cut = scenes.surroundings(scene(mask))
    assert max(cut.target.shape) <= 5 * 40 + 1
    assert cut.target.sum() == mask.sum()
    assert cut.image.shape == (*cut.target.shape, 3)
    assert np.array_equal(reddish(cut.image), cut.target)
    assert cut.trace is None
    traced = scenes.surroundings(scene(np.zeros_like(mask), trace=mask))
    assert traced.trace.sum() == mask.sum()
    assert traced.trace.shape == traced.target.shape


def test_the_past_of_an_object_is_its_trace_or_else_where_it_is():
    assert scene().past is scene().target or np.array_equal(scene().past, ellipse())
    assert np.array_equal(replace(scene(), trace=ellipse(20)).past, ellipse(20))


def test_a_tone_curve_never_turns_dark_into_bright():
    for seed in range(20):
        curve = scenes.tone_curve(rng(seed))
        assert curve.shape == (256,)
        assert curve.dtype == np.uint8
        assert (np.diff(curve.astype(int)) >= 0).all()


def test_new_light_is_common_to_the_views_of_a_clip_and_keeps_shapes():
    images = [scene().image, scene().image]
    changed = 0
    for seed in range(20):
        lit = scenes.relight(images, rng(seed))
        assert [image.shape for image in lit] == [(*SHAPE, 3)] * 2
        assert all(image.dtype == np.uint8 and image.flags["C_CONTIGUOUS"] for image in lit)
        assert np.abs(np.median(lit[0], axis=(0, 1)) - np.median(lit[1], axis=(0, 1))).max() < 12
        changed += not np.array_equal(lit[0], images[0])
    assert changed == 20
    assert np.array_equal(images[0], scene().image)


@pytest.mark.parametrize("seed", range(6))
def test_blur_and_noise_keep_mean_and_size(seed):
    image = scene().image
    for spoilt in (scenes.blur(image, rng(seed)), scenes.add_noise(image, rng(seed))):
        assert spoilt.shape == image.shape
        assert spoilt.dtype == np.uint8
        assert np.abs(spoilt.mean(axis=(0, 1)) - image.mean(axis=(0, 1))).max() < 4


def test_another_object_lies_beside_and_never_counts_as_the_own_one():
    other = scene(ellipse(ry=18, rx=12), colour=(60, 230, 60))
    added = 0
    for seed in range(30):
        result = scenes.add_other(scene(), other, rng(seed))
        green = result.image[..., 1].astype(int) > result.image[..., 0].astype(int) + 60
        added += green.any()
        assert not (result.target & ~ellipse()).any()
        assert result.target.sum() >= 0.4 * ellipse().sum()
        assert (reddish(result.image) & result.target).sum() > 0.85 * result.target.sum()
        assert (green & result.target).sum() < 0.12 * result.target.sum()
    assert added > 25


def test_an_empty_or_tiny_other_object_changes_nothing():
    nothing = scene(np.zeros(SHAPE, bool))
    given = scene()
    assert scenes.add_other(given, nothing, rng()) is given


def test_a_hole_is_filled_from_its_surroundings():
    image = scene().image
    filled = fill_hole(image, ellipse())
    assert not reddish(filled).any()
    far = ~ellipse(ry=24, rx=30)
    assert np.array_equal(filled[far], image[far])
    everything = fill_hole(image, np.ones(SHAPE, bool))
    assert (everything == everything[0, 0]).all()


@pytest.mark.parametrize("seed", range(10))
def test_in_a_dream_the_mask_lies_where_the_object_was_put(seed):
    dreamt = dream(Stage.of(scene()), rng(seed))
    assert dreamt.image.shape == (*SHAPE, 3)
    assert dreamt.image.dtype == np.uint8
    assert dreamt.known.all()
    if dreamt.target.any():
        assert region_similarity(reddish(dreamt.image), dreamt.target) > 0.75


def test_dreams_move_hide_and_leave_out_the_object():
    dreams = [dream(Stage.of(scene()), rng(seed)) for seed in range(80)]
    gone = [d for d in dreams if not d.target.any()]
    hidden = [d for d in dreams if d.target.any() and d.past.sum() > d.target.sum()]
    moved = [d for d in dreams if d.target.any() and region_similarity(ellipse(), d.target) < 0.8]
    assert 0 < len(gone) < 30
    assert 0 < len(hidden) < 40
    assert len(moved) > 20
    assert all(d.past.any() for d in gone), "the guidance shows where it was"
    assert not any(reddish(d.image).mean() > 0.02 for d in gone)


def test_what_hides_an_object_takes_its_pixels():
    background = np.full((*SHAPE, 3), GROUND, np.uint8)
    covered = 0
    for seed in range(20):
        hidden = hide(scene(), background, rng(seed))
        assert not (hidden.target & ~ellipse()).any()
        assert np.array_equal(hidden.past, ellipse())
        assert not (reddish(hidden.image) & ~hidden.target).any()
        covered += hidden.target.sum() < ellipse().sum()
    assert covered > 10
