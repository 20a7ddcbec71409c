"""Which frame to annotate next, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAR = 0.25
"""What the distance to the nearest annotated frame counts, at most, against doubt between 0 and 1."""


@dataclass(frozen=True)
class Suggestion:
    """A frame and the reason in words."""

    frame: int
    reason: str


def suggest(
    confidence: Mapping[int, NDArray[np.float64]],
    annotated: Sequence[int],
    *,
    jumps: Mapping[int, NDArray[np.float64]] | None = None,
) -> Suggestion | None:
    """Find the frame where help is worth most: low confidence, a break, far from annotated frames.

    Parameters
    ----------
    confidence : mapping of int to array, (frames,)
        Object to confidence per frame, NaN where nothing is known.
    annotated : sequence of int
        Annotated frames; never suggested.
    jumps : mapping of int to array, (frames,), optional
        Object to how little its masks from the earlier and the later annotation agree, 0 to 1.

    Returns
    -------
    Suggestion or None
        None if nothing is known, or every frame is annotated.
    """
    known = {label: values for label, values in confidence.items() if np.isfinite(values).any()}
    if not known:
        return None
    frames = max(len(values) for values in known.values())
    doubt = np.full(frames, -1.0)
    object_of, cause = np.zeros(frames, int), np.zeros(frames, int)
    for label, values in known.items():
        broken = np.nan_to_num((jumps or {}).get(label, np.full(frames, np.nan)), nan=-1.0)
        unsure = 1 - np.nan_to_num(values, nan=2.0)
        for number, part in enumerate((unsure, broken)):
            better = part > doubt
            doubt[better], object_of[better], cause[better] = part[better], label, number
    places = np.asarray(sorted(annotated), int)
    apart = np.abs(np.arange(frames)[:, None] - places[None]).min(axis=1) if len(places) else np.ones(frames)
    worth = doubt + FAR * apart / max(frames, 1)
    worth[[frame for frame in annotated if frame < frames]] = -np.inf
    worth[doubt < 0] = -np.inf
    best = int(np.argmax(worth))
    if not np.isfinite(worth[best]):
        return None
    reason = _reason(
        best, int(object_of[best]), float(doubt[best]), cause=int(cause[best]), apart=float(apart[best])
    )
    return Suggestion(best, reason)


def _reason(frame: int, label: int, doubt: float, *, cause: int, apart: float) -> str:
    why = (
        f"object {label} is least certain there (confidence {1 - doubt:.2f})"
        if cause == 0
        else f"the masks of object {label} from before and after disagree there (overlap {1 - doubt:.2f})"
    )
    return f"Frame {frame}: {why}, {int(apart)} frame(s) from your nearest annotation."
