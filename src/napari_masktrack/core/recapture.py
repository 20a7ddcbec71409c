"""Find an object again that went out of sight: behind something, or out of the frame.

The network, which was fine-tuned on this very object, is asked without guidance: once where the
object got lost, in a window that grows, and once in a wide view. What it finds has to look like
one object of about the right size, and has to stand a second, closer look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import Image, Probability, Window, paste
from napari_masktrack.core.refine import refine
from napari_masktrack.core.region import Region
from napari_masktrack.core.segmenter import Segmenter
from napari_masktrack.core.track import Track

SURE = 0.65
"""Least mean probability of a candidate, and least expected J after the closer look."""
AGREE = 0.4
"""Least J between the two looks."""
RIVAL = 0.7
"""A second candidate with this share of the best one's weight makes the case undecided."""
SIZES = (0.12, 3.5)
"""Area of a candidate, relative to the object's usual area."""
CLAIMED = 0.3
"""A candidate with a larger share of its pixels on another object is that object."""
_LEAST_SIDE = 14
"""In a wide view the object should not be smaller than this, in crop pixels."""


@dataclass(frozen=True)
class Candidate:
    """Something that may be the lost object.

    Attributes
    ----------
    region : Region
    weight : float
        Sum of the probabilities in pixels of the frame.
    """

    region: Region
    weight: float


def search_windows(track: Track, config: PropagationConfig, shape: tuple[int, int]) -> list[Window]:
    """Return where to look for a lost object: near where it was, and in a wide view."""
    near = track.look(config, shape)
    widest = config.crop_size * max(track.area, 1.0) ** 0.5 / _LEAST_SIDE
    side = min(float(max(shape)), widest)
    if side <= 1.5 * near.side:
        return [near]
    y, x = (_held(c, side, n) for c, n in zip((near.y, near.x), shape, strict=True))
    return [near, Window(y, x, side)]


def _held(centre: float, side: float, length: int) -> float:
    """Return the centre moved so that the window lies within the frame, as far as it fits."""
    if side >= length:
        return (length - 1) / 2
    return min(max(centre, (side - 1) / 2), length - 1 - (side - 1) / 2)


def recapture(
    track: Track,
    answers: Iterable[tuple[Window, Probability]],
    image: Image,
    segment: Segmenter,
    *,
    config: PropagationConfig,
    taken: Sequence[Region] = (),
) -> tuple[Region, float] | None:
    """Return the object that was found again, with the J expected of its mask; None if it was not.

    Parameters
    ----------
    track : Track
        Of the lost object.
    answers : iterable of (Window, float32 (S, S))
        What the network sees in the windows of `search_windows`, without guidance.
    image : uint8 (Y, X, 3)
    segment : callable
    config : PropagationConfig
    taken : sequence of Region
        Where other objects are: what lies mostly there is not the lost one.
    """
    shape = (image.shape[0], image.shape[1])
    for window, answer in answers:
        candidate = _best(_candidates(answer, window, shape, config.threshold), track)
        if candidate is None:
            continue
        region, confidence = refine(candidate.region, image, segment, config)
        agrees = region.overlap(candidate.region) >= AGREE
        free = not any(region.share_within(other) > CLAIMED for other in taken)
        if agrees and free and confidence >= SURE and _fits(region.area, track):
            return region, confidence
    return None


def _candidates(
    answer: Probability, window: Window, shape: tuple[int, int], threshold: float
) -> list[Candidate]:
    """Return the connected parts of what the network sees, in pixels of the frame."""
    values, box = paste(answer, window, shape)
    if values.size == 0:
        return []
    mask = np.ascontiguousarray(values > threshold).view(np.uint8)
    count, numbers, facts, _ = cv2().connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for number in range(1, count):
        x, y, width, height = (int(fact) for fact in facts[number][:4])
        inside = numbers[y : y + height, x : x + width] == number
        region = Region((box[0] + y, box[1] + x, box[0] + y + height, box[1] + x + width), inside)
        found.append(Candidate(region, float(values[y : y + height, x : x + width][inside].sum())))
    return found


def _best(candidates: list[Candidate], track: Track) -> Candidate | None:
    """Return the one candidate that stands out; None when there is none, or a rival of it."""
    usable = [c for c in candidates if _fits(c.region.area, track) and c.weight >= SURE * c.region.area]
    usable.sort(key=lambda candidate: candidate.weight, reverse=True)
    if not usable or (len(usable) > 1 and usable[1].weight > RIVAL * usable[0].weight):
        return None
    return usable[0]


def _fits(area: int, track: Track) -> bool:
    low, high = SIZES
    return not track.area or low * track.area <= area <= high * track.area
