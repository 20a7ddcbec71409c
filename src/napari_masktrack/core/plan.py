"""Who is carried where: for every frame the result of the annotated frame nearest in time."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from napari_masktrack.config import Direction


@dataclass(frozen=True)
class Leg:
    """One object, carried from one annotated frame as far as that is the nearest.

    Attributes
    ----------
    label : int
    anchor : int
        The annotated frame.
    last : int
        The last frame of the leg, included; before the anchor when it is carried backwards.
    kept : int, optional
        The last frame whose result it gives, by default `last`; beyond it, the object is carried only to
        be compared. On the other side of the anchor when the leg gives no result at all.
    """

    label: int
    anchor: int
    last: int
    kept: int | None = None

    @property
    def ascending(self) -> bool:
        """Whether it runs forwards in time; a leg of the annotated frame alone counts as such."""
        return self.last >= self.anchor

    def covers(self, frame: int) -> bool:
        """Tell whether the leg gives this frame's result; backwards the anchor itself is not given."""
        kept = self.last if self.kept is None else self.kept
        return self.anchor <= frame <= kept if self.ascending else kept <= frame < self.anchor

    def carries(self, frame: int) -> bool:
        """Tell whether the results need the leg to be worked on at this frame, its start included."""
        return self.covers(frame) or (frame == self.anchor and self.gives)

    def compares(self, frame: int) -> bool:
        """Tell whether the leg gives this frame a second mask, beside the one of the result."""
        reached = self.anchor < frame <= self.last if self.ascending else self.last <= frame < self.anchor
        return reached and not self.covers(frame)

    @property
    def gives(self) -> bool:
        """Whether it gives any frame's result."""
        if self.kept is None:
            return True
        return self.kept >= self.anchor if self.ascending else self.kept < self.anchor


def plan(
    anchors: Mapping[int, Sequence[int]],
    *,
    frames: int,
    direction: Direction,
    wanted: range,
    both_sides: bool = False,
) -> tuple[Leg, ...]:
    """Return the legs that give every wanted frame its result.

    Parameters
    ----------
    anchors : mapping of label to annotated frames, sorted
    frames : int
        Length of the movie.
    direction : 'both', 'forward' or 'backward'
    wanted : range
        Frames whose result is asked for; legs lead there but not beyond.
    both_sides : bool
        With the direction 'both', legs go on to the next annotated frame of their object, so that
        frames between two have a second mask to compare with.

    Notes
    -----
    Of two annotated frames equally near, the earlier one counts.
    """
    legs: list[Leg] = []
    for label, places in anchors.items():
        for index, anchor in enumerate(places):
            before = places[index - 1] if index else -1
            after = places[index + 1] if index + 1 < len(places) else frames
            near = _reach((before, anchor, after), direction, frames)
            far = (before + 1, after - 1) if both_sides and direction == "both" else near
            legs += _legs_of(label, anchor, (near, far), wanted)
    return tuple(legs)


def _reach(around: tuple[int, int, int], direction: Direction, frames: int) -> tuple[int, int]:
    """Return the first and last frame to which the middle one of three anchors is the nearest."""
    before, anchor, after = around
    if direction == "forward":
        return anchor, after - 1
    if direction == "backward":
        return before + 1, anchor
    first = 0 if before < 0 else (before + anchor) // 2 + 1
    last = frames - 1 if after == frames else (anchor + after) // 2
    return first, last


def _legs_of(
    label: int, anchor: int, reaches: tuple[tuple[int, int], tuple[int, int]], wanted: range
) -> Iterator[Leg]:
    """Yield the legs from an anchor over the frames nearest to it, and on over those farther away."""
    (near_first, near_last), (far_first, far_last) = (
        (max(first, wanted.start), min(last, wanted.stop - 1)) for first, last in reaches
    )
    earliest, latest = max(anchor, wanted.start), min(anchor, wanted.stop)
    if far_last >= earliest:
        kept = near_last if near_last >= earliest else anchor - 1
        yield Leg(label, anchor, far_last, None if kept == far_last else kept)
    if far_first < latest:
        kept = near_first if near_first < latest else anchor
        yield Leg(label, anchor, far_first, None if kept == far_first else kept)


def itinerary(legs: Iterable[Leg], *, ascending: bool) -> Iterator[tuple[int, list[Leg]]]:
    """Yield each frame that has work in one direction, in order, with its legs sorted by label."""
    step = 1 if ascending else -1
    ahead = sorted((leg for leg in legs if leg.ascending == ascending), key=lambda leg: step * leg.anchor)
    active: list[Leg] = []
    index = frame = 0
    while active or index < len(ahead):
        frame = frame + step if active else ahead[index].anchor
        while index < len(ahead) and ahead[index].anchor == frame:
            active.append(ahead[index])
            index += 1
        yield frame, sorted(active, key=lambda leg: leg.label)
        active = [leg for leg in active if leg.last != frame]


def reached(anchors: Iterable[int], direction: Direction, wanted: range) -> range:
    """Return which of the wanted frames masks are carried to from these annotated frames, or lie there.

    Parameters
    ----------
    anchors : iterable of int
        At least one, of any object.
    direction : 'both', 'forward' or 'backward'
    wanted : range
        Frames in a row.

    Returns
    -------
    range
        Frames in a row; empty where none is reached.
    """
    ends = list(anchors)
    start = max(wanted.start, min(ends)) if direction == "forward" else wanted.start
    stop = min(wanted.stop, max(ends) + 1) if direction == "backward" else wanted.stop
    return range(start, max(start, stop))


def nearest(anchors: Sequence[int], frame: int) -> int:
    """Return the annotated frame nearest to `frame`; of two the earlier."""
    index = bisect_left(anchors, frame)
    around = anchors[max(0, index - 1) : index + 1]
    return min(around, key=lambda anchor: abs(anchor - frame))
