"""How well a predicted mask fits the true one: region (J) and contour (F).

The definitions are those of the public DAVIS-2017 evaluation (Pont-Tuset et al., 2017; Perazzi et
al., CVPR 2016), except that sequences may be longer than 256 frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, bounding_box
from napari_masktrack.errors import InputError

Metric = Callable[[ArrayLike, ArrayLike], float]

GOOD = 0.5
"""A frame counts as recalled when its value is above this."""
PERCENTS = (5, 10, 20, 30, 70, 80, 90, 95)
"""Quantiles of the paper's figure on annotation density."""


@dataclass(frozen=True)
class Statistics:
    """A sequence in three numbers.

    Attributes
    ----------
    mean : float
        Mean over the frames.
    recall : float
        Share of the frames above one half.
    decay : float
        Mean of the first quarter minus mean of the last.
    """

    mean: float
    recall: float
    decay: float


def region_similarity(truth: ArrayLike, prediction: ArrayLike, *, void: ArrayLike | None = None) -> float:
    """Compute J, the intersection over union.

    Parameters
    ----------
    truth, prediction : array, (Y, X), bool or integer
        Other than 0 where the object is.
    void : array, (Y, X), bool or integer, optional
        Pixels that do not count.

    Returns
    -------
    float
        0 to 1; 1 when both masks are empty.

    Raises
    ------
    InputError
        The images differ in size or are not masks.
    """
    true, predicted = _masks(truth, prediction, void)
    union = np.count_nonzero(true | predicted)
    return float(np.count_nonzero(true & predicted) / union) if union else 1.0


def contour_accuracy(
    truth: ArrayLike, prediction: ArrayLike, *, tolerance: float = 0.008, void: ArrayLike | None = None
) -> float:
    """Compute F, the harmonic mean of precision and recall of the outline's pixels.

    Parameters
    ----------
    truth, prediction : array, (Y, X), bool or integer
        Other than 0 where the object is.
    tolerance : float
        Distance up to which outlines match: below 1 a share of the image's diagonal, rounded up to
        whole pixels; from 1 on pixels.
    void : array, (Y, X), bool or integer, optional
        Pixels that count as background in both masks.

    Returns
    -------
    float
        0 to 1; 1 when neither mask has an outline, 0 when only one has.

    Raises
    ------
    InputError
        The images differ in size or are not masks, or the tolerance is negative.
    """
    if tolerance < 0:
        raise InputError(f"The tolerance is {tolerance}; give a share of the diagonal or a number of pixels.")
    true, predicted = (_outline(mask) for mask in _masks(truth, prediction, void))
    pixels = tolerance if tolerance >= 1 else float(np.ceil(tolerance * np.hypot(*true.shape)))
    true_length, length = np.count_nonzero(true), np.count_nonzero(predicted)
    if not true_length or not length:
        return float(true_length == length)
    box = bounding_box(true | predicted)
    assert box is not None, "both outlines have pixels"
    true, predicted = (line[box[0] : box[2], box[1] : box[3]] for line in (true, predicted))
    precision = np.count_nonzero(predicted & _widen(true, pixels)) / length
    recall = np.count_nonzero(true & _widen(predicted, pixels)) / true_length
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def statistics(values: Sequence[float] | NDArray[np.floating]) -> Statistics:
    """Summarise the values of a sequence.

    Parameters
    ----------
    values : sequence of float
        One per frame, in order. NaN (not evaluated) is left out of means but lowers the recall.

    Returns
    -------
    Statistics
        Of NaN where a mean has no value to go by.

    Raises
    ------
    InputError
        There are no values.
    """
    series = _series(values)
    # The official code rounds so, and lets neighbouring quarters share a frame.
    ends = np.round(np.linspace(1, len(series), 5) + 1e-10).astype(int) - 1
    first, last = series[: ends[1] + 1], series[ends[3] : ends[4] + 1]
    recall = float(np.mean(series > GOOD))
    return Statistics(mean=_mean(series), recall=recall, decay=_mean(first) - _mean(last))


def quantiles(
    values: Sequence[float] | NDArray[np.floating], percents: Sequence[float] = PERCENTS
) -> dict[float, float]:
    """Give quantiles of the values.

    Parameters
    ----------
    values : sequence of float
        In any order; NaN is left out.
    percents : sequence of float
        Which ones, in per cent.

    Returns
    -------
    dict of float to float
        Per cent to value, interpolated linearly.

    Raises
    ------
    InputError
        There are no values.
    """
    series = _series(values)
    known = series[~np.isnan(series)]
    found = np.percentile(known, percents) if known.size else np.full(len(percents), np.nan)
    return dict(zip(percents, map(float, found), strict=True))


def _masks(truth: ArrayLike, prediction: ArrayLike, void: ArrayLike | None) -> tuple[BoolImage, BoolImage]:
    images = [np.asarray(image) for image in (truth, prediction, *(() if void is None else (void,)))]
    if any(image.ndim != 2 or image.shape != images[0].shape for image in images):
        shapes = " and ".join(str(image.shape) for image in images)
        raise InputError(f"Masks of shapes {shapes} cannot be compared; give images (Y, X) of one size.")
    if any(image.dtype.kind not in "bui" for image in images):
        raise InputError("A mask of fractions cannot be compared; give bool or integer ones.")
    true, predicted, *rest = (image.astype(bool) for image in images)
    return (true & ~rest[0], predicted & ~rest[0]) if rest else (true, predicted)


def _outline(mask: BoolImage) -> BoolImage:
    """Mark pixels that differ from the one to the right, below or below right (official `seg2bmap`)."""
    line = np.zeros_like(mask)
    here, right, below, beyond = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    line[:-1, :-1] = (here ^ right) | (here ^ below) | (here ^ beyond)
    line[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    line[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return line


def _widen(line: BoolImage, pixels: float) -> BoolImage:
    # OpenCV's own ellipse is another set of pixels than the official disk.
    steps = np.arange(-int(pixels), int(pixels) + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= pixels**2).astype(np.uint8)
    wide: NDArray[np.uint8] = cv2().dilate(np.ascontiguousarray(line).view(np.uint8), disk)
    return wide.view(bool)


def _series(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    series = np.asarray(values, np.float64)
    if series.ndim != 1 or not series.size:
        raise InputError(f"Values of shape {series.shape} are no sequence; give at least one value.")
    return series


def _mean(series: NDArray[np.float64]) -> float:
    known = series[~np.isnan(series)]
    return float(known.mean()) if known.size else float("nan")


METRICS: dict[str, Metric] = {"J": region_similarity, "F": contour_accuracy}
