"""Boxes become masks by what is known of the same object from its other annotated frames."""

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.recall import Recollection
from napari_masktrack.core.region import Region
from napari_masktrack.core.resolver import Resolver

SHAPE = (60, 80)
BOX = (20, 30, 40, 60)


class Comparing:
    """Answers with the guidance, alone as sure as the frame is bright; notes what it compared with."""

    def __init__(self):
        self.compared = []

    def remember(self, image, mask):
        return int(image[mask].mean().round())

    def recalling(self, memories):
        def segment(images, guidance):
            self.compared.append(memories[0])
            return np.where(guidance, np.float32(0.9), 0)

        return segment

    def __call__(self, images, guidance):
        self.compared.append([])
        sure = [image[where].mean() / 255 for image, where in zip(images, guidance, strict=True)]
        return np.stack([np.where(g, np.float32(p), 0) for g, p in zip(guidance, sure, strict=True)])


def mask():
    return Region(BOX, np.ones((20, 30), bool)).to_mask(SHAPE)


def resolve(items, frame, *, brightness, wanted=True):
    """Resolve the item of a frame; give its confidence and all that it was compared with."""
    images = np.stack([np.full((*SHAPE, 3), value, np.uint8) for value in brightness])
    images[:, :1], images[:, -1:] = 0, 255  # so that nothing is stretched
    movie, segment = Movie(images, axes="tyxc"), Comparing()
    annotations = Annotations(items)
    resolver = Resolver(
        Recollection(segment, movie, wanted=wanted), movie, annotations, PropagationConfig(crop_size=64)
    )
    region, confidence = resolver.resolve(annotations.of(1)[frame], movie.image(frame))
    assert (region is None) == (confidence == 0.0)
    return confidence, {brightness for compared in segment.compared[-1:] for brightness in compared}


def test_a_box_is_compared_with_the_same_object_where_it_is_painted_nearest():
    items = [Mask(frame, 1, mask()) for frame in (0, 3, 4)] + [Box(2, 1, BOX), Mask(1, 2, mask())]
    _, compared = resolve(items, 2, brightness=(100, 110, 120, 130, 140))
    assert compared == {130, 100}


def test_of_boxes_only_the_surest_is_taken_alone_and_the_others_are_compared_with_it():
    items = [Box(frame, 1, BOX) for frame in range(3)]
    brightness = (150, 240, 160)
    sure, compared = resolve(items, 1, brightness=brightness)
    assert compared == set()
    assert sure == pytest.approx(240 / 255, abs=0.06)
    for frame in (0, 2):
        sure, compared = resolve(items, frame, brightness=brightness)
        assert compared == {240}
        assert sure == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        ([Box(1, 1, BOX)], True),
        ([Box(1, 1, BOX), Box(0, 2, BOX), Mask(2, 2, mask())], True),
        ([Box(1, 1, BOX), Absent(0, 1)], True),
        ([Box(1, 1, BOX), Mask(0, 1, mask())], False),
    ],
)
def test_a_box_of_which_nothing_else_is_known_is_taken_alone(items, wanted):
    sure, compared = resolve(items, 1, brightness=(250, 200, 250), wanted=wanted)
    assert compared == set()
    assert sure == pytest.approx(200 / 255, abs=0.06)


def test_a_painted_mask_is_taken_as_it_is():
    confidence, compared = resolve([Mask(0, 1, mask()), Box(1, 1, BOX)], 0, brightness=(200, 210))
    assert (confidence, compared) == (1.0, set())
