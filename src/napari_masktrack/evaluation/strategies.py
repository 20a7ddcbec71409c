"""Which frame a simulated user annotates next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_masktrack.core.agreement import agreement
from napari_masktrack.core.suggestion import suggest
from napari_masktrack.evaluation.problems import OpenProblem
from napari_masktrack.evaluation.recorded import Recorded
from napari_masktrack.evaluation.scores import ProblemScore


@dataclass(frozen=True)
class Round:
    """What is known after a round, from which the next frame is chosen.

    Attributes
    ----------
    opened : OpenProblem
    annotated : tuple of int
        Frames, in the order in which they were annotated.
    recorded : Recorded
    score : ProblemScore
    """

    opened: OpenProblem
    annotated: tuple[int, ...]
    recorded: Recorded
    score: ProblemScore

    @property
    def candidates(self) -> list[int]:
        """Frames that can still be annotated: with truth, and not yet."""
        return [frame for frame in self.opened.true_frames if frame not in self.annotated]


def suggested(now: Round) -> int | None:
    """Choose the frame that the program suggests; without any confidence the farthest one."""
    frames = len(now.opened.movie)
    meetings: dict[int, Any] = {}
    for _ in agreement(now.recorded, frames, meetings):
        pass
    allowed = np.isin(np.arange(frames), now.candidates)
    confidence = {
        label: np.where(allowed, values, np.nan) for label, values in now.recorded.confidence(frames).items()
    }
    compared = {**meetings, **now.recorded.agreement(frames)}
    jumps = {label: np.where(allowed, 1 - values, np.nan) for label, values in compared.items()}
    found = suggest(confidence, now.annotated, jumps=jumps)
    return farthest(now) if found is None else found.frame


def farthest(now: Round) -> int | None:
    """Choose the frame farthest from all annotated ones: the spacing becomes equal; of several the first."""
    distance = {frame: min(abs(frame - each) for each in now.annotated) for frame in now.candidates}
    return max(distance, key=lambda frame: distance[frame], default=None)


def worst(now: Round) -> int | None:
    """Choose the frame with the lowest J, mean over the objects; frames that do not count come last."""
    values: dict[int, list[float]] = {frame: [] for frame in now.candidates}
    for score in now.score.objects:
        for frame, value in zip(score.frames, score.values["J"], strict=True):
            if frame in values:
                values[frame].append(value)
    return min(values, key=lambda frame: float(np.mean(values[frame] or [np.inf])), default=None)


STRATEGIES: dict[str, Callable[[Round], int | None]] = {
    "suggested": suggested,
    "equal": farthest,
    "worst": worst,
}
