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
            return np.stack([np.where(g, np.float32(m), 0) for g, m in zip(guidance, memories, strict=True)])

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


def test_each_crop_is_asked_about_with_its_memory_and_unknown_objects_without():
    segment = Remembering()
    recollection = Recollection(segment, wanted=True)
    recollection.remember(1, Region.of(square(20, 20)), image(204))
    recollection.remember(2, Region.of(square(20, 50)), image(153))
    guidance = np.ones((3, 4, 4), bool)
    answers = recollection.of([2, 3, 1])(np.zeros((3, 4, 4, 3), np.uint8), guidance)
    assert np.allclose(answers[:, 0, 0], [0.6, 0.55, 0.8])


def test_what_is_remembered_is_the_object_with_its_surroundings():
    segment = Remembering()
    Recollection(segment, wanted=True).remember(1, Region.of(square(20, 20)), image(100))
    ((crop, mask),) = segment.remembered
    assert crop.shape == (*mask.shape, 3)
    assert mask.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_paper_s_plain_mode_remembers_nothing(wanted):
    segment = Remembering()
    movie = Movie(np.stack([image(200)] * 3), axes="tyxc")
    annotations = Annotations([Mask(0, 1, square(20, 20)), Absent(2, 1)])
    list(propagate(movie, annotations, segment, PropagationConfig(reference=wanted)))
    assert len(segment.remembered) == wanted
    assert any(segment.asked) == wanted


def test_a_segmenter_that_cannot_remember_is_used_as_it_is():
    def segment(images, guidance):
        return guidance.astype(np.float32)

    recollection = Recollection(segment, wanted=True)
    recollection.remember(1, Region.of(square(20, 20)), image(100))
    assert recollection.of([1]) is segment


def test_both_streams_remember_each_what_it_sees():
    appearance, motion = Remembering(), Remembering()
    movie = Movie(np.stack([image(200)] * 3), axes="tyxc")
    annotations = Annotations([Mask(0, 1, square(20, 20))])
    config = PropagationConfig(flow=True)
    list(propagate(TwoStreamMovie(movie), annotations, TwoStreams(appearance, motion), config))
    brightness = float(movie.image(0).mean()) / 255
    assert [m for asked in appearance.asked for m in set(asked)] == [pytest.approx(brightness)] * 2
    assert not any(m for asked in motion.asked for m in asked)  # nothing moves


def test_two_streams_of_which_one_cannot_remember_do_without():
    appearance = Remembering()
    streams = TwoStreams(appearance, lambda images, guidance: guidance.astype(np.float32))
    assert streams.remember(np.zeros((8, 8, 4), np.uint8), np.ones((8, 8), bool)) is None
