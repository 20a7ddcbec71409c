"""What the network sees on annotated frames, without having been shown the annotation there."""

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Scribble
from napari_masktrack.core.crf_examples import crf_examples, meant
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.movie import Movie

SHAPE = (64, 96)
CONFIG = PropagationConfig(crop_size=96)


def square(frame):
    mask = np.zeros(SHAPE, bool)
    mask[20:40, 10 + 3 * frame : 30 + 3 * frame] = True
    return mask


def movie(frames=5):
    images = np.stack([np.where(square(frame), 200, 20) for frame in range(frames)])
    return Movie(images.astype(np.uint8))


def bright(images, guidance):
    near = guidance.any(axis=(1, 2), keepdims=True)
    return np.where((images[..., 0] > 110) & near, np.float32(0.8), np.float32(0.1))


def examples(items, *, frames=5, segment=bright, **options):
    found = crf_examples(movie(frames), segment, annotations=Annotations(items), config=CONFIG, **options)
    return list(found)


@pytest.mark.parametrize(("frame", "count", "middle"), [(2, 3, 1), (0, 2, 0), (4, 2, 1)])
def test_an_example_has_the_frames_around_and_the_networks_own_probabilities(frame, count, middle):
    (example,) = examples([Mask(frame, 7, square(frame))])
    assert (len(example.images), len(example.patches), example.middle) == (count, count, middle)
    assert np.array_equal(example.truth, square(frame))
    for at, (image, (values, box)) in enumerate(zip(example.images, example.patches, strict=True)):
        shown = frame - middle + at
        assert np.array_equal(image, movie().image(shown))
        assert values.max() == pytest.approx(0.8), "not the certain mask of the user"
        found = np.zeros(SHAPE, bool)
        found[box[0] : box[2], box[1] : box[3]] = values > 0.5
        assert region_similarity(square(shown), found) > 0.85


def test_examples_are_spread_over_the_annotations():
    items = [Mask(frame, 1, square(frame)) for frame in range(5)]
    chosen = [example.truth.any(axis=0).argmax() for example in examples(items, most=3)]
    assert chosen == [10, 16, 22]


def test_boxes_lost_objects_and_a_single_frame_give_no_example():
    assert examples([Box(0, 1, (18, 8, 42, 32)), Absent(2, 1)]) == []
    assert examples([Mask(0, 1, square(0))], frames=1) == []
    assert examples([Mask(0, 1, square(0))], segment=lambda i, g: np.zeros(g.shape, np.float32)) == []


def known(*items, segment=bright, **options):
    return meant(movie(), segment, annotations=Annotations(items), config=CONFIG, **options)


def test_what_is_painted_is_known_and_boxes_beside_it_are_not_asked_about():
    painted = Mask(0, 1, square(0))
    assert known(painted, Box(2, 2, (18, 14, 42, 38))).items == (painted, Box(2, 2, (18, 14, 42, 38)))


@pytest.mark.parametrize("stroke", [False, True])
def test_where_nothing_is_painted_the_network_says_what_boxes_and_strokes_mean(stroke):
    item = Scribble(2, 1, square(2)) if stroke else Box(2, 1, (18, 14, 42, 38))
    (found,) = known(item, Absent(4, 1)).items
    assert (found.frame, found.label, found.exact) == (2, 1, True)
    assert region_similarity(square(2), found.guidance(SHAPE)) > 0.9


def test_of_a_box_in_which_nothing_is_found_the_box_is_no_mask():
    nothing = known(Box(2, 1, (18, 14, 42, 38)), segment=lambda i, g: np.zeros(g.shape, np.float32))
    assert nothing.items == ()


def test_an_example_whose_frames_cannot_be_read_is_left_out():
    image = movie().image(0)[..., 0]

    class Torn:
        shape, dtype = (100, *SHAPE), np.uint8

        def __getitem__(self, key):
            if key[0] == 2:
                raise OSError("torn off")
            return image

    items = Annotations([Mask(frame, 1, square(0)) for frame in (1, 50)])
    (example,) = crf_examples(Movie(Torn()), bright, annotations=items, config=CONFIG)
    assert len(example.images) == 3


def test_few_of_many_boxes_are_asked_about():
    boxes = [Box(frame, 1, (18, 8 + 3 * frame, 42, 32 + 3 * frame)) for frame in range(5)]
    assert known(*boxes, most=3).frames == (0, 2, 4)
    assert known(Absent(0, 1)).items == ()
