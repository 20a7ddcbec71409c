"""A box or scribble becomes a mask, and how sure the network is of a mask."""

import numpy as np
import pytest
from scipy import ndimage

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Absent, Box, Combined, Mask, Scribble
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.refine import LONGEST, ROUNDS, ZOOMS, expected_similarity, refine, resolve
from napari_masktrack.core.region import Region

SHAPE = (80, 100)
CONFIG = PropagationConfig(crop_size=96)


def disc(cy=40, cx=50, radius=14):
    y, x = np.indices(SHAPE)
    return (y - cy) ** 2 + (x - cx) ** 2 < radius**2


def picture(mask):
    return np.where(mask[..., None], np.uint8(200), np.uint8(30)).repeat(3, axis=-1)


class Threshold:
    """A segmenter that sees every bright pixel."""

    def __init__(self):
        self.calls = []

    def __call__(self, images, guidance):
        self.calls.append((images, guidance))
        return np.where(images[..., 0] > 115, np.float32(0.9), np.float32(0.02))


def box_region(mask, grow=3):
    y, x = np.nonzero(mask)
    whole = np.zeros(SHAPE, bool)
    whole[y.min() - grow : y.max() + grow, x.min() - grow : x.max() + grow] = True
    return Region.of(whole)


def test_a_box_becomes_the_object_in_it():
    segment = Threshold()
    region, confidence = refine(box_region(disc()), picture(disc()), segment, CONFIG)
    assert region_similarity(disc(), region.to_mask(SHAPE)) > 0.93
    assert 0.8 < confidence < 1
    assert len(segment.calls) == ROUNDS
    images, guidance = segment.calls[0]
    assert images.shape == (1, 96, 96, 3)
    assert images.dtype == np.uint8
    assert guidance.shape == (1, 96, 96)
    assert guidance.dtype == bool


def test_a_scribble_becomes_the_whole_object_in_the_second_round():
    stroke = np.zeros(SHAPE, bool)
    stroke[39:41, 40:60] = True
    region, _ = refine(Region.of(stroke), picture(disc()), Threshold(), CONFIG)
    assert region_similarity(disc(), region.to_mask(SHAPE)) > 0.93


def test_the_second_round_is_guided_by_the_answer_to_the_first():
    segment = Threshold()
    refine(box_region(disc(), grow=9), picture(disc()), segment, CONFIG)
    first, second = (guidance[0] for _, guidance in segment.calls)
    corner = np.argwhere(first).min(axis=0)
    assert first[tuple(corner)], "a filled box"
    y, x = np.nonzero(second)
    assert not second[y.min(), x.min()], "a round object"


def test_what_was_given_stays_when_nothing_is_found():
    given = box_region(disc())
    region, confidence = refine(given, picture(np.zeros(SHAPE, bool)), Threshold(), CONFIG)
    assert region is given
    assert confidence == 0


def test_expected_similarity_is_the_mean_j_of_masks_drawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    answer = rng.random((24, 24), np.float32) ** 3
    answer[6:18, 6:18] = 1 - answer[6:18, 6:18]
    mask = answer > 0.5
    draws = [region_similarity(rng.random((24, 24)) < answer, mask) for _ in range(400)]
    assert expected_similarity(answer, 0.5) == pytest.approx(np.mean(draws), abs=0.02)


def test_expected_similarity_lies_between_nothing_and_certainty():
    square = np.zeros((20, 20), np.float32)
    assert expected_similarity(square, 0.5) == 0
    square[5:10, 5:10] = 1
    assert expected_similarity(square, 0.5) == 1
    assert expected_similarity(square * np.float32(0.6), 0.5) == pytest.approx(0.6)


class Guided:
    """A segmenter that answers with the guidance, made larger."""

    def __init__(self, reach):
        self.reach, self.guidance = reach, []

    def __call__(self, images, guidance):
        self.guidance.append(guidance[0])
        reach = np.ones((2 * self.reach + 1,) * 2, bool)
        return ndimage.binary_dilation(guidance[0], reach)[None].astype(np.float32)


def test_a_box_is_an_oval_to_the_network_first():
    segment = Guided(0)
    region, _ = resolve(Box(0, 1, (20, 30, 60, 80)), picture(disc()), segment, PropagationConfig())
    first = segment.guidance[1]
    rows, columns = first.any(axis=1).sum(), first.any(axis=0).sum()
    assert columns / rows == pytest.approx(50 / 40, rel=0.05)
    assert first.sum() / (rows * columns) == pytest.approx(np.pi / 4, rel=0.05)
    assert region.area == pytest.approx(np.pi / 4 * 0.81 * 50 * 40, rel=0.05)


def test_what_is_seen_outside_a_box_does_not_count():
    box = (20, 30, 60, 80)
    region, _ = resolve(Box(0, 1, box), picture(disc()), Guided(40), CONFIG)
    assert region.box == (19, 29, 61, 81), "all of it, and one pixel for the hand that drew it"
    free, _ = refine(Region.of(Box(0, 1, box).guidance(SHAPE)), picture(disc()), Guided(40), CONFIG)
    assert free.area > 1.5 * region.area


