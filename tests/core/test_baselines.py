"""Copies follow the nearest annotation, oracles the true box."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Scribble
from napari_masktrack.core.baselines import (
    COPIES,
    ORACLES,
    box_oracle,
    copy_nearest,
    copy_warped,
    grabcut_oracle,
)
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError

SHAPE = (90, 120)
FRAMES = 9


def disc(frame, *, y=45, speed=5, radius=14):
    rows, columns = np.indices(SHAPE)
    return (rows - y) ** 2 + (columns - 30 - speed * frame) ** 2 < radius**2


def texture(seed, low, high):
    noise = gaussian_filter(np.random.default_rng(seed).random(SHAPE), 2)
    return low + (high - low) * (noise - noise.min()) / np.ptp(noise)


def movie():
    """A textured bright disc moves over a textured dark ground."""
    ground, thing = texture(0, 20, 110), texture(1, 120, 240)
    frames = [np.where(disc(t), np.roll(thing, 5 * t, 1), ground) for t in range(FRAMES)]
    return Movie(np.stack(frames).astype(np.uint8))


def truth(label=1):
    return ((frame, (disc(frame) * label).astype(np.uint16)) for frame in range(FRAMES))


def collect(frames):
    results = list(frames)
    assert all(result.labels.dtype == np.uint16 and result.labels.shape == SHAPE for result in results)
    assert [result.frame for result in results] == sorted(result.frame for result in results)
    return {result.frame: result.labels for result in results}


@pytest.mark.parametrize("name", COPIES)
def test_copies_give_every_frame_and_annotated_ones_as_they_are(name):
    annotations = Annotations([Mask(2, 7, disc(2)), Mask(6, 7, disc(6))])
    results = collect(COPIES[name](movie(), annotations))
    assert list(results) == list(range(FRAMES))
    for frame in (2, 6):
        assert np.array_equal(results[frame], disc(frame) * 7)


def test_a_copy_comes_from_the_nearest_annotation_of_two_the_earlier():
    annotations = Annotations([Mask(2, 1, disc(2)), Mask(6, 1, disc(6))])
    results = collect(copy_nearest(movie(), annotations))
    sources = [2, 2, 2, 2, 2, 6, 6, 6, 6]
    for frame, source in enumerate(sources):
        assert np.array_equal(results[frame] == 1, disc(source))


def test_a_warped_copy_follows_the_motion_in_both_directions():
    annotations = Annotations([Mask(4, 3, disc(4))])
    copied, warped = (collect(copy(movie(), annotations)) for copy in (copy_nearest, copy_warped))
    for frame in (0, FRAMES - 1):
        assert region_similarity(disc(frame), warped[frame] == 3) > 0.8
        assert region_similarity(disc(frame), copied[frame] == 3) < 0.3


def test_objects_are_copied_each_from_its_own_frame_the_larger_id_in_front():
    low, high = disc(1, speed=0), disc(0, y=55, speed=0)
    annotations = Annotations([Mask(0, 1, low), Mask(8, 2, high)])
    for copy in COPIES.values():
        labels = collect(copy(Movie(np.full((FRAMES, *SHAPE), 50, np.uint8)), annotations))[4]
        assert np.array_equal(labels == 2, high)
        assert np.array_equal(labels == 1, low & ~high)


def test_boxes_scribbles_and_absence_are_copied_as_they_stand():
    stroke = np.zeros(SHAPE, bool)
    stroke[10, 10:30] = True
    annotations = Annotations(
        [
            Box(0, 1, (50, 20, 70, 40)),
            Scribble(0, 2, stroke),
            Absent(8, 1),
            Scribble(8, 2, np.zeros_like(stroke), stroke),
        ]
    )
    results = collect(copy_nearest(movie(), annotations))
    assert (results[0][50:70, 20:40] == 1).all()
    assert (results[4] == 1).sum() == 400
    assert not (results[5] == 1).any()
    assert np.array_equal(results[8] == 2, stroke)


@pytest.mark.parametrize("name", COPIES)
def test_annotations_that_do_not_fit_are_refused_before_any_work(name):
    with pytest.raises(AnnotationError, match="outside the movie"):
        COPIES[name](movie(), Annotations([Mask(FRAMES, 1, disc(0))]))


@pytest.mark.parametrize("name", ORACLES)
def test_oracles_give_the_frames_of_the_truth(name):
    some = [(frame, labels) for frame, labels in truth(5) if frame in (1, 4)]
    results = collect(ORACLES[name](movie(), some))
    assert list(results) == [1, 4]
    assert all(set(np.unique(labels)) == {0, 5} for labels in results.values())


@pytest.mark.parametrize("name", ORACLES)
def test_a_truth_of_another_size_is_refused(name):
    with pytest.raises(AnnotationError, match="frame 3"):
        list(ORACLES[name](movie(), [(3, np.ones((5, 5), np.uint8))]))


@pytest.mark.parametrize("name", ORACLES)
def test_a_frame_without_objects_stays_empty(name):
    assert not next(ORACLES[name](movie(), [(0, np.zeros(SHAPE, np.uint8))])).labels.any()


def test_the_box_oracle_fills_the_box():
    labels = collect(box_oracle(movie(), truth()))[3]
    rows, columns = np.nonzero(disc(3))
    assert (labels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 1).all()
    assert region_similarity(disc(3), labels == 1) == pytest.approx(np.pi / 4, abs=0.06)


def test_smaller_boxes_lie_in_front():
    labels = np.zeros(SHAPE, np.uint16)
    labels[10:60, 10:60], labels[20:25, 20:25] = 2, 1
    boxes = next(box_oracle(movie(), [(0, labels)])).labels
    assert np.array_equal(boxes, labels)


def test_the_grabcut_oracle_finds_the_object_in_its_box_again_and_again():
    first, second = (collect(grabcut_oracle(movie(), truth())) for _ in range(2))
    for frame, labels in first.items():
        assert region_similarity(disc(frame), labels == 1) > 0.9
        assert np.array_equal(labels, second[frame])


@pytest.mark.parametrize("box", [(0, 0, 90, 120), (40, 40, 41, 41), (0, 0, 90, 119), (0, 0, 2, 120)])
def test_grabcut_takes_any_box_within_the_frame(box):
    labels = np.zeros(SHAPE, np.uint16)
    labels[box[0] : box[2], box[1] : box[3]] = 1
    for image in (movie(), Movie(np.full((1, *SHAPE), 9, np.uint8))):
        found = next(grabcut_oracle(image, [(0, labels)])).labels
        assert not (found > labels).any()
