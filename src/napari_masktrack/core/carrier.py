"""Carry objects over one frame: look, segment, put back, remember."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.deformation import dilate
from napari_masktrack.core.flow import warp
from napari_masktrack.core.instances import (
    BoolImage,
    BoundingBox,
    Image,
    Labels,
    Probability,
    Window,
    crop_image,
    merge,
    paste,
    window_around,
)
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.plan import Leg
from napari_masktrack.core.postprocess import keep_touching
from napari_masktrack.core.recall import Recollection
from napari_masktrack.core.recapture import recapture, search_windows
from napari_masktrack.core.refine import expected_similarity
from napari_masktrack.core.region import Region
from napari_masktrack.core.resolver import Resolver
from napari_masktrack.core.rivalry import give_up_strays, yield_to_owners
from napari_masktrack.core.segmenter import Segmenter
from napari_masktrack.core.track import Track

LOST = 0.3
"""Confidence of an object that is out of sight: it may be hidden, or overlooked."""
MORE = 2.0
"""What is found in place of the little that was left of an object must be larger than that by this factor."""
FLOW_MARGIN = 2.0
"""The optical flow is computed on a patch of this many object sizes."""
FLOW_SIDE = 320
"""Larger patches are reduced to this many pixels for the flow."""
_REFERENCE = 320
"""Side of the crop for which the settings in crop pixels are meant."""
_STEP = 32
_SMALLEST_CROP = 160
"""The network was trained on crops from this size on; on smaller ones it fails."""
_CERTAIN = 2.0
"""More than any probability: what the user painted wins."""


@dataclass(frozen=True, eq=False)
class Piece:
    """One object's share of one frame.

    Attributes
    ----------
    label : int
    values : float32 (y1 - y0, x1 - x0)
        Probability; above 1 where the user painted.
    box : (y0, x0, y1, x1)
        Where the values lie in the frame.
    confidence : float
        In [0, 1].
    source : int
        The annotated frame that it was carried from.
    """

    label: int
    values: Probability
    box: BoundingBox
    confidence: float
    source: int

    def region(self, threshold: float) -> Region | None:
        """Return where the object is more probable than `threshold`; None when that is nowhere."""
        return Region.of(self.values > threshold, corner=self.box[:2]) if self.values.size else None


@dataclass(frozen=True, eq=False)
class _Look:
    """A question to the network and its answer, in pixels of the crop."""

    window: Window
    guidance: BoolImage
    answer: Probability


_Question = tuple[int, Window, BoolImage]
"""Label, where to look, and the coarsened mask there: empty while the object is searched for."""


class Carrier:
    """Carries several objects along one direction of time.

    Parameters
    ----------
    movie : Movie
    annotations : Annotations
    segment : callable
        (B, S, S, 3) uint8 and (B, S, S) bool to (B, S, S) float32.
    config : PropagationConfig

    Attributes
    ----------
    image : uint8 (Y, X, C) or None
        The frame that was carried over last.
    """

    def __init__(
        self, movie: Movie, annotations: Annotations, segment: Segmenter, config: PropagationConfig
    ) -> None:
        self.movie, self.annotations, self.segment, self.config = movie, annotations, segment, config
        self.recollection = Recollection(segment, movie, wanted=config.reference)
        self._resolver = Resolver(self.recollection, movie, annotations, config)
        self.tracks: dict[int, Track] = {}
        self.image: Image | None = None

    def carry(self, frame: int, legs: Sequence[Leg], rivals: Sequence[Piece] = ()) -> list[Piece]:
        """Return the pieces of a frame, one per leg; frames must come in the order of the legs.

        Objects that are carried only to be compared see the others, but are not seen by them.

        Parameters
        ----------
        frame : int
        legs : sequence of Leg
        rivals : sequence of Piece
            Other objects on this frame that were carried there before; they compete for the pixels.
        """
        image = self.movie.image(frame)
        needed = [leg for leg in legs if leg.carries(frame)]
        compared = [leg for leg in legs if not leg.carries(frame)]
        pieces = self._carry(frame, image, needed, rivals)
        if compared:
            labels = {leg.label for leg in compared}
            others = [piece for piece in (*rivals, *pieces.values()) if piece.label not in labels]
            pieces |= self._carry(frame, image, compared, others)
        self.tracks = {leg.label: self.tracks[leg.label] for leg in legs}
        self.image = image
        return [pieces[leg.label] for leg in legs]

    def _carry(
        self, frame: int, image: Image, legs: Sequence[Leg], rivals: Sequence[Piece]
    ) -> dict[int, Piece]:
        """Return the pieces of objects that compete with one another and with their rivals."""
        going = [leg for leg in legs if leg.anchor != frame]
        pieces = {leg.label: self._start(frame, leg.label, image) for leg in legs if leg.anchor == frame}
        pieces.update(self._step(image, going, [*pieces.values(), *rivals], len(legs)))
        labels = self._settle(pieces, rivals)
        for leg in going:
            self._remember(leg.label, pieces[leg.label], labels)
        return pieces

    def _settle(self, pieces: dict[int, Piece], rivals: Sequence[Piece]) -> Labels:
        """Let the objects compete for the pixels; stray parts that a rival claims go to the rival."""
        labels = self._merge([*pieces.values(), *rivals])
        if len(pieces) + len(rivals) == 1:
            return labels
        claims = {p.label: (p.label, p.values, p.box) for p in (*rivals, *pieces.values()) if p.values.size}
        for label in pieces.keys() & claims.keys():
            others = [other for key, other in claims.items() if key != label]
            values = give_up_strays(claims[label], labels, others, threshold=self.config.threshold)
            pieces[label] = replace(pieces[label], values=values)
        return self._merge([*pieces.values(), *rivals])

    def _merge(self, pieces: Sequence[Piece]) -> Labels:
        claims = [(piece.label, piece.values, piece.box) for piece in pieces]
        return merge(claims, self.movie.shape, background=self.config.threshold)

    def _start(self, frame: int, label: int, image: Image) -> Piece:
        """Begin at an annotation: a painted mask is taken as it is, a box or scribble is refined first."""
        items = self.annotations.of(label)
        region, confidence = self._resolver.resolve(items[frame], image)
        self.recollection.begin(label, frame, region, image, items=items)
        self.tracks[label] = Track.start(
            region,
            frame_shape=self.movie.shape,
            margin=self.config.margin,
            area=self._painted_area(label, frame) if region is None else 0.0,
        )
        if region is None:
            return Piece(label, np.zeros((0, 0), np.float32), (0, 0, 0, 0), confidence, frame)
        return Piece(label, region.mask.astype(np.float32) * _CERTAIN, region.box, confidence, frame)

    def _painted_area(self, label: int, frame: int) -> float:
        """Return the pixels of an object where it is painted nearest to a frame; 0 if it is nowhere."""
        painted = self.annotations.painted_near(label, frame, self.movie.shape)
        if not painted:
            return 0.0
        nearest = self.annotations.of(label)[painted[0]]
        return float(np.count_nonzero(nearest.guidance(self.movie.shape)))

    def _step(
        self, image: Image, legs: Sequence[Leg], others: Sequence[Piece], count: int
    ) -> dict[int, Piece]:
        """Ask the network where the objects of these legs have gone; the others are where they are."""
        if not legs:
            return {}
        size = crop_size(self.config, count)
        moved = {leg.label: self._moved(self.tracks[leg.label], image) for leg in legs}
        looks = self._ask(image, self._questions(moved, size))
        owned = {label: track.region for label, track in moved.items() if track.region is not None}
        pieces = {
            leg.label: self._in_sight(leg, looks[leg.label].pop(0), owned)
            for leg in legs
            if leg.label in owned
        }
        missed = [leg for leg in legs if looks[leg.label]]
        there = [piece.region(self.config.threshold) for piece in others] if missed else []
        held = {piece.label: piece.region(self.config.threshold) for piece in pieces.values() if missed}
        for leg in missed:
            taken = [*there, *(region for label, region in held.items() if label != leg.label)]
            found = self._found(leg, looks[leg.label], image, taken=taken)
            pieces[leg.label] = found or pieces.get(leg.label, _lost(leg))
            held[leg.label] = pieces[leg.label].region(self.config.threshold)
        return pieces

    def _moved(self, track: Track, image: Image) -> Track:
        """Return the track with its mask moved along the optical flow, where that can be trusted."""
        if not self.config.warp or track.region is None or self.image is None:
            return track
        bounds = window_around(track.region.box, margin=FLOW_MARGIN).bounds(self.movie.shape)
        part = (slice(bounds[0], bounds[2]), slice(bounds[1], bounds[3]))
        mask = track.region.part(bounds)
        moved, trusted = warp(mask, self.image[part], image[part], longest_side=FLOW_SIDE, preset="fine")
        region = Region.of(moved, corner=bounds[:2]) if trusted else None
        return track if region is None else replace(track, region=region)

    def _questions(self, tracks: Mapping[int, Track], size: int) -> list[_Question]:
        """Return what to ask about each object: where it was, if it is in sight, then where it may be."""
        questions: list[_Question] = []
        for label, track in tracks.items():
            if track.region is not None:
                window = track.look(self.config, self.movie.shape)
                radius = self.config.dilation * size / _REFERENCE
                questions.append((label, window, dilate(track.region.crop(window, size), radius)))
            if track.region is None or track.in_doubt:
                windows = search_windows(replace(track, region=None), self.config, self.movie.shape)
                questions += [(label, window, np.zeros((size, size), bool)) for window in windows]
        return questions

    def _ask(self, image: Image, questions: Sequence[_Question]) -> dict[int, list[_Look]]:
        """Put all questions of a frame to the network at once."""
        size = questions[0][2].shape[0]
        crops = np.stack([crop_image(image, window, size) for _, window, _ in questions])
        segment = self.recollection.of([label for label, *_ in questions])
        answers = segment(crops, np.stack([guidance for *_, guidance in questions]))
        looks: dict[int, list[_Look]] = {}
        for (label, window, guidance), answer in zip(questions, answers, strict=True):
            looks.setdefault(label, []).append(_Look(window, guidance, answer))
        return looks

    def _found(
        self, leg: Leg, looks: Sequence[_Look], image: Image, *, taken: Iterable[Region | None]
    ) -> Piece | None:
        """Return an object that was lost, or nearly so, if it is found again where no other object is."""
        track = self.tracks[leg.label]
        answers = [(look.window, look.answer) for look in looks]
        found = recapture(
            track, answers, image, self.recollection.of([leg.label]),
            config=self.config, taken=[region for region in taken if region is not None],
        )  # fmt: skip
        if found is None:
            return None
        region, confidence = found
        if track.region is not None and region.area < MORE * track.region.area:
            return None
        return Piece(leg.label, region.mask.astype(np.float32), region.box, confidence, leg.anchor)

    def _in_sight(self, leg: Leg, look: _Look, owned: Mapping[int, Region]) -> Piece:
        """Return an object that was in sight, without the parts that are too far from where it was."""
        threshold, answer = self.config.threshold, look.answer
        reach = self.config.reach * answer.shape[0] / _REFERENCE
        kept = keep_touching(answer > threshold, look.guidance, reach=reach)
        answer = np.where(kept | (answer <= threshold), answer, 0)
        values, box = paste(answer, look.window, self.movie.shape)
        confidence = expected_similarity(answer, threshold) or LOST
        return Piece(leg.label, yield_to_owners(values, box, leg.label, owned), box, confidence, leg.anchor)

    def _remember(self, label: int, piece: Piece, labels: Labels) -> None:
        track = self.tracks[label]
        y0, x0, y1, x1 = piece.box
        region = Region.of(labels[y0:y1, x0:x1] == label, corner=(y0, x0)) if y1 > y0 else None
        window = track.look(self.config, self.movie.shape)
        if region is not None and track.is_object(region):
            self.tracks[label] = track.seen(region, window)
        else:
            self.tracks[label] = track.missed(window)


def _lost(leg: Leg) -> Piece:
    return Piece(leg.label, np.zeros((0, 0), np.float32), (0, 0, 0, 0), LOST, leg.anchor)


def crop_size(config: PropagationConfig, objects: int) -> int:
    """Return the side of the crops in pixels: smaller when many objects share the time of a frame."""
    if objects <= config.crowd:
        return config.crop_size
    side = config.crop_size * (config.crowd / objects) ** 0.5
    return min(config.crop_size, max(_SMALLEST_CROP, int(side) // _STEP * _STEP))
