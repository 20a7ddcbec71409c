"""What was corrected since it was last propagated, and which frames that touches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from napari_masktrack.layers.result import ResultStore
from napari_masktrack.widgets.drawings import Drawings


def range_around(
    anchors: Mapping[int, Sequence[int]], corrected: Iterable[tuple[int, int]], frames: int
) -> range | None:
    """Give the frames that corrections touch: each up to the annotated frames of its object around it.

    Parameters
    ----------
    anchors : mapping of int to sequence of int
        Objects and the frames from which each is carried.
    corrected : iterable of (int, int)
        Frames and objects that were changed.
    frames : int
        Length of the movie.

    Returns
    -------
    range or None
        From the first to the last frame that any correction touches; None without corrections.
    """
    ends: list[int] = []
    for frame, label in corrected:
        places = anchors.get(label, ())
        ends.append(max((place for place in places if place < frame), default=0))
        ends.append(min((place for place in places if place > frame), default=frames - 1))
    return range(min(ends), max(ends) + 1) if ends else None


def settling(drawings: Drawings, result: ResultStore | None) -> Iterator[int]:
    """Take for propagated what a result was made from: it shows these objects as they are drawn.

    Drawings that came back with their result look as if they were all new. Masks are compared pixel by
    pixel; of boxes and strokes the result only says that there were some on this frame.

    Yields
    ------
    int
        The frame that was looked at.
    """
    drawings.settle()
    rows = () if result is None else result.rows()
    used = {(int(str(row["frame"])), int(str(row["label"]))) for row in rows if row["source"] == row["frame"]}
    for frame in sorted({frame for frame, _ in drawings.corrected & used}):
        assert result is not None
        drawn, shown = drawings.painted(frame), result.labels(frame)
        for label in {label for each, label in drawings.corrected & used if each == frame}:
            mask = drawn == label
            if not mask.any() or np.array_equal(mask, shown == label):
                drawings.corrected.discard((frame, label))
        yield frame
