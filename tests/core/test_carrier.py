"""One frame at a time: what the network is asked, and what is made of its answer."""

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.annotation import Absent, Annotations, Mask
from napari_masktrack.core.carrier import LOST, Carrier, crop_size
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.plan import Leg

SHAPE = (80, 120)
CONFIG = PropagationConfig(crop_size=96)


def texture(frames, step):
    """A movie of a textured square that goes right by `step` pixels a frame, and its masks."""
    rng = np.random.default_rng(5)
    ground = np.kron(rng.integers(20, 60, (20, 30, 3)), np.ones((4, 4, 1)))
    square = np.kron(rng.integers(100, 250, (10, 10, 3)), np.ones((3, 3, 1)))
    images = np.repeat(ground[None], frames, axis=0).astype(np.uint8)
    masks = np.zeros((frames, *SHAPE), bool)
    for frame in range(frames):
        x = 8 + step * frame
        images[frame, 25:55, x : x + 30] = square
        masks[frame, 25:55, x : x + 30] = True
    return Movie(images, axes="tyxc"), masks


class Recorder:
    """Answers with the guidance and keeps the questions."""

    def __init__(self, value=0.9):
        self.value, self.questions = np.float32(value), []

    def __call__(self, images, guidance):
        self.questions.append((images, guidance))
        return np.where(guidance, self.value, np.float32(0.02))


def carried(movie, masks, segment, config=CONFIG, frames=2):
    carrier = Carrier(movie, Annotations([Mask(0, 7, masks[0])]), segment, config)
    leg = Leg(7, anchor=0, last=len(movie) - 1)
    return [carrier.carry(frame, [leg])[0] for frame in range(frames)]


def whole(piece, threshold=0.5):
    mask = np.zeros(SHAPE, bool)
    y0, x0, y1, x1 = piece.box
    mask[y0:y1, x0:x1] = piece.values > threshold
    return mask


def test_the_annotated_mask_is_certain_and_asks_no_network():
    movie, masks = texture(2, step=3)
    segment = Recorder()
    (piece,) = carried(movie, masks, segment, frames=1)
    assert np.array_equal(whole(piece, threshold=1), masks[0])
    assert (piece.label, piece.source, piece.confidence) == (7, 0, 1.0)
    assert segment.questions == []


def test_the_guidance_follows_the_optical_flow():
    movie, masks = texture(2, step=6)
    config = PropagationConfig(crop_size=96, dilation=0)
    moved = whole(carried(movie, masks, Recorder(), config)[1])
    assert region_similarity(masks[1], moved) > 0.85
    still = PropagationConfig(crop_size=96, dilation=0, warp=False)
    stayed = whole(carried(movie, masks, Recorder(), still)[1])
    assert region_similarity(masks[0], stayed) > 0.9


def test_the_guidance_is_widened_by_pixels_of_the_crop():
    movie, masks = texture(2, step=0)
    areas = []
    for dilation in (0, 10, 20):
        segment = Recorder()
        carried(movie, masks, segment, PropagationConfig(crop_size=96, dilation=dilation))
        areas.append(np.count_nonzero(segment.questions[0][1]))
    side = 96 / CONFIG.margin
    widths = [np.sqrt(area) - side for area in areas]
    assert widths[0] == pytest.approx(0, abs=1.5)
    assert widths[1] == pytest.approx(2 * 10 * 96 / 320, abs=1.5)
    assert widths[2] == pytest.approx(2 * 20 * 96 / 320, abs=2.5)


def test_all_objects_are_asked_for_in_one_call_in_the_order_of_their_legs():
    movie, masks = texture(2, step=0)
    halves = [masks[0] & (np.arange(SHAPE[1]) < 20), masks[0] & (np.arange(SHAPE[1]) >= 20)]
    annotations = Annotations(
        [Mask(0, 65535, halves[0]), Mask(0, 300, halves[1]), Absent(0, 2), Mask(1, 2, masks[0])]
    )
    segment = Recorder()
    carrier = Carrier(movie, annotations, segment, CONFIG)
    legs = [Leg(300, 0, 1), Leg(65535, 0, 1)]
    for frame in (0, 1):
        pieces = carrier.carry(frame, legs)
        assert [piece.label for piece in pieces] == [300, 65535]
    assert len(segment.questions) == 1
    assert segment.questions[0][0].shape == (2, 96, 96, 3)
    assert region_similarity(halves[1], whole(pieces[0])) > 0.7
    assert region_similarity(halves[0], whole(pieces[1])) > 0.7


def test_an_object_that_is_not_seen_is_lost_and_asked_for_without_guidance():
    movie, masks = texture(4, step=0)
    segment = Recorder(value=0.2)
    pieces = carried(movie, masks, segment, frames=4)
    assert [piece.confidence for piece in pieces] == [1.0, LOST, LOST, LOST]
    assert not any(whole(piece).any() for piece in pieces[1:])
    assert segment.questions[0][1].any()
    assert not any(guidance.any() for _, guidance in segment.questions[1:])


def test_an_object_of_which_hardly_anything_is_left_is_also_searched_for_elsewhere():
    masks = np.zeros((4, *SHAPE), bool)
    masks[0, 30:50, 8:28] = masks[2:, 30:50, 80:100] = True
    images = np.repeat(np.where(masks, 250, 10)[..., None], 3, axis=-1).astype(np.uint8)
    images[1:, 30:50, 26:29] = 120  # the edge of what hides the object, taken for it

    def segment(crops, guidance):
        seen = crops[..., 0] > 70
        found = np.where(guidance.any(axis=(1, 2))[:, None, None], seen & guidance, crops[..., 0] > 200)
        return np.where(found, np.float32(0.9), np.float32(0.02))

    config = PropagationConfig(crop_size=96, warp=False)
    pieces = carried(Movie(images, axes="tyxc"), masks, segment, config, frames=4)
    assert 0 < np.count_nonzero(whole(pieces[1])) < 100
    for frame in (2, 3):
        assert region_similarity(masks[frame], whole(pieces[frame])) > 0.8


@pytest.mark.parametrize(("side", "found"), [(20, True), (60, False)])
def test_what_is_found_after_an_absence_has_the_size_of_what_is_painted(side, found):
    masks = np.zeros((3, *SHAPE), bool)
    masks[1, 20 : 20 + side, 20 : 20 + side] = True
    painted = np.zeros(SHAPE, bool)
    painted[30:50, 8:28] = True
    images = np.repeat(np.where(masks, 250, 10)[..., None], 3, axis=-1).astype(np.uint8)
    annotations = Annotations([Absent(0, 1), Mask(2, 1, painted)])

    def segment(crops, guidance):
        return np.where(crops[..., 0] > 130, np.float32(0.9), np.float32(0.02))

    config = PropagationConfig(crop_size=96, warp=False)
    carrier = Carrier(Movie(images, axes="tyxc"), annotations, segment, config)
    leg = Leg(1, 0, 1)
    carrier.carry(0, [leg])
    (piece,) = carrier.carry(1, [leg])
    assert piece.values.any() == found


def test_crops_shrink_when_there_are_many_objects():
    config = PropagationConfig(crop_size=320, crowd=6)
    sizes = [crop_size(config, count) for count in (1, 6, 7, 20, 100, 500)]
    assert sizes[:2] == [320, 320]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size % 32 == 0 for size in sizes)
    assert min(sizes) >= 160
    assert 20 * crop_size(config, 20) ** 2 <= 6 * 320**2
    assert crop_size(PropagationConfig(crop_size=64), 500) == 64, "never larger than asked for"
