"""Where masks carried from an earlier and from a later annotation meet: how well they agree."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.metrics import region_similarity


class Result(Protocol):
    """The masks of a movie, wherever they are kept, as far as they are needed here."""

    def rows(self) -> list[dict[str, object]]:
        """Give confidence and source of frames and objects."""

    def labels(self, frame: int) -> NDArray[np.uint16]:
        """Give the masks of a frame."""


def agreement(result: Result, frames: int, found: dict[int, NDArray[np.float64]]) -> Iterator[int]:
    """Compare, per object, the last mask from one annotation with the first from the next.

    The two lie on neighbouring frames, so a moving object agrees a little less than perfectly.

    Parameters
    ----------
    result : Result
    frames : int
        Length of the movie.
    found : dict of int to array, (frames,)
        Filled: object to IoU on both frames of a meeting, NaN elsewhere.

    Yields
    ------
    int
        The frame that was looked at.
    """
    sources: dict[int, dict[int, int]] = {}
    for row in result.rows():
        sources.setdefault(int(str(row["label"])), {})[int(str(row["frame"]))] = int(
            float(str(row["source"]))
        )
    for label, source in sorted(sources.items()):
        for before, after in pairwise(sorted(source)):
            if after != before + 1 or source[before] == source[after]:
                continue
            masks = (result.labels(frame) == label for frame in (before, after))
            values = found.setdefault(label, np.full(frames, np.nan))
            values[[before, after]] = region_similarity(*masks)
            yield before
