"""Carry annotated masks from frame to frame (paper, section 3.3).

For each frame: the mask of the frame before, moved along the optical flow and widened, guides the
segmentation of a crop around the object; all objects go through the network in one batch and
compete for the pixels. Nothing is kept but the frame before and the annotated ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.carrier import LOST, Carrier, Piece
from napari_masktrack.core.instances import Labels, merge
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.plan import Leg, itinerary, plan
from napari_masktrack.core.spill import Spill
from napari_masktrack.errors import AnnotationError


class Segmenter(Protocol):
    """Anything that refines rough masks: the network, or a fake one in tests."""

    def __call__(
        self, images: npt.NDArray[np.uint8], guidance: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Return the probability (B, S, S) of the objects that `guidance` (B, S, S) means in the images."""
        ...


@dataclass(frozen=True)
class FrameResult:
    """The masks of one frame.

    Attributes
    ----------
    frame : int
    labels : uint16 (Y, X)
        Object ids; 0 is background.
    confidence : dict of int to float
        For each object in [0, 1]: the J that the network expects of its own mask; 1 where the user
        painted it.
    source : dict of int to int
        For each object the annotated frame that its mask was carried from.
    """

    frame: int
    labels: Labels
    confidence: dict[int, float]
    source: dict[int, int]


def propagate(
    movie: Movie,
    annotations: Annotations,
    segment: Segmenter,
    config: PropagationConfig | None = None,
    *,
    frames: range | None = None,
) -> Iterator[FrameResult]:
    """Yield the masks of every frame: first forwards in time, then backwards.

    Parameters
    ----------
    movie : Movie
    annotations : Annotations
        At least one painted object. Frames with a painted mask or polygon come back as they are.
    segment : Segmenter
        Called with all objects of a frame at once.
    config : PropagationConfig, optional
    frames : range, optional
        The frames to yield; all of them by default. Annotated frames outside still count, and the
        masks are carried from there.

    Yields
    ------
    FrameResult
        Each frame once. The iteration may be closed at any time.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie, or the range lies outside; before any work.
    """
    annotations.check(len(movie), movie.shape)
    wanted = range(len(movie)) if frames is None else frames
    if not wanted or wanted.step != 1 or wanted[0] < 0 or wanted[-1] >= len(movie):
        raise AnnotationError(
            f"Frames {wanted.start}:{wanted.stop} are not within the movie, which has {len(movie)}; "
            f"give a range within 0:{len(movie)}."
        )
    return _propagate(movie, annotations, segment, config or PropagationConfig(), wanted=wanted)


def _propagate(
    movie: Movie, annotations: Annotations, segment: Segmenter, config: PropagationConfig, *, wanted: range
) -> Iterator[FrameResult]:
    legs = plan(_anchors(annotations, movie), frames=len(movie), direction=config.direction, wanted=wanted)
    finish = _Finish(movie.shape, annotations, config)
    given, unfinished = bytearray(len(movie)), _covered_backwards(legs, len(movie))
    with Spill() as waiting:
        for ascending in (True, False):
            carrier = Carrier(movie, annotations, segment, config)
            for frame, active in itinerary(legs, ascending=ascending):
                before = [] if ascending else waiting.take(frame)
                pieces = carrier.carry(frame, active, before)
                pieces = [p for p, leg in zip(pieces, active, strict=True) if leg.covers(frame)]
                if frame not in wanted or not (pieces or before):
                    continue
                if ascending and unfinished[frame]:
                    waiting.put(frame, pieces)
                    continue
                given[frame] = 1
                yield finish(frame, before + pieces)
        for frame in wanted:
            if not given[frame]:
                yield finish(frame, waiting.take(frame))


def _anchors(annotations: Annotations, movie: Movie) -> dict[int, list[int]]:
    """Return the frames from which each object is carried; strokes beside it alone say not where it is."""
    anchors: dict[int, list[int]] = {}
    for item in annotations.items:
        if item.exact or item.is_painted(movie.shape):
            anchors.setdefault(item.label, []).append(item.frame)
    return dict(sorted(anchors.items()))


def _covered_backwards(legs: Sequence[Leg], frames: int) -> bytearray:
    """Return 1 for each frame that also has objects carried backwards in time."""
    covered = bytearray(frames)
    for leg in legs:
        if not leg.ascending:
            covered[leg.last : leg.anchor] = b"\x01" * (leg.anchor - leg.last)
    return covered


class _Finish:
    """Turn the pieces of a frame into its result; what the user painted stays as it is."""

    def __init__(self, shape: tuple[int, int], annotations: Annotations, config: PropagationConfig) -> None:
        self.shape, self.annotations, self.config = shape, annotations, config
        self.painted_frames = {
            item.frame for item in annotations.items if item.exact and item.is_painted(shape)
        }

    def __call__(self, frame: int, pieces: list[Piece]) -> FrameResult:
        if frame in self.painted_frames and not self.config.fill_annotated:
            here = {item.label for item in self.annotations.at(frame)}
            pieces = [piece for piece in pieces if piece.label in here]
        labels = merge_pieces(pieces, self.shape, background=self.config.threshold)
        if frame in self.painted_frames:
            painted = self.annotations.label_image(frame, self.shape)
            labels = np.where(painted > 0, painted, labels)
        pieces = sorted(pieces, key=lambda piece: piece.label)
        confidence = {p.label: _confidence(p, labels, frame) for p in pieces}
        return FrameResult(frame, labels, confidence, {p.label: p.source for p in pieces})


def _confidence(piece: Piece, labels: Labels, frame: int) -> float:
    """Return how sure a piece is; an object that lost all its pixels to others counts as lost."""
    y0, x0, y1, x1 = piece.box
    if piece.source == frame or (labels[y0:y1, x0:x1] == piece.label).any():
        return piece.confidence
    return min(piece.confidence, LOST)


def merge_pieces(pieces: Sequence[Piece], shape: tuple[int, int], *, background: float) -> Labels:
    """Give every pixel to the most probable object of a frame."""
    ordered = sorted(pieces, key=lambda piece: piece.label)
    return merge([(p.label, p.values, p.box) for p in ordered], shape, background=background)


def mean_confidence(confidence: Mapping[int, float]) -> float:
    """Return the mean over the objects of a frame; 1 when there is none."""
    return sum(confidence.values()) / len(confidence) if confidence else 1.0