def test_strokes_are_kept_whatever_the_network_sees():
    on, beside = np.zeros((2, *SHAPE), bool)
    on[70:72, 40:60] = beside[39:41, 45:55] = True
    box = Box(0, 1, (20, 30, 75, 70))
    item = Combined(0, 1, (box, Scribble(0, 1, on, beside)))
    region, confidence = resolve(item, picture(disc()), Threshold(), CONFIG)
    mask = region.to_mask(SHAPE)
    assert mask[on].all()
    assert not mask[beside].any()
    assert mask[35, 50], "the rest is what the network sees"
    assert confidence > 0


@pytest.mark.parametrize("item", [Mask(0, 1, disc()), Absent(0, 1)])
def test_what_decides_every_pixel_is_taken_as_it_is(item):
    segment = Threshold()
    region, confidence = resolve(item, picture(disc()), segment, CONFIG)
    assert not segment.calls
    assert confidence == 1
    assert (region is None) == isinstance(item, Absent)
    assert region is None or np.array_equal(region.to_mask(SHAPE), disc())


def test_a_box_of_one_pixel_and_an_empty_answer_are_no_trouble():
    region, confidence = resolve(Box(0, 1, (5, 5, 6, 6)), picture(np.zeros(SHAPE, bool)), Threshold(), CONFIG)
    assert region.box == (5, 5, 6, 6)
    assert confidence == 0


def dab(shape, y, x, side):
    stroke = np.zeros(shape, bool)
    stroke[y : y + side, x : x + side] = True
    return Scribble(0, 1, stroke)


def test_a_small_dab_on_a_large_object_becomes_all_of_it():
    y, x = np.indices((220, 220))
    truth, segment = (y - 110) ** 2 + (x - 110) ** 2 < 60**2, Threshold()
    region, _ = resolve(dab(truth.shape, 90, 130, side=10), picture(truth), segment, CONFIG)
    assert region_similarity(truth, region.to_mask(truth.shape)) > 0.95
    assert ROUNDS * len(ZOOMS) < len(segment.calls) < LONGEST * len(ZOOMS)


@pytest.mark.parametrize(("side", "rounds"), [(150, LONGEST - 2), (1500, LONGEST)])
def test_an_object_without_an_end_is_looked_for_as_far_as_the_image_goes_or_often_enough(side, rounds):
    segment = Threshold()
    everything = np.ones((side, side), bool)
    region, _ = resolve(
        dab(everything.shape, side // 2, side // 2, side=10), picture(everything), segment, CONFIG
    )
    assert len(segment.calls) == rounds * len(ZOOMS)
    assert (region.area == everything.size) == (side == 150)


def test_what_is_seen_at_the_edge_apart_from_the_stroke_asks_for_nothing_more():
    truth, beside, segment = disc(radius=9), np.zeros(SHAPE, bool), Threshold()
    beside[:, 66:] = True
    region, _ = resolve(dab(SHAPE, 34, 44, side=14), picture(truth | beside), segment, CONFIG)
    assert region.to_mask(SHAPE)[:, 66:].any()
    assert len(segment.calls) == ROUNDS * len(ZOOMS)


def test_the_network_sees_strokes_widened_and_in_three_sizes():
    segment, stroke = Threshold(), np.zeros(SHAPE, bool)
    stroke[35:55, 40] = True
    resolve(Scribble(0, 1, stroke), picture(stroke), segment, CONFIG)
    first = segment.calls[: len(ZOOMS)]
    assert len({images.shape for images, _ in first}) == len(ZOOMS)
    seen = [guidance[0].any(axis=0).sum() / guidance[0].any(axis=1).sum() for _, guidance in first]
    assert seen == pytest.approx([5 / 24] * len(ZOOMS), abs=0.03)  # 2 px more on each side


def test_strokes_of_which_nothing_is_found_stay_as_they_are():
    stroke = np.zeros(SHAPE, bool)
    stroke[35:55, 40] = True
    region, confidence = resolve(Scribble(0, 1, stroke), picture(~stroke & stroke), Threshold(), CONFIG)
    assert confidence == 0
    np.testing.assert_array_equal(region.to_mask(SHAPE), stroke)


def test_a_box_and_a_rough_mask_are_asked_for_twice_however_much_is_seen():
    everything = picture(np.ones(SHAPE, bool))
    boxed, rough = Threshold(), Threshold()
    resolve(Box(0, 1, (30, 40, 40, 50)), everything, boxed, PropagationConfig())
    refine(Region((30, 40, 40, 50), np.ones((10, 10), bool)), everything, rough, CONFIG)
    assert len(boxed.calls) == 3 * ROUNDS
    assert len(rough.calls) == ROUNDS
