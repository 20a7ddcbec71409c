"""J and F against the official values and against a slow reference; statistics of long sequences."""

from dataclasses import astuple

import numpy as np
import pytest
from skimage.morphology import dilation, disk

from napari_masktrack.core.metrics import (
    METRICS,
    contour_accuracy,
    quantiles,
    region_similarity,
    statistics,
)
from napari_masktrack.errors import InputError

SMALL = (26, 34)


def disc(x: float, y: float, radius: float, shape: tuple[int, int] = (480, 854)) -> np.ndarray:
    rows, columns = np.indices(shape, sparse=True)
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


GOLDEN = [
    (disc(300, 240, 80), disc(310, 240, 80), 0.853089, 0.642857),
    (disc(300, 240, 80), disc(300, 240, 88), 0.825937, 0.805047),
    (disc(300, 240, 80), disc(303, 243, 80), 0.934399, 1.000000),
    (disc(200, 240, 60) | disc(600, 240, 60), disc(200, 240, 60), 0.500000, 0.666667),
    (disc(0, 240, 80), disc(0, 240, 90), 0.789901, 0.000000),
    (disc(900, 500, 40, (1080, 1920)), disc(915, 500, 40, (1080, 1920)), 0.617836, 1.000000),
]


@pytest.mark.parametrize(("truth", "prediction", "region", "contour"), GOLDEN)
def test_golden_values_of_the_official_functions(truth, prediction, region, contour):
    assert round(region_similarity(truth, prediction), 6) == region
    assert round(contour_accuracy(truth, prediction), 6) == contour


def reference_region(truth: np.ndarray, prediction: np.ndarray) -> float:
    true, found = set(map(tuple, np.argwhere(truth))), set(map(tuple, np.argwhere(prediction)))
    return len(true & found) / len(true | found) if true | found else 1.0


def reference_outline(mask: np.ndarray) -> np.ndarray:
    """Pixel by pixel: one differs from its right, lower or lower right neighbour."""
    (height, width), points = mask.shape, []
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(b < height and a < width and mask[b, a] != mask[y, x] for b, a in neighbours):
                points.append((y, x))
    return np.array(points, float).reshape(-1, 2)


def reference_contour(truth: np.ndarray, prediction: np.ndarray, tolerance: float) -> float:
    """Every point against every point of the other outline."""
    reach = tolerance if tolerance >= 1 else np.ceil(tolerance * np.hypot(*truth.shape))
    true, found = reference_outline(truth), reference_outline(prediction)
    if not len(true) or not len(found):
        return float(len(true) == len(found))
    near = ((true[:, None] - found[None]) ** 2).sum(2) <= reach**2
    precision, recall = near.any(0).mean(), near.any(1).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_mask(random: np.random.Generator) -> np.ndarray:
    """Noise, discs that may leave the frame, stripes of full width, nothing or everything."""
    kind = random.integers(5)
    if kind == 0:
        return random.random(SMALL) < random.random() ** 2
    if kind == 1:
        return np.full(SMALL, random.random() < 0.3)
    if kind == 2:
        rows = np.arange(SMALL[0])[:, None] + np.zeros(SMALL)
        return rows >= random.integers(SMALL[0])
    discs = [disc(random.uniform(-3, 36), random.uniform(-3, 28), random.uniform(1, 11), SMALL) for _ in "ab"]
    return discs[0] | discs[1] if kind == 3 else discs[0] & ~discs[1]


def test_200_random_pairs_equal_the_slow_reference():
    random = np.random.default_rng(0)
    seen = set()
    for number in range(200):
        truth, prediction = random_mask(random), random_mask(random)
        if number % 2:
            prediction = truth ^ (random.random(SMALL) < 0.02)
        tolerance = (0.008, 0.1, 1, 2, 3, 5)[number % 6]
        found = contour_accuracy(truth, prediction, tolerance=tolerance)
        assert found == pytest.approx(reference_contour(truth, prediction, tolerance), abs=1e-12)
        assert region_similarity(truth, prediction) == reference_region(truth, prediction)
        seen.add(round(found, 2))
    assert len(seen) > 40


