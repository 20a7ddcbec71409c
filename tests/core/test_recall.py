"""Objects are remembered from their annotated frame, and each crop is asked about with its own memory."""

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Absent, Annotations, Mask
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.recall import Recollection
from napari_masktrack.core.region import Region
from napari_masktrack.core.streams import TwoStreamMovie, TwoStreams
from napari_masktrack.propagation import propagate

SHAPE = (60, 80)


class Remembering:
    """Keeps crops as memories; answers with the guidance, as sure as the memory is bright."""

    def __init__(self):
        self.remembered, self.asked = [], []

    def remember(self, image, mask):
        self.remembered.append((image, mask))
        return float(image[mask].mean()) / 255

    def recalling(self, memories):
        def segment(images, guidance):
            self.asked.append(list(memories))
            sure = [np.mean(known) if known else 0.55 for known in memories]
            return np.stack([np.where(g, np.float32(p), 0) for g, p in zip(guidance, sure, strict=True)])

        return segment

    def __call__(self, images, guidance):
        self.asked.append(None)
        return np.where(guidance, np.float32(0.55), 0)


def image(brightness):
    return np.full((*SHAPE, 3), brightness, np.uint8)


def square(y, x):
    mask = np.zeros(SHAPE, bool)
    mask[y : y + 15, x : x + 15] = True
    return mask


def movie(*brightness):
    return Movie(np.stack([image(value) for value in brightness]), axes="tyxc")


def begin(recollection, label, mask, brightness):
    """Remember an object that is annotated on frame 0 only."""
    items = {0: Mask(0, label, mask)}
    recollection.begin(label, 0, Region.of(mask), image(brightness), items=items)


def test_each_crop_is_asked_about_with_its_memory_and_unknown_objects_without():
    recollection = Recollection(Remembering(), movie(100), wanted=True)
    begin(recollection, 1, square(20, 20), 204)
    begin(recollection, 2, square(20, 50), 153)
    guidance = np.ones((3, 4, 4), bool)
    answers = recollection.of([2, 3, 1])(np.zeros((3, 4, 4, 3), np.uint8), guidance)
    assert np.allclose(answers[:, 0, 0], [0.6, 0.55, 0.8])


def test_what_is_remembered_is_the_object_with_its_surroundings():
    segment = Remembering()
    begin(Recollection(segment, movie(100), wanted=True), 1, square(20, 20), 100)
    ((crop, mask),) = segment.remembered
    assert crop.shape == (*mask.shape, 3)
    assert mask.mean() == pytest.approx(0.25, abs=0.02)


def test_the_nearest_other_painted_frame_is_remembered_too_and_read_once():
    reads = []

    class Counting(Movie):
        def image(self, frame):
            reads.append(frame)
            return super().image(frame)

    shades = (51, 0, 0, 102, 153, 204, 255)
    counting = Counting(np.stack([image(value) for value in shades]), axes="tyxc")
    segment = Remembering()
    recollection = Recollection(segment, counting, wanted=True)
    mask = square(20, 20)
    items = {0: Mask(0, 1, mask), 2: Absent(2, 1), 3: Mask(3, 1, mask), 5: Mask(5, 1, mask)}
    for label in (1, 2):  # two objects, annotated on the same frames
        recollection.begin(label, 0, Region.of(mask), counting.image(0), items=items)
    recollection.of([1])(np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 4, 4), bool))
    assert segment.asked[-1] == [[pytest.approx(0.2), pytest.approx(0.4)]]
    assert reads == [0, 3, 0]
    recollection.begin(1, 3, Region.of(mask), counting.image(3), items=items)
    recollection.of([1])(np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 4, 4), bool))
    assert segment.asked[-1] == [[pytest.approx(0.4), pytest.approx(0.8)]]


def test_where_an_object_is_absent_it_is_remembered_from_where_it_is_painted():
    segment = Remembering()
    seen = movie(0, 255, 51, 102)
    items = {0: Absent(0, 1), 2: Mask(2, 1, square(20, 20)), 3: Mask(3, 1, square(20, 20))}
    recollection = Recollection(segment, seen, wanted=True)
    recollection.begin(1, 0, None, seen.image(0), items=items)
    recollection.of([1])(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), bool))
    assert segment.asked[-1] == [[pytest.approx(0.2), pytest.approx(0.4)]]


@pytest.mark.parametrize("wanted", [True, False])
def test_the_paper_s_plain_mode_remembers_nothing(wanted):
    segment = Remembering()
    annotations = Annotations([Mask(0, 1, square(20, 20)), Absent(2, 1)])
    list(propagate(movie(200, 200, 200), annotations, segment, PropagationConfig(reference=wanted)))
    assert len(segment.remembered) == wanted
    assert any(segment.asked) == wanted


def test_a_segmenter_that_cannot_remember_is_used_as_it_is():
    def segment(images, guidance):
        return guidance.astype(np.float32)

    recollection = Recollection(segment, movie(100), wanted=True)
    begin(recollection, 1, square(20, 20), 100)
    assert recollection.of([1]) is segment


def test_both_streams_remember_each_what_it_sees():
    appearance, motion = Remembering(), Remembering()
    seen = movie(200, 200, 200)
    annotations = Annotations([Mask(0, 1, square(20, 20))])
    config = PropagationConfig(flow=True)
    list(propagate(TwoStreamMovie(seen), annotations, TwoStreams(appearance, motion), config))
    brightness = float(seen.image(0).mean()) / 255
    assert len(appearance.asked) == 2
    assert all(known == [pytest.approx(brightness)] for asked in appearance.asked for known in asked)
    assert not any(value for asked in motion.asked for known in asked for value in known)  # nothing moves


def test_two_streams_of_which_one_cannot_remember_do_without():
    appearance = Remembering()
    streams = TwoStreams(appearance, lambda images, guidance: guidance.astype(np.float32))
    assert streams.remember(np.zeros((8, 8, 4), np.uint8), np.ones((8, 8), bool)) is None
