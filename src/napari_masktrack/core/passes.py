"""One pass over the movie in one direction of time, and the CRF that follows it one frame late."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from napari_masktrack.core.carrier import Carrier, Piece
from napari_masktrack.core.crf import CrfConfig, sharpen
from napari_masktrack.core.instances import Image
from napari_masktrack.core.plan import Leg, itinerary


@dataclass(frozen=True, eq=False)
class Moment:
    """What a pass found on one frame.

    Attributes
    ----------
    frame : int
    image : uint8 (Y, X, C)
    pieces : list of Piece
        What the pass adds to the frame's result, as it guides the next frame.
    result : list of Piece
        The same as the user gets them: sharpened, if that is wanted.
    before : list of Piece
        What an earlier pass has added to this frame.
    compared : list of Piece
        Masks that came here from farther away, only to be compared with those of the result.
    carried : mapping of label to Piece
        The pieces, and where this frame is annotated also those from which the pass starts.
    """

    frame: int
    image: Image
    pieces: list[Piece]
    result: list[Piece]
    before: list[Piece]
    compared: list[Piece]
    carried: Mapping[int, Piece]


def walk(
    carrier: Carrier, legs: Sequence[Leg], *, ascending: bool, before: Callable[[int], list[Piece]]
) -> Iterator[Moment]:
    """Carry all objects over the frames in one direction.

    Parameters
    ----------
    carrier : Carrier
        A fresh one.
    legs : sequence of Leg
        Those of the other direction are left out.
    ascending : bool
        Forwards in time.
    before : callable
        Gives the pieces that an earlier pass has added to a frame.
    """
    for frame, active in itinerary(legs, ascending=ascending):
        earlier = before(frame)
        pairs = list(zip(active, carrier.carry(frame, active, earlier), strict=True))
        assert carrier.image is not None, "a frame was just carried over"
        added = [piece for leg, piece in pairs if leg.covers(frame)]
        compared = [piece for leg, piece in pairs if leg.compares(frame)]
        carried = {leg.label: piece for leg, piece in pairs if leg.carries(frame)}
        yield Moment(frame, carrier.image, added, added, earlier, compared, carried)


def sharpened(
    moments: Iterable[Moment], config: CrfConfig, *, threshold: float, wanted: range
) -> Iterator[Moment]:
    """Sharpen each frame's result with the frames before and after; gives each frame when the next is there.

    Parameters
    ----------
    moments : iterable of Moment
        Of one pass; three are in memory at a time.
    config : CrfConfig
    threshold : float
        Probability from which a pixel is object.
    wanted : range
        Other frames, which only lead there, stay as they are.
    """
    last: Moment | None = None
    now: Moment | None = None
    for following in chain(moments, (None,)):
        if now is not None:
            around = [m for m in (last, following) if m is not None and abs(m.frame - now.frame) == 1]
            asked = now.pieces if now.frame in wanted else ()
            pieces = [_sharpened(piece, now, around, config, threshold=threshold) for piece in asked]
            yield replace(now, result=pieces) if asked else now
        last, now = now, following


def _sharpened(
    piece: Piece, now: Moment, around: Sequence[Moment], config: CrfConfig, *, threshold: float
) -> Piece:
    """Return a piece with its outline moved to the image's edges; one that would vanish stays as it is."""
    others = [(each, each.carried.get(piece.label)) for each in around]
    views = [(now.frame, now.image, piece)]
    views += [(each.frame, each.image, other) for each, other in others if other and other.values.size]
    views.sort(key=lambda view: view[0])
    middle = [frame for frame, *_ in views].index(now.frame)
    patches = [(view.values, view.box) for *_, view in views]
    values, _ = sharpen([image for _, image, _ in views], patches, middle, config)
    if values.size and not values.max() > threshold:
        return piece
    return replace(piece, values=values)
