"""Who is carried where: against an obvious search for the nearest annotated frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_masktrack.core.plan import Leg, itinerary, nearest, plan, reached

LENGTH = 14
frames = st.integers(0, LENGTH - 1)
anchors_of_objects = st.dictionaries(st.integers(1, 4), st.sets(frames, min_size=1).map(sorted), min_size=1)
ranges = st.tuples(frames, frames).map(lambda ends: range(min(ends), max(ends) + 1))
directions = st.sampled_from(["both", "forward", "backward"])


def slow_source(anchors, frame, direction):
    """The annotated frame that a frame's result has to come from; None if there is none."""
    allowed = {
        "both": lambda anchor: True,
        "forward": lambda anchor: anchor <= frame,
        "backward": lambda anchor: anchor >= frame,
    }[direction]
    usable = [anchor for anchor in anchors if allowed(anchor)]
    return min(usable, key=lambda anchor: (abs(anchor - frame), anchor), default=None)


@given(anchors_of_objects, directions, ranges)
def test_every_wanted_frame_comes_once_from_the_nearest_annotated_frame(anchors, direction, wanted):
    legs = plan(anchors, frames=LENGTH, direction=direction, wanted=wanted)
    for label, places in anchors.items():
        for frame in wanted:
            sources = [leg.anchor for leg in legs if leg.label == label and leg.covers(frame)]
            source = slow_source(places, frame, direction)
            assert sources == ([] if source is None else [source])


@given(anchors_of_objects, directions, ranges)
def test_the_frames_that_are_reached_are_those_of_which_any_object_has_a_source(anchors, direction, wanted):
    sources = {
        frame: [slow_source(places, frame, direction) for places in anchors.values()] for frame in wanted
    }
    expected = [frame for frame, found in sources.items() if found != [None] * len(found)]
    assert list(reached([p for places in anchors.values() for p in places], direction, wanted)) == expected


@given(anchors_of_objects, directions, ranges)
def test_no_leg_leads_farther_than_is_wanted(anchors, direction, wanted):
    for leg in plan(anchors, frames=LENGTH, direction=direction, wanted=wanted):
        assert leg.last in wanted
        assert direction == "both" or leg.last == leg.anchor or leg.ascending == (direction == "forward")


@given(anchors_of_objects, directions, ranges)
def test_every_leg_is_walked_from_its_annotated_frame_to_its_end_without_a_gap(anchors, direction, wanted):
    legs = plan(anchors, frames=LENGTH, direction=direction, wanted=wanted)
    for ascending in (True, False):
        walked = {leg: [] for leg in legs if leg.ascending == ascending}
        visited = []
        for frame, active in itinerary(legs, ascending=ascending):
            visited.append(frame)
            assert active
            labels = [leg.label for leg in active]
            assert labels == sorted(set(labels)), "an object is carried once, objects in the order of ids"
            for leg in active:
                walked[leg].append(frame)
        step = 1 if ascending else -1
        assert visited == sorted(set(visited), reverse=not ascending)
        for leg, path in walked.items():
            assert path == list(range(leg.anchor, leg.last + step, step))


@given(anchors_of_objects, directions, ranges)
def test_with_both_sides_frames_between_two_annotated_ones_are_reached_from_both(anchors, direction, wanted):
    near = plan(anchors, frames=LENGTH, direction=direction, wanted=wanted)
    far = plan(anchors, frames=LENGTH, direction=direction, wanted=wanted, both_sides=True)
    for label, places in anchors.items():
        before = [leg for leg in near if leg.label == label]
        after = [leg for leg in far if leg.label == label]
        for frame in range(LENGTH):
            assert {leg.anchor for leg in before if leg.covers(frame)} == {
                leg.anchor for leg in after if leg.covers(frame)
            }
            assert {(leg.anchor, leg.ascending) for leg in before if leg.carries(frame)} == {
                (leg.anchor, leg.ascending) for leg in after if leg.carries(frame)
            }
            sides = {max((a for a in places if a < frame), default=None)}
            sides.add(min((a for a in places if a > frame), default=None))
            between = frame in wanted and frame not in places and None not in sides and direction == "both"
            compared = {leg.anchor for leg in after if leg.compares(frame) and frame in wanted}
            assert compared == (sides - {slow_source(places, frame, direction)} if between else set())
            assert not any(leg.compares(frame) for leg in before)


def test_of_two_annotated_frames_equally_near_the_earlier_one_counts():
    legs = plan({1: [2, 8]}, frames=11, direction="both", wanted=range(11))
    assert next(leg.anchor for leg in legs if leg.covers(5)) == nearest([2, 8], 5) == 2
    assert next(leg.anchor for leg in legs if leg.covers(6)) == nearest([2, 8], 6) == 8


@given(st.sets(frames, min_size=1).map(sorted), frames)
def test_nearest_agrees_with_an_obvious_search(anchors, frame):
    assert nearest(anchors, frame) == slow_source(anchors, frame, "both")


def test_backwards_the_annotated_frame_itself_is_carried_but_not_given():
    leg = Leg(1, anchor=4, last=2)
    assert [frame for frame in range(7) if leg.carries(frame)] == [2, 3, 4]
    assert [frame for frame in range(7) if leg.covers(frame)] == [2, 3]


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (9, 12)])
def test_masks_are_carried_from_an_annotated_frame_outside_the_range(start, stop):
    legs = plan({7: [6]}, frames=12, direction="both", wanted=range(start, stop))
    assert len(legs) == 1
    assert (legs[0].anchor, legs[0].last) == (6, start if start < 6 else stop - 1)
