"""The masks of a whole movie, compressed, with what is known about each."""

import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, nullcontext

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.instances import Labels
from napari_masktrack.evaluation.methods import Answer, Events

TUNING = 0.4
"""Share of the time that fine-tuning takes, where there is any; for progress only."""


class Recorded:
    """Answers of a method, by frame; what `core.agreement` compares."""

    def __init__(self) -> None:
        self._masks: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        self._confidence: dict[int, dict[int, float]] = {}
        self._agreement: dict[int, dict[int, float]] = {}
        self._source: dict[int, dict[int, int]] = {}

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._masks)

    def add(self, answer: Answer) -> None:
        """Keep one frame."""
        masks = np.ascontiguousarray(answer.labels, np.uint16)
        self._masks[answer.frame] = zlib.compress(masks.tobytes(), level=1), masks.shape
        self._confidence[answer.frame], self._source[answer.frame] = answer.confidence, answer.source
        self._agreement[answer.frame] = answer.agreement

    def labels(self, frame: int) -> Labels:
        """Give the masks of a frame, uint16 (Y, X); not to be written to."""
        packed, shape = self._masks[frame]
        return np.frombuffer(zlib.decompress(packed), np.uint16).reshape(shape)

    def pairs(self) -> Iterator[tuple[int, Labels]]:
        """Give all frames with their masks, in order."""
        return ((frame, self.labels(frame)) for frame in sorted(self._masks))

    def rows(self) -> list[dict[str, object]]:
        """Give frame, object and source of every mask whose source is known."""
        return [
            {"frame": frame, "label": label, "source": source}
            for frame, sources in sorted(self._source.items())
            for label, source in sources.items()
        ]

    def confidence(self, frames: int) -> dict[int, NDArray[np.float64]]:
        """Give each object's confidence on the frames of a movie, (frames,), NaN where it is not known."""
        return _by_object(self._confidence, frames)

    def agreement(self, frames: int) -> dict[int, NDArray[np.float64]]:
        """Give each object's agreement of both sides, in the same way; only what was compared."""
        return _by_object(self._agreement, frames)


def _by_object(by_frame: Mapping[int, Mapping[int, float]], frames: int) -> dict[int, NDArray[np.float64]]:
    found: dict[int, NDArray[np.float64]] = {}
    for frame, values in by_frame.items():
        for label, value in values.items():
            found.setdefault(label, np.full(frames, np.nan))[frame] = value
    return found


def record(events: Events, frames: int) -> Generator[float, None, Recorded]:
    """Run a method to its end.

    Parameters
    ----------
    events : iterator of TrainStep, SearchStep and Answer
        Closed at the end.
    frames : int
        How many answers there will be.

    Yields
    ------
    float
        The share that is done, 0 to 1.

    Returns
    -------
    Recorded
    """
    recorded, tuned = Recorded(), 0.0
    with closing(events) if isinstance(events, Generator) else nullcontext():
        for event in events:
            if isinstance(event, Answer):
                recorded.add(event)
                yield tuned + (1 - tuned) * len(recorded) / frames
            else:
                tuned = TUNING
                yield TUNING * event.step / event.steps
    return recorded
