"""Find the CRF's parameters on annotated frames, from coarse to fine (paper, supplement D)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from napari_masktrack.core.crf import CrfConfig, Patch, sharpen
from napari_masktrack.core.instances import BoolImage, Image
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.errors import InputError

ROUNDS = ((0.25, 0.5, 2.0, 4.0), (0.7, 1.4), (0.85, 1.2))
"""Factors by which each round, finer than the one before, changes one setting at a time."""
ALLOWED = 0.01
"""Movies that the CRF betters lost up to 0.006 on their first frame, others 0.02 (docs/benchmarks.md)."""
LEAST = 0.5
"""J of a mask below which its outline says nothing."""
SEARCHED = ("appearance", "colour", "distance", "smoothness")
"""Settings that are searched, in this order."""


@dataclass(frozen=True, eq=False)
class Example:
    """What the network sees on an annotated frame and around it, and the truth.

    Attributes
    ----------
    images : sequence of uint8 (Y, X, 3)
        The frame and its neighbours, in the order of time.
    patches : sequence of patch
        The network's probabilities on each, as for `crf.sharpen`; not what the user painted.
    middle : int
        Which of them is annotated.
    truth : bool (Y, X)
    """

    images: Sequence[Image]
    patches: Sequence[Patch]
    middle: int
    truth: BoolImage


@dataclass(frozen=True)
class SearchStep:
    """The best setting so far.

    Attributes
    ----------
    step, steps : int
        Settings tried, and to be tried.
    config : CrfConfig
    similarity : float
        Its mean J on the examples.
    """

    step: int
    steps: int
    config: CrfConfig
    similarity: float


def search(
    examples: Sequence[Example],
    start: CrfConfig | None = None,
    *,
    threshold: float = 0.5,
    rounds: Sequence[Sequence[float]] = ROUNDS,
) -> Iterator[SearchStep]:
    """Try settings around a first one, each time around the best so far, with ever smaller changes.

    Parameters
    ----------
    examples : sequence of Example
        A few; each try takes the time of sharpening all of them.
    start : CrfConfig, optional
        Tried first, by default the paper's; kept unless another one is better.
    threshold : float
        Probability from which a pixel is object.
    rounds : sequence of sequences of float
        Factors that each round tries.

    Yields
    ------
    SearchStep
        After each try; the last one holds the result.

    Raises
    ------
    InputError
        There is no example; before any work.
    """
    if not examples:
        raise InputError("There is no annotated frame to fit the CRF to; annotate one.")
    return _search(examples, start or CrfConfig(), threshold, rounds)


def _search(
    examples: Sequence[Example], start: CrfConfig, threshold: float, rounds: Sequence[Sequence[float]]
) -> Iterator[SearchStep]:
    steps = 1 + len(SEARCHED) * sum(len(factors) for factors in rounds)
    best, score, step = start, similarity(examples, start, threshold=threshold), 1
    yield SearchStep(step, steps, best, score)
    for factors in rounds:
        for name in SEARCHED:
            around = best
            for factor in factors:
                config = _scaled(around, name, factor)
                reached = similarity(examples, config, threshold=threshold)
                step += 1
                if reached > score:
                    best, score = config, reached
                yield SearchStep(step, steps, best, score)


def suits(examples: Iterable[Example], config: CrfConfig, *, threshold: float = 0.5) -> bool | None:
    """Return whether the painted masks follow the edges that the CRF puts outlines on; None if nothing tells.

    A mean loss of less than `ALLOWED` in J counts as none: one painted frame says no more than that. Examples
    on which the network fails anyway say nothing.
    """
    losses = []
    for example in examples:  # one at a time: each holds whole frames
        before = _similarity(example, None, threshold)
        if before > LEAST:
            losses.append(before - _similarity(example, config, threshold))
    return float(np.mean(losses)) <= ALLOWED if losses else None


def similarity(examples: Sequence[Example], config: CrfConfig | None, *, threshold: float = 0.5) -> float:
    """Return the mean J of the sharpened masks, in [0, 1]; None leaves them as the network gave them."""
    return float(np.mean([_similarity(example, config, threshold) for example in examples]))


def _similarity(example: Example, config: CrfConfig | None, threshold: float) -> float:
    values, box = example.patches[example.middle]
    if config is not None:
        values, box = sharpen(example.images, example.patches, example.middle, config)
    mask = np.zeros(example.truth.shape, bool)
    mask[box[0] : box[2], box[1] : box[3]] = values > threshold
    return region_similarity(example.truth, mask)


def _scaled(config: CrfConfig, name: str, factor: float) -> CrfConfig:
    """Return the config with one setting multiplied, within its limits."""
    limits = next(each.metadata for each in fields(config) if each.name == name)
    value = min(max(getattr(config, name) * factor, limits["min"]), limits["max"])
    return replace(config, **{name: value})
