"""A box or a scribble becomes a mask: ask the network, at least twice, guided by what it answered before."""

from collections.abc import Sequence

import numpy as np

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.annotation import Annotation, Box, Combined
from napari_masktrack.core.instances import (
    BoundingBox,
    Image,
    Probability,
    Window,
    crop_image,
    paste,
    window_around,
)
from napari_masktrack.core.postprocess import keep_touching
from napari_masktrack.core.region import Region
from napari_masktrack.core.segmenter import Segmenter

ROUNDS = 2
LONGEST = 6
"""Rounds at most, where an object was larger than what the network was shown of it."""
EDGE = 0.02
"""What ends so near to the edge of a window was cut off there, in sides of the window."""
OVAL = 0.9
"""Axes of the oval that a box is taken for first, in sides of the box: corners are rarely object."""
ZOOMS = (0.8, 1.0, 1.4)
"""Sizes in which boxes and strokes are shown, in sizes of the crop: the mean is steadier."""
WIDER = 0.1
"""Widening of strokes before the network sees them, in sizes of them all: it knows rough masks, not lines."""
_STEP = 32
SLACK = 0.02
"""How far an object may reach out of its box, in longest sides of the box: boxes are drawn by hand."""


def resolve(
    item: Annotation, image: Image, segment: Segmenter, config: PropagationConfig
) -> tuple[Region | None, float]:
    """Return the mask that an annotation means, and how sure the network is of it.

    What decides every pixel is taken as it is. Of a box the network sees an oval first (its axes are
    0.9 of the sides), in three sizes, and what it answers outside the box does not count. Of a stroke it
    sees the surroundings, in three sizes as well, and more of them as long as the object goes on there; the
    stroke is widened for it. Strokes are kept: those on
    the object belong to it, those beside it do not.

    Parameters
    ----------
    item : Annotation
        Mask, polygon, box, scribble or several of them (paper, section 3.3: MaskTrack_Box).
    image : uint8 (Y, X, 3)
        The frame it was made on.
    segment : callable
        The network; see `Segmenter`.
    config : PropagationConfig

    Returns
    -------
    region : Region or None
        The mask; the guidance if the network finds nothing there; None if nothing is drawn.
    confidence : float
        In [0, 1]; 1 of what was painted, 0 if nothing was found.

    Raises
    ------
    AnnotationError
        The annotation does not fit frames of this size.
    """
    shape = (image.shape[0], image.shape[1])
    region = Region.of(item.guidance(shape))
    if region is None or item.exact:
        return region, 1.0
    parts = item.parts if isinstance(item, Combined) else (item,)
    boxed = any(isinstance(part, Box) for part in parts)
    start, within = (region, region.box) if boxed else (_widened(region, shape), None)
    found, confidence = refine(start, image, segment, config, within=within, rounds=LONGEST, zooms=ZOOMS)
    if confidence == 0.0:
        return region, 0.0
    if all(isinstance(part, Box) for part in parts):
        return found, confidence
    target, known = item.supervision(shape)
    mask = np.where(known, target, found.to_mask(shape))
    return Region.of(mask) or region, confidence


def refine(
    region: Region,
    image: Image,
    segment: Segmenter,
    config: PropagationConfig,
    *,
    within: BoundingBox | None = None,
    rounds: int = ROUNDS,
    zooms: Sequence[float] = (1.0,),
) -> tuple[Region, float]:
    """Return the object that a rough region means, and how sure the network is of it.

    Parameters
    ----------
    region : Region
        A box, a scribble, or any rough mask.
    image : uint8 (Y, X, 3)
    segment : callable
        The network; see `Segmenter`.
    config : PropagationConfig
    within : tuple of int, optional
        A box ``(y0, x0, y1, x1)`` that holds the whole object.
    rounds : int
        How often the network is asked at most: more than twice only as long as the object is cut off by
        the window in which it was looked for, which grows with it. With `within` always twice.
    zooms : sequence of float
        Sizes in which the window is shown, in sizes of the crop; the mean of the answers counts.

    Returns
    -------
    region : Region
        The mask; what was given if the network finds nothing there.
    confidence : float
        In [0, 1]; 0 if nothing was found.
    """
    given, confidence, allowed = region, 0.0, None
    sizes = [config.crop_size if z == 1 else round(z * config.crop_size / _STEP) * _STEP for z in zooms]
    if within is not None:
        region, allowed = _rounded(region, within), _slackened(within)
    for number in range(1, rounds + 1):
        window = window_around(within or region.box, margin=config.margin)
        values, bounds = _seen(region, image, segment, window=window, sizes=sizes)
        if allowed is not None:
            values = values * allowed.part(bounds)
        found = Region.of(values > config.threshold, corner=bounds[:2])
        if found is None:
            return given, 0.0
        region, confidence = found, expected_similarity(values, config.threshold)
        if number >= ROUNDS and (within is not None or not _is_cut_off(region, given, bounds, image)):
            break
    return region, confidence


