"""Carry annotated masks from frame to frame (paper, section 3.3).

For each frame: the mask of the frame before, moved along the optical flow and widened, guides the
segmentation of a crop around the object; all objects go through the network in one batch and
compete for the pixels. Nothing is kept but the frames beside it and the annotated ones.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.carrier import LOST, Carrier, Piece
from napari_masktrack.core.crf import CrfConfig
from napari_masktrack.core.instances import Labels, merge
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.passes import Moment, sharpened, walk
from napari_masktrack.core.plan import Leg, itinerary, plan
from napari_masktrack.core.segmenter import Segmenter
from napari_masktrack.core.spill import Spill
from napari_masktrack.errors import AnnotationError

CAUTION = 1.5
"""A fine-tuned network is too sure of itself: what it says is missing from a mask is taken so many times
(measured on development movies; docs/benchmarks.md)."""


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The masks of one frame.

    Attributes
    ----------
    frame : int
    labels : uint16 (Y, X)
        Object ids; 0 is background.
    confidence : dict of int to float
        For each object in [0, 1]: the J that is to be expected of its mask, by what the network says
        itself and how far it can be trusted; 1 where the user painted it.
    source : dict of int to int
        For each object the annotated frame that its mask was carried from.
    agreement : dict of int to float
        With the setting `both_sides`, for each object between two of its annotated frames: the J of the
        masks that were carried here from the earlier and from the later one. 1 when it is lost in both.
    probability : uint8 (Y, X) or None
        Of the most probable object of each pixel, 255 where it is certain; only if asked for.
    """

    frame: int
    labels: Labels
    confidence: dict[int, float]
    source: dict[int, int]
    agreement: dict[int, float] = field(default_factory=dict)
    probability: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Headway:
    """Masks were carried over one more frame, which may have to wait there for those of the other direction.

    Attributes
    ----------
    step, steps : int
        Frames carried over so far and in all; one that is reached in both directions counts twice.
    """

    step: int
    steps: int

    @property
    def share(self) -> float:
        """The share of the work that is done, in [0, 1]."""
        return self.step / self.steps


@overload
def propagate(
    movie: Movie,
    annotations: Annotations,
    segment: Segmenter,
    config: PropagationConfig | None = None,
    *,
    frames: range | None = None,
    crf: CrfConfig | None = None,
    probability: bool = False,
    headway: Literal[False] = False,
) -> Iterator[FrameResult]: ...


@overload
def propagate(
    movie: Movie,
    annotations: Annotations,
    segment: Segmenter,
    config: PropagationConfig | None = None,
    *,
    frames: range | None = None,
    crf: CrfConfig | None = None,
    probability: bool = False,
    headway: bool,
) -> Iterator[FrameResult | Headway]: ...


def propagate(
    movie: Movie,
    annotations: Annotations,
    segment: Segmenter,
    config: PropagationConfig | None = None,
    *,
    frames: range | None = None,
    crf: CrfConfig | None = None,
    probability: bool = False,
    headway: bool = False,
) -> Iterator[FrameResult | Headway]:
    """Yield the masks of every frame: first forwards in time, then backwards.

    Parameters
    ----------
    movie : Movie
    annotations : Annotations
        Every object is drawn somewhere: painted, in a box, or with strokes on it. Frames with a painted
        mask or polygon come back as they are.
    segment : Segmenter
        Called with all objects of a frame at once.
    config : PropagationConfig, optional
    frames : range, optional
        The frames to yield; all of them by default. Annotated frames outside still count, and the
        masks are carried from there.
    crf : CrfConfig, optional
        Sharpen the masks by this CRF. By default that of the paper if the config asks for it, else none:
        whether `edges` suits the movie is for `Tracker.propagate` to find out. It changes what comes out, not
        what guides the next frame.
    probability : bool
        Whether the results hold the probability of each pixel.
    headway : bool
        Whether a `Headway` comes for every frame that was carried over, before its result. Frames between
        objects that are annotated on different frames have to wait for both directions: without it
        nothing is heard of the work meanwhile.

    Yields
    ------
    FrameResult
        Each frame once. The iteration may be closed at any time; frames that wait are lost then.
    Headway
        Only if asked for.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie, or the range lies outside; before any work.
    """
    wanted = check(movie, annotations, frames)
    config = config or PropagationConfig()
    legs = plan(
        annotations.anchors(movie.shape),
        frames=len(movie),
        direction=config.direction,
        wanted=wanted,
        both_sides=config.both_sides,
    )
    carriers = [Carrier(movie, annotations, segment, config) for _ in range(2)]
    finish = _Finish(movie.shape, annotations, config, probability=probability)
    crf = CrfConfig() if crf is None and config.crf else crf
    items = _propagate(legs, carriers, finish, crf=crf, wanted=wanted)
    return items if headway else _results(items)


def check(movie: Movie, annotations: Annotations, frames: range | None = None) -> range:
    """Refuse what cannot be propagated, before any work; return the frames that are wanted.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie, or the range lies outside.
    """
    annotations.check(len(movie), movie.shape)
    wanted = range(len(movie)) if frames is None else frames
    if wanted.step != 1:
        raise AnnotationError(
            f"Frames {wanted.start}:{wanted.stop}:{wanted.step} do not follow one another; give a range "
            f"within 0:{len(movie)} in steps of 1."
        )
    if not wanted or wanted[0] < 0 or wanted[-1] >= len(movie):
        raise AnnotationError(
            f"Frames {wanted.start}:{wanted.stop} are not within the movie, which has {len(movie)}; "
            f"give a range within 0:{len(movie)}."
        )
    return wanted


