"""Clips: rough guidance, crops, and the link between two views of one object."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.training.samples import SampleConfig, View, clips, make_clip, make_view, rough_guidance
from napari_masktrack.training.scenes import Scene

SHAPE = (120, 160)
STILL = SampleConfig(size=96, empty=0, box=0, lobe=0, photometric=False)


def ellipse(cy=60, cx=80, ry=18, rx=30):
    y, x = np.indices(SHAPE)
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1


def scene(mask=None, **changes):
    mask = ellipse() if mask is None else mask
    image = np.where(mask[..., None], np.uint8(220), np.uint8(40)).repeat(3, axis=-1)
    return Scene(image, mask, np.ones_like(mask), **changes)


def rng(seed=0):
    return np.random.default_rng(seed)


def linked(clip, mask):
    """A mask of the first view as it appears in the second."""
    first = torch.from_numpy(mask.astype(np.float32))[None, None]
    grid = functional.affine_grid(torch.from_numpy(clip.link)[None], list(first.shape), align_corners=False)
    return functional.grid_sample(first, grid, align_corners=False)[0, 0].numpy() > 0.5


@pytest.mark.parametrize("size", [64, 96])
def test_a_clip_is_two_views_with_masks_and_a_link(size):
    clip = make_clip(scene(), rng(), SampleConfig(size=size))
    assert len(clip.views) == 2
    for view in clip.views:
        assert isinstance(view, View)
        assert view.image.shape == (size, size, 3)
        assert view.image.dtype == np.uint8
        for mask in (view.target, view.known, view.guidance):
            assert mask.shape == (size, size)
            assert mask.dtype == bool
        assert view.target.any()
    assert clip.link.shape == (2, 3)
    assert clip.link.dtype == np.float32


@pytest.mark.parametrize("seed", range(8))
def test_the_image_and_the_target_of_a_view_fit_each_other(seed):
    for view in make_clip(scene(), rng(seed), STILL).views:
        bright = view.image[..., 0] > 130
        assert region_similarity(bright & view.known, view.target) > 0.97


@pytest.mark.parametrize("seed", range(8))
def test_without_motion_the_link_maps_the_first_truth_onto_the_second(seed):
    clip = make_clip(scene(jump=0.0), rng(seed), STILL)
    first, second = clip.views
    moved = linked(clip, first.target)
    whole = linked(clip, np.ones_like(first.target))
    assert region_similarity(second.target & whole, moved) > 0.96


def test_with_motion_the_linked_mask_is_displaced_as_between_two_frames():
    overlaps = []
    for seed in range(40):
        first, second = (clip := make_clip(scene(), rng(seed), STILL)).views
        overlaps.append(region_similarity(second.target, linked(clip, first.target)))
    assert 0.6 < np.median(overlaps) < 0.95
    assert max(overlaps) < 1


def test_guidance_is_rough_but_means_the_object():
    masks = [rough_guidance(ellipse(), rng(seed), STILL, jump=1.0) for seed in range(60)]
    scores = [region_similarity(ellipse(), mask) for mask in masks]
    assert 0.6 < np.median(scores) < 0.95
    assert all((mask & ellipse()).any() for mask in masks)
    assert len({mask.tobytes() for mask in masks}) == 60


def test_shares_of_empty_and_box_guidance_are_kept():
    empty = SampleConfig(size=96, empty=1.0)
    assert not rough_guidance(ellipse(), rng(), empty, jump=1.0).any()
    boxes = SampleConfig(size=96, empty=0, box=1.0, lobe=0)
    for seed in range(5):
        y, x = np.nonzero(rough_guidance(ellipse(), rng(seed), boxes, jump=0.0))
        assert len(y) > 0.9 * (np.ptp(y) + 1) * (np.ptp(x) + 1), "filled, its corners perhaps rounded"
    share = [
        rough_guidance(ellipse(), rng(seed), SampleConfig(empty=0.3), jump=1.0).any() for seed in range(200)
    ]
    assert 0.6 < np.mean(share) < 0.8


def test_the_paper_s_guidance_is_moved_bent_and_always_widened():
    config = SampleConfig(size=96, paper=True, empty=1.0, box=1.0, rollout=False, photometric=False)
    growth, centres = [], []
    for seed in range(20):
        mask = rough_guidance(ellipse(), rng(seed), config, jump=1.0)
        growth.append(mask.sum() / ellipse().sum())
        centres.append(np.argwhere(mask).mean(axis=0) - np.argwhere(ellipse()).mean(axis=0))
    assert min(growth) > 1.1
    still = SampleConfig(size=96, paper=True, dilation=False, bend=False)
    assert (
        0.9
        < np.mean([rough_guidance(ellipse(), rng(s), still, jump=1.0).sum() for s in range(20)])
        / (ellipse().sum())
        < 1.1
    )
    assert np.abs(centres).max() > 2
    assert not make_clip(scene(), rng(1), config).rollout


def test_without_guidance_the_object_is_still_in_the_crop():
    config = SampleConfig(size=96, empty=1.0, photometric=False)
    for seed in range(20):
        first, _ = make_clip(scene(), rng(seed), config).views
        assert not first.guidance.any()
        assert first.target.any()


def test_outside_the_image_nothing_is_known():
    corner = ellipse(6, 6, 12, 12)
    first, _ = make_clip(scene(corner), rng(), STILL).views
    assert not first.known.all()
    assert not (first.target & ~first.known).any()
    whole = make_view(scene(), ellipse(), np.diag([0.5, 0.5, 1.0]), 60)
    assert whole.known.all()


def test_what_is_unknown_in_the_scene_is_unknown_in_the_views():
    strokes = Scene(scene().image, ellipse(ry=3), ellipse(ry=3) | ellipse(100, 80, 4, 60))
    for view in make_clip(strokes, rng(1), STILL).views:
        assert 0 < view.known.mean() < 0.6


def test_guidance_shows_where_the_object_was_and_the_target_where_it_is():
    gone = scene(np.zeros(SHAPE, bool), trace=ellipse())
    first, _ = make_clip(gone, rng(), STILL).views
    assert first.guidance.any()
    assert not first.target.any()


def test_views_are_not_written_into_the_scene_and_the_same_seed_gives_the_same_clip():
    one, other = scene(), scene()
    a, b = (make_clip(one, rng(7), SampleConfig(size=64)) for _ in range(2))
    assert np.array_equal(a.link, b.link)
    for first, second in zip(a.views, b.views, strict=True):
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.guidance, second.guidance)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.target, other.target)


def test_scenes_whose_object_is_hardly_there_are_passed_over():
    speck = np.zeros(SHAPE, bool)
    speck[5, 5:12] = True
    source = clips(iter([scene(speck), scene(), scene(speck)]), rng(), STILL)
    assert len(list(source)) == 1


@pytest.mark.parametrize("mask", [ellipse(60, 80, 1.2, 70), ellipse(119, 159, 3, 3), np.ones(SHAPE, bool)])
def test_thin_small_and_frame_filling_objects_make_clips(mask):
    for seed in range(5):
        for view in make_clip(scene(mask), rng(seed), SampleConfig(size=64)).views:
            assert view.image.shape == (64, 64, 3)


def test_the_reference_is_the_annotated_frame_and_not_the_one_dreamt_of_it():
    annotated = scene()
    dreamt = replace(annotated, image=np.zeros_like(annotated.image), origin=annotated)
    config = replace(STILL, reference=1.0)
    for seed in range(5):
        clip = make_clip(dreamt, rng(seed), config)
        assert clip.reference is not None
        assert clip.reference.image.any()
        assert not clip.views[0].image.any()
        assert clip.reference.target.any()
    assert make_clip(dreamt, rng(), STILL).reference is None


def test_guidance_may_stray_onto_another_object():
    other = np.zeros(SHAPE, bool)
    other[:40, :40] = True
    image = np.where(other[..., None], np.uint8(130), scene().image)
    beside = replace(scene(), image=image, other=other)

    def strayed(share):
        config = replace(STILL, stray=share, margin=(3.0, 3.0))
        views = [make_clip(beside, rng(seed), config).views[0] for seed in range(8)]
        return [bool((view.image[view.guidance] == 130).sum() > 50) for view in views]

    assert all(strayed(1.0))
    assert not any(strayed(0.0))