def _is_cut_off(found: Region, given: Region, bounds: BoundingBox, image: Image) -> bool:
    """Tell whether what was given goes on beyond the window; parts elsewhere do not count."""
    part = Region.of(keep_touching(found.part(bounds), given.part(bounds), reach=0), corner=bounds[:2])
    if part is None:
        return False
    near = max(2.0, EDGE * max(bounds[2] - bounds[0], bounds[3] - bounds[1]))
    ends = (0, 0, image.shape[0], image.shape[1])  # there is nothing more to see there
    return any(
        bound != end and abs(side - bound) <= near
        for side, bound, end in zip(part.box, bounds, ends, strict=True)
    )


def _seen(
    region: Region, image: Image, segment: Segmenter, *, window: Window, sizes: Sequence[int]
) -> tuple[Probability, BoundingBox]:
    """Return the mean of what the network sees in a window shown in several sizes, and its bounds."""
    bounds = window.bounds((image.shape[0], image.shape[1]))
    total = np.zeros((bounds[2] - bounds[0], bounds[3] - bounds[1]), np.float32)
    for size in sizes:
        answer = segment(crop_image(image, window, size)[None], region.crop(window, size)[None])[0]
        total += paste(answer, window, (image.shape[0], image.shape[1]))[0]
    return total / np.float32(len(sizes)), bounds


def _widened(region: Region, shape: tuple[int, int]) -> Region:
    """Return strokes widened on all sides, by a share of the size of all of them."""
    y0, x0, y1, x1 = region.box
    radius = max(1, round(WIDER * region.longer_side))
    box = max(y0 - radius, 0), max(x0 - radius, 0), min(y1 + radius, shape[0]), min(x1 + radius, shape[1])
    away = (~region.part(box)).view(np.uint8)
    near = cv2().distanceTransform(away, cv2().DIST_L2, cv2().DIST_MASK_PRECISE) <= radius
    return Region.of(np.asarray(near), corner=box[:2]) or region


def _rounded(region: Region, box: BoundingBox) -> Region:
    """Return what of a region lies in the oval of a box; all of it if that is nothing."""
    height, width = box[2] - box[0], box[3] - box[1]
    y = np.linspace(-1, 1, height)[:, None] * (1 - 1 / height)
    x = np.linspace(-1, 1, width) * (1 - 1 / width)
    oval = y**2 + x**2 <= OVAL**2
    return Region.of(region.part(box) & oval, corner=box[:2]) or region


def _slackened(box: BoundingBox) -> Region:
    """Return a box as a region, a little larger on all sides."""
    y0, x0, y1, x1 = box
    slack = int(SLACK * max(y1 - y0, x1 - x0))
    box = y0 - slack, x0 - slack, y1 + slack, x1 + slack
    return Region(box, np.ones((box[2] - box[0], box[3] - box[1]), bool))


def expected_similarity(answer: Probability, threshold: float) -> float:
    """Return the J that the probabilities (S, S) themselves expect of the mask `answer > threshold`.

    Each pixel is taken as object with its probability: expected common part over expected union.
    0 when the mask is empty.
    """
    mask = answer > threshold
    count = int(np.count_nonzero(mask))
    if not count:
        return 0.0
    inside = float(answer[mask].sum())
    return min(1.0, inside / (count + float(answer.sum()) - inside))