@pytest.mark.parametrize("radius", [1, 2, 5, 8, 18])
def test_outlines_match_within_the_official_disk(radius):
    random, shape = np.random.default_rng(radius), (90, 110)
    for _ in range(3):
        masks = [disc(*random.uniform(20, 80, 2), random.uniform(5, 40), shape) for _ in "ab"]
        lines = [np.zeros(shape, bool) for _ in masks]
        for line, mask in zip(lines, masks, strict=True):
            line[tuple(reference_outline(mask).astype(int).T)] = True
        near = [dilation(line.astype(np.uint8), disk(radius)).astype(bool) for line in lines]
        recall, precision = (
            (lines[0] & near[1]).sum() / lines[0].sum(),
            (lines[1] & near[0]).sum() / lines[1].sum(),
        )
        expected = 2 * precision * recall / max(precision + recall, 1e-9)
        assert contour_accuracy(*masks, tolerance=radius) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_is_1_for_equal_and_for_empty_masks_and_0_without_overlap(metric):
    nothing = np.zeros(SMALL, bool)
    mask = disc(10, 10, 4, SMALL)
    assert metric(mask, mask) == metric(nothing, nothing) == 1
    assert metric(mask, nothing) == metric(nothing, mask) == 0
    assert metric(mask.astype(np.uint8) * 255, mask) == 1


def test_outlines_match_within_the_tolerance():
    square, shifted = np.zeros((2, 32, 32), bool)
    square[8:20, 8:20], shifted[8:20, 10:22] = True, True
    assert contour_accuracy(square, shifted, tolerance=2) == 1
    assert contour_accuracy(square, shifted, tolerance=1) < 1
    assert contour_accuracy(square, square, tolerance=0) == 1


def test_void_pixels_do_not_count():
    truth, prediction = disc(10, 10, 4, SMALL), disc(10, 10, 4, SMALL) | disc(25, 20, 3, SMALL)
    void = disc(25, 20, 5, SMALL)
    assert region_similarity(truth, prediction) < 1
    assert region_similarity(truth, prediction, void=void) == 1
    assert contour_accuracy(truth, prediction, void=void) == 1


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("other", [np.zeros((3, 3), bool), np.zeros((1, *SMALL), bool), np.zeros(SMALL)])
def test_what_cannot_be_compared_is_refused(metric, other):
    with pytest.raises(InputError, match="cannot be compared"):
        metric(np.zeros(SMALL, bool), other)


def test_negative_tolerance_is_refused():
    with pytest.raises(InputError, match="tolerance"):
        contour_accuracy(np.zeros(SMALL, bool), np.zeros(SMALL, bool), tolerance=-1)


def test_golden_statistics():
    values = [*np.linspace(0.9, 0.7, 20), *np.linspace(0.7, 0.45, 20), 0.5, *np.linspace(0.45, 0.3, 37)]
    found = statistics(values)
    assert [round(number, 6) for number in astuple(found)] == [0.536859, 0.461538, 0.460417]


def reference_decay(values: np.ndarray) -> float:
    """The quarters' ends counted from 1 and rounded, each end part of both its quarters."""
    ends = [int(np.round(1 + (len(values) - 1) * quarter / 4 + 1e-10)) for quarter in range(5)]
    return np.mean(values[: ends[1]]) - np.mean(values[ends[3] - 1 :])


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 50, 255, 256, 257, 300, 1000, 70_000])
def test_sequences_of_any_length_are_summarised_right(frames):
    values = np.linspace(1, 0, frames) if frames > 1 else np.ones(1)
    found = statistics(values)
    assert found.decay == pytest.approx(reference_decay(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.recall == pytest.approx((values > 0.5).mean())


def test_decay_of_a_long_sequence_compares_its_first_and_last_quarter():
    values = np.concatenate([np.full(300, 0.9), np.full(300, 0.6), np.full(300, 0.6), np.full(300, 0.2)])
    assert statistics(values).decay == pytest.approx(0.7, abs=0.01)


def test_frames_without_a_value_are_left_out_of_the_means_but_not_recalled():
    found = statistics([0.8, np.nan, 0.6, 0.6, np.nan, 0.4])
    assert found.mean == pytest.approx(0.6)
    assert found.recall == pytest.approx(0.5)
    assert np.isnan(statistics([np.nan, np.nan]).mean)


def test_quantiles_are_given_by_per_cent():
    found = quantiles([*np.linspace(0, 1, 101), np.nan])
    assert list(found) == [5, 10, 20, 30, 70, 80, 90, 95]
    assert found[5] == pytest.approx(0.05)
    assert quantiles([0.0, 1.0], [50]) == {50: 0.5}


@pytest.mark.parametrize("summary", [statistics, quantiles])
def test_no_values_are_refused(summary):
    with pytest.raises(InputError, match="at least one"):
        summary([])
