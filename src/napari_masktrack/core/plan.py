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
    """

    label: int
    anchor: int
    last: int

    @property
    def ascending(self) -> bool:
        """Whether it runs forwards in time; a leg of the annotated frame alone counts as such."""
        return self.last >= self.anchor

    def covers(self, frame: int) -> bool:
        """Tell whether the leg gives this frame's result; backwards the anchor itself is not given."""
        return self.anchor <= frame <= self.last if self.ascending else self.last <= frame < self.anchor

    def carries(self, frame: int) -> bool:
        """Tell whether the leg has to be worked on at this frame, its start included."""
        return self.covers(frame) or frame == self.anchor


def plan(
    anchors: Mapping[int, Sequence[int]], *, frames: int, direction: Direction, wanted: range
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

    Notes
    -----
    Of two annotated frames equally near, the earlier one counts.
    """
    legs: list[Leg] = []
    for label, places in anchors.items():
        for index, anchor in enumerate(places):
            before = places[index - 1] if index else -1
            after = places[index + 1] if index + 1 < len(places) else frames
            legs += _legs_of(label, anchor, _reach((before, anchor, after), direction, frames), wanted)
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


def _legs_of(label: int, anchor: int, reach: tuple[int, int], wanted: range) -> Iterator[Leg]:
    first, last = max(reach[0], wanted.start), min(reach[1], wanted.stop - 1)
    if last >= max(anchor, wanted.start):
        yield Leg(label, anchor, last)
    if first < anchor and first < wanted.stop:
        yield Leg(label, anchor, first)


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


def nearest(anchors: Sequence[int], frame: int) -> int:
    """Return the annotated frame nearest to `frame`; of two the earlier."""
    index = bisect_left(anchors, frame)
    around = anchors[max(0, index - 1) : index + 1]
    return min(around, key=lambda anchor: abs(anchor - frame))
