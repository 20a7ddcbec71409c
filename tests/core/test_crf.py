"""The fully connected CRF: near the brute-force one, quick, and it changes only what is in doubt."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt, gaussian_filter

from napari_masktrack.core import lattice
from napari_masktrack.core.crf import FEW_POINTS, CrfConfig, fast_crf, mean_field, sharpen
from napari_masktrack.core.crf_search import SEARCHED, Example, search, similarity, suits
from napari_masktrack.core.lattice import Lattice
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.errors import ConfigError, InputError, MaskTrackWarning

MEAN_ERROR = 0.01
"""Tolerance against brute force on a tiny window: mean difference of the probabilities."""
SHAPE = (60, 80)


def brute_force(images, probabilities, config):
    """Mean field over every pair of pixels, in double precision."""
    frames, height, width = probabilities.shape
    t, y, x = (axis.ravel() for axis in np.indices((frames, height, width), float))
    colour = images.reshape(-1, 3).astype(float)
    near = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2 + (t[:, None] - t) ** 2) / config.distance**2
    alike = ((colour[:, None] - colour) ** 2).sum(axis=-1) / config.colour**2
    beside = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / config.radius**2
    total = np.zeros(near.shape)
    for weight, kernel in (
        (config.appearance, np.exp(-0.5 * (near + alike))),
        (config.smoothness, np.exp(-0.5 * beside) * (t[:, None] == t)),
    ):
        total += weight * kernel / np.sqrt(kernel.sum(axis=0) * kernel.sum(axis=1)[:, None])
    object_, ground = probabilities.ravel().astype(float), 1 - probabilities.ravel().astype(float)
    costs = -np.log(np.clip(object_, 1e-4, 1)), -np.log(np.clip(ground, 1e-4, 1))
    for _ in range(config.iterations):
        score_object, score_ground = -costs[0] - total @ ground, -costs[1] - total @ object_
        top = np.maximum(score_object, score_ground)
        a, b = np.exp(score_object - top), np.exp(score_ground - top)
        object_, ground = a / (a + b), b / (a + b)
    return object_.reshape(probabilities.shape)


def tiny(seed, *, noise=6.0):
    """Three frames of 8 x 8: two colours with noise, and probabilities that are often wrong."""
    rng = np.random.default_rng(seed)
    truth = np.stack([np.indices((8, 8))[1] >= 3 + shift for shift in (0, 1, 1)])
    colours = rng.integers(60, 200, (2, 3))
    images = colours[truth.astype(int)] + rng.normal(0, noise, (3, 8, 8, 3))
    probabilities = np.clip(np.where(truth, 0.62, 0.38) + rng.normal(0, 0.15, truth.shape), 0.02, 0.98)
    return np.clip(images, 0, 255).astype(np.uint8), probabilities.astype(np.float32), truth


def disc(y=30, x=40, radius=18):
    rows, columns = np.indices(SHAPE)
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def scene(*, seed=0, bumps=4.0):
    """Three frames of a textured disc, and smooth probabilities whose outline is wrong by a few pixels."""
    rng = np.random.default_rng(seed)
    images, patches = [], []
    for shift in (-1, 0, 1):
        mask = disc(x=40 + shift)
        paint = np.where(mask[..., None], (180, 90, 60), (70, 110, 120)) + rng.normal(0, 5, (*SHAPE, 3))
        images.append(np.clip(paint, 0, 255).astype(np.uint8))
        noise = gaussian_filter(rng.normal(size=SHAPE), 4)
        rows, columns = np.indices(SHAPE)
        depth = 18 - np.hypot(rows - 30, columns - 40 - shift) + bumps * noise / noise.std()
        patches.append(((1 / (1 + np.exp(-depth / 2))).astype(np.float32), (0, 0, *SHAPE)))
    return images, patches


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("config", "noise"),
    [
        (CrfConfig(), 6.0),
        (CrfConfig(appearance=1), 12.0),
        (CrfConfig(appearance=2, smoothness=0), 6.0),
        (CrfConfig(appearance=1, colour=25, distance=3, smoothness=2), 12.0),
    ],
)
def test_mean_field_is_near_the_brute_force_one(seed, config, noise):
    images, probabilities, _ = tiny(seed, noise=noise)
    exact = brute_force(images, probabilities, config)
    assert np.abs(exact - probabilities).mean() > 10 * MEAN_ERROR, "there is something to get right"
    inferred = mean_field(images, probabilities, config)
    assert inferred.dtype == np.float32
    assert np.abs(inferred - exact).mean() < MEAN_ERROR
    assert ((inferred > 0.5) != (exact > 0.5)).mean() <= 0.01


def test_the_smoothness_kernel_is_exact():
    images, probabilities, _ = tiny(0)
    config = CrfConfig(appearance=0, radius=1.5, smoothness=3)
    exact = brute_force(images, probabilities, config)
    assert mean_field(images, probabilities, config) == pytest.approx(exact, abs=1e-3)


def test_noise_at_strong_colour_edges_is_cleaned():
    images, probabilities, truth = tiny(3)
    inferred = mean_field(images, probabilities, CrfConfig())
    for frame in range(3):
        assert region_similarity(truth[frame], probabilities[frame] > 0.5) < 0.9
        assert region_similarity(truth[frame], inferred[frame] > 0.5) > 0.97


def test_only_active_pixels_take_part():
    images, probabilities, _ = tiny(0)
    active = np.zeros((8, 8), bool)
    active[2:6] = True
    inferred = mean_field(images, probabilities, CrfConfig(), active=active)
    assert np.array_equal(inferred[:, ~active], probabilities[:, ~active])
    alone = mean_field(images[:, 2:6], probabilities[:, 2:6], CrfConfig())
    assert inferred[:, 2:6] == pytest.approx(alone, abs=0.02), "but for the place of the lattice's corners"
    nothing = mean_field(images, probabilities, CrfConfig(), active=np.zeros((8, 8), bool))
    assert np.array_equal(nothing, probabilities)


def test_zoom_means_lengths_in_pixels_of_the_frame():
    images, probabilities, _ = tiny(1)
    half = mean_field(images[:1], probabilities[:1], CrfConfig(distance=3, radius=1), zoom=0.5)
    same = mean_field(images[:1], probabilities[:1], CrfConfig(distance=1.5, radius=0.5))
    assert half == pytest.approx(same, abs=1e-4)


def test_shapes_that_do_not_fit_are_refused():
    images, probabilities, _ = tiny(0)
    with pytest.raises(InputError, match=r"\(T, Y, X, 3\)"):
        mean_field(images[:2], probabilities, CrfConfig())


def test_settings_outside_their_limits_are_refused():
    with pytest.raises(ConfigError, match="colour"):
        CrfConfig(colour=0)


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_the_lattice_filters_like_a_gaussian(spread):
    rng = np.random.default_rng(0)
    points = rng.normal(0, spread, (5, 800)).astype(np.float32)
    values = np.stack([points[0] > 0, np.sin(points[1]), np.ones(800)], axis=1).astype(np.float32)
    kernel = np.exp(-0.5 * ((points[:, :, None] - points[:, None]) ** 2).sum(axis=0))
    exact = kernel @ values
    filtered = Lattice(points).filter(values)
    means, exact_means = filtered[:, :2] / filtered[:, 2:], exact[:, :2] / exact[:, 2:]
    assert np.abs(means - exact_means).mean() < 0.05
    assert np.corrcoef(means.ravel(), exact_means.ravel())[0, 1] > 0.98


def test_points_far_apart_do_not_touch_on_the_lattice():
    points = np.array([[0, 0.1, 60], [0, 0, -60], [0, 0, 60]], np.float32)
    filtered = Lattice(points).filter(np.array([[1], [0], [0]], np.float32))
    assert filtered[0] > filtered[1] > 0
    assert filtered[2] == 0


def test_points_too_far_apart_for_the_lattice_are_refused():
    with pytest.raises(InputError, match="standard deviations"):
        Lattice(np.array([[0, 1e5]] * 5, np.float32))


def test_outlines_move_to_the_edges_in_the_image():
    images, patches = scene()
    before = patches[1][0] > 0.5
    values, box = sharpen(images, patches, 1)
    assert box == patches[1][1]
    assert values.shape == before.shape
    assert region_similarity(disc(), before) < 0.85
    assert region_similarity(disc(), values > 0.5) > 0.97


def test_what_is_far_from_any_doubt_stays():
    images, patches = scene(bumps=1)
    config = CrfConfig(distance=2)
    values, _ = sharpen(images, patches, 1, config)
    given = patches[1][0]
    far = distance_transform_edt((given < 0.05) | (given > 0.95)) > 8
    assert far.sum() > 500
    assert np.array_equal(values[far], given[far])
    assert not np.array_equal(values, given)


def test_only_pixels_within_reach_of_doubtful_ones_change():
    images, patches = scene()
    given = patches[1][0]
    doubt = ((given > 0.05) & (given < 0.95)) | (given > 0.5) & ~binary_erosion(given > 0.5, iterations=2)
    near, _ = sharpen(images, patches, 1, CrfConfig(distance=20, reach=0.1))
    far, _ = sharpen(images, patches, 1, CrfConfig(distance=20, reach=0.5))
    beside = distance_transform_edt(~doubt) > 4
    assert np.array_equal(near[beside], given[beside])
    assert not np.array_equal(far[beside], given[beside])


def test_a_reduced_window_gives_nearly_the_same_mask():
    images, patches = scene()
    values, _ = sharpen(images, patches, 1, CrfConfig(points=3000))
    whole, _ = sharpen(images, patches, 1)
    assert not np.array_equal(values, whole)
    assert region_similarity(whole > 0.5, values > 0.5) > 0.93


def test_the_frames_around_decide_where_the_frame_does_not():
    images, patches = scene(bumps=0)
    values, box = patches[1]
    patches[1] = np.where(values > 0.5, np.float32(0.4), values), box
    alone, _ = sharpen(images[1:2], patches[1:2], 0)
    together, _ = sharpen(images, patches, 1)
    assert not (alone > 0.5).any()
    assert region_similarity(disc(), together > 0.5) > 0.95


def test_patches_may_lie_in_different_places():
    images, patches = scene()
    cut = [(values[5:55, 14 + i : 66 + i], (5, 14 + i, 55, 66 + i)) for i, (values, _) in enumerate(patches)]
    values, box = sharpen(images, cut, 1)
    assert box == (5, 15, 55, 67)
    mask = np.zeros(SHAPE, bool)
    mask[5:55, 15:67] = values > 0.5
    assert region_similarity(disc(), mask) > 0.97


def test_what_the_user_painted_and_what_is_certain_stays():
    images, patches = scene()
    nothing = np.zeros((0, 0), np.float32), (0, 0, 0, 0)
    for values in (disc() * np.float32(2), np.zeros(SHAPE, np.float32), nothing[0]):
        given = (values, (0, 0, *SHAPE)) if values.size else nothing
        patch = sharpen(images, [patches[0], given, patches[2]], 1)
        assert np.array_equal(patch[0], values)
        assert patch[1] == given[1]


def test_an_object_too_large_for_the_lattice_stays_as_it_is_with_a_warning(monkeypatch):
    images, patches = scene()
    monkeypatch.setattr(lattice, "_MOST_KEYS", 10.0)
    with pytest.warns(MaskTrackWarning, match="too large for the CRF; its masks stay"):
        values, box = sharpen(images, patches, 1)
    assert box == patches[1][1]
    assert np.array_equal(values, patches[1][0])


def test_a_search_goes_on_where_a_setting_makes_an_object_too_large(monkeypatch):
    monkeypatch.setattr(lattice, "_MOST_KEYS", 3e9)
    with pytest.warns(MaskTrackWarning):
        steps = list(search([Example(*scene(), 1, disc())], rounds=((0.1, 4.0),)))
    assert len(steps) == steps[0].steps
    assert steps[-1].similarity > 0.9


def test_the_search_is_never_worse_than_its_start_and_finds_a_better_setting():
    examples = [Example(*scene(), 1, disc())]
    start = CrfConfig(appearance=0.2, smoothness=0.1)
    steps = list(search(examples, start, rounds=((0.5, 4.0), (1.5,))))
    assert steps[0].steps == 1 + 3 * len(SEARCHED)
    assert [step.step for step in steps] == list(range(1, steps[0].steps + 1))
    assert steps[0].config == start
    assert steps[0].similarity == similarity(examples, start)
    assert all(a.similarity <= b.similarity for a, b in pairwise(steps))
    assert steps[-1].similarity > steps[0].similarity + 0.01
    assert similarity(examples, steps[-1].config) == steps[-1].similarity
    assert any(getattr(steps[-1].config, name) != getattr(start, name) for name in SEARCHED)


def test_a_setting_that_cannot_be_beaten_is_kept():
    images, patches = scene(bumps=0)
    perfect = Example(images, patches, 1, sharpen(images, patches, 1)[0] > 0.5)
    last = list(search([perfect], rounds=((0.5,),)))[-1]
    assert last.config == CrfConfig()
    assert last.similarity == 1
    assert similarity([perfect], None) > 0.9


def test_the_fast_crf_suits_only_where_painted_masks_follow_the_edges():
    images, patches = scene()
    assert suits([Example(images, patches, 1, disc())], fast_crf())
    painted_wide = binary_dilation(disc(), iterations=4)
    wide = [(np.where(painted_wide, np.float32(0.8), np.float32(0.1)), box) for _, box in patches]
    assert not suits([Example(images, wide, 1, painted_wide)], fast_crf()), (
        "not where outlines beside the edge are meant"
    )
    assert suits([], fast_crf()) is None, "nothing to tell by"
    elsewhere = Example(images, patches, 1, np.roll(disc(), 25, axis=1))
    assert suits([elsewhere], fast_crf()) is None, "a mask that fails anyway says nothing"
    assert suits([elsewhere, Example(images, wide, 1, painted_wide)], fast_crf()) is False
    assert fast_crf(0.5).points == fast_crf().points / 2
    assert fast_crf(1e-6).points == FEW_POINTS


def test_a_search_without_examples_is_refused_at_once():
    with pytest.raises(InputError, match="annotate"):
        search([])