def _propagate(
    legs: Sequence[Leg],
    carriers: Sequence[Carrier],
    finish: "_Finish",
    *,
    crf: CrfConfig | None,
    wanted: range,
) -> Generator[FrameResult | Headway, None, None]:
    given, unfinished = bytearray(wanted.stop), _covered_backwards(legs, wanted)
    steps = sum(1 for ascending in (True, False) for _ in itinerary(legs, ascending=ascending))
    done = count(1)
    with Spill() as waiting:
        for carrier, ascending in zip(carriers, (True, False), strict=True):
            moments = walk(carrier, legs, ascending=ascending, before=waiting.take)
            if crf is not None:
                moments = sharpened(moments, crf, threshold=finish.config.threshold, wanted=wanted)
            for moment in moments:
                yield Headway(next(done), steps)
                if moment.frame not in wanted or not (moment.pieces or moment.before or moment.compared):
                    continue
                if ascending and unfinished[moment.frame]:
                    _keep(moment, waiting)
                    continue
                given[moment.frame] = 1
                yield _given(moment, waiting, finish)
        for frame in wanted:
            if not given[frame]:
                yield finish(frame, [])


def _results(items: Generator[FrameResult | Headway, None, None]) -> Iterator[FrameResult]:
    with closing(items):
        for item in items:
            if isinstance(item, FrameResult):
                yield item


def _keep(moment: Moment, waiting: Spill) -> None:
    """Put away what was found forwards on a frame that also has objects carried backwards."""
    waiting.put(moment.frame, moment.pieces)
    for kind, pieces in (("result", moment.result), ("compared", moment.compared)):
        if pieces and pieces is not moment.pieces:
            waiting.put(moment.frame, pieces, kind=kind)


def _given(moment: Moment, waiting: Spill, finish: "_Finish") -> FrameResult:
    """Join what was found in both directions; what is compared is as the network gave it."""
    frame, threshold = moment.frame, finish.config.threshold
    own = {piece.label: piece for piece in moment.before + moment.pieces}
    compared = waiting.take(frame, kind="compared") + moment.compared
    result = finish(frame, (waiting.take(frame, kind="result") or moment.before) + moment.result)
    twice = sorted((piece for piece in compared if piece.label in result.source), key=lambda p: p.label)
    return replace(result, agreement={p.label: _overlap(own[p.label], p, threshold) for p in twice})


def _overlap(one: Piece, other: Piece, threshold: float) -> float:
    """Return the J of two pieces; 1 when both are nowhere."""
    here, there = one.region(threshold), other.region(threshold)
    if here is None or there is None:
        return float(here is there)
    return here.overlap(there)


def _covered_backwards(legs: Sequence[Leg], wanted: range) -> bytearray:
    """Return 1 for each wanted frame that also has objects carried backwards in time."""
    covered = bytearray(wanted.stop)
    for leg in legs:
        if not leg.ascending:
            end = min(leg.anchor, wanted.stop)
            covered[leg.last : end] = b"\x01" * (end - leg.last)
    return covered


class _Finish:
    """Turn the pieces of a frame into its result; what the user painted stays as it is."""

    def __init__(
        self,
        shape: tuple[int, int],
        annotations: Annotations,
        config: PropagationConfig,
        *,
        probability: bool = False,
    ) -> None:
        self.shape, self.annotations, self.config, self.probability = shape, annotations, config, probability
        self.painted_frames = {item.frame for item in annotations.painted(shape)}

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
        probability = self._probability(frame, pieces) if self.probability else None
        source = {piece.label: piece.source for piece in pieces}
        return FrameResult(frame, labels, confidence, source, probability=probability)

    def _probability(self, frame: int, pieces: Sequence[Piece]) -> npt.NDArray[np.uint8]:
        best = np.zeros(self.shape, np.float32)
        for piece in pieces:
            y0, x0, y1, x1 = piece.box
            np.maximum(best[y0:y1, x0:x1], piece.values, out=best[y0:y1, x0:x1])
        if frame in self.painted_frames:
            best[self.annotations.label_image(frame, self.shape) > 0] = 1
        return np.asarray(np.rint(np.minimum(best, 1) * 255), np.uint8)


def _confidence(piece: Piece, labels: Labels, frame: int) -> float:
    """Return the J to be expected of a piece; an object without a pixel of its own counts as lost."""
    y0, x0, y1, x1 = piece.box
    if piece.source == frame or (labels[y0:y1, x0:x1] == piece.label).any():
        return max(0.0, 1 - CAUTION * (1 - piece.confidence))
    return LOST


def merge_pieces(pieces: Sequence[Piece], shape: tuple[int, int], *, background: float) -> Labels:
    """Give every pixel to the most probable object of a frame."""
    ordered = sorted(pieces, key=lambda piece: piece.label)
    return merge([(p.label, p.values, p.box) for p in ordered], shape, background=background)


def mean_confidence(confidence: Mapping[int, float]) -> float:
    """Return the mean over the objects of a frame; 1 when there is none."""
    return sum(confidence.values()) / len(confidence) if confidence else 1.0
