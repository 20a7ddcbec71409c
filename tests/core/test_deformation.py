"""Masks as the previous frame would have given them: moved, bent, coarsened, spoilt."""

import numpy as np
import pytest

from napari_masktrack.config import DeformationConfig
from napari_masktrack.core import deformation
from napari_masktrack.core.deformation import Motion
from napari_masktrack.core.metrics import region_similarity

SHAPE = (120, 160)


def ellipse(cy=60, cx=80, ry=20, rx=35, shape=SHAPE):
    y, x = np.indices(shape)
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1


def rng(seed=0):
    return np.random.default_rng(seed)


def test_no_motion_leaves_the_mask_as_it_is():
    assert np.array_equal(deformation.move(ellipse(), Motion()), ellipse())


def test_a_shift_in_whole_pixels_is_exact():
    assert np.array_equal(deformation.move(ellipse(), Motion(dy=7, dx=-12)), ellipse(67, 68))


def test_a_size_change_and_a_turn_are_about_the_centre_of_the_box():
    larger = deformation.move(ellipse(), Motion(scale=1.2))
    assert region_similarity(ellipse(ry=24, rx=42), larger) > 0.97
    turned = deformation.move(ellipse(), Motion(angle=np.pi / 2))
    assert region_similarity(ellipse(ry=35, rx=20), turned) > 0.97


def test_what_leaves_the_frame_is_cut_off():
    assert not deformation.move(ellipse(), Motion(dx=300)).any()
    half = deformation.move(ellipse(), Motion(dx=79))
    assert 0.4 < half.sum() / ellipse().sum() < 0.6


def test_a_random_motion_stays_within_its_range_in_units_of_the_box():
    motions = [
        deformation.random_motion(ellipse(), rng(i), scale=0.05, shift=0.1, angle=0.2) for i in range(300)
    ]
    assert max(abs(m.scale - 1) for m in motions) <= 0.05
    assert 0.9 * 3.9 < max(abs(m.dy) for m in motions) <= 3.9
    assert 0.9 * 6.9 < max(abs(m.dx) for m in motions) <= 6.9
    assert 0.18 < max(abs(m.angle) for m in motions) <= 0.2


def test_a_field_moves_a_mask_against_its_direction():
    field = np.zeros((*SHAPE, 2), np.float32)
    field[..., 0], field[..., 1] = 5, -3
    assert np.array_equal(deformation.displace(ellipse(), field), ellipse(55, 83))


def test_bending_keeps_the_object_and_changes_its_outline():
    scores = [
        region_similarity(ellipse(), deformation.bend(ellipse(), rng(i), amount=0.1)) for i in range(40)
    ]
    assert 0.7 < np.median(scores) < 0.95
    assert max(scores) < 1
    assert np.array_equal(deformation.bend(ellipse(), rng(), amount=0), ellipse())


def test_the_spline_passes_near_its_control_points():
    points = np.array([[20.0, 30], [90, 40], [60, 120], [30, 140], [100, 100]])
    shifts = np.array([[3.0, -2], [-4, 1], [2, 5], [0, -3], [1, 1]])
    field = deformation._spline_field(points, shifts, SHAPE)
    at = np.array([field[int(y), int(x)] for y, x in points])
    assert np.abs(at - shifts).max() < 1.2, "a small ridge and a coarse grid soften it"
    constant = deformation._spline_field(points, np.tile([2.0, -1.0], (5, 1)), SHAPE)
    assert np.allclose(constant, [2, -1], atol=1e-3)


def test_dilation_grows_by_a_disk_of_that_radius():
    point = np.zeros(SHAPE, bool)
    point[60, 80] = True
    grown = deformation.dilate(point, 5)
    y, x = np.nonzero(grown)
    assert (y.min(), y.max(), x.min(), x.max()) == (55, 65, 75, 85)
    assert np.hypot(y - 60, x - 80).max() < 5.9
    assert not grown[55, 75], "not a square"
    assert deformation.dilate(grown, -5).sum() >= 1
    assert np.array_equal(deformation.dilate(ellipse(), 0.3), ellipse())


def test_dilation_reaches_the_border_and_erosion_keeps_what_touches_it():
    edge = np.zeros(SHAPE, bool)
    edge[:, :10] = True
    assert deformation.dilate(edge, 3)[:, :13].all()
    assert deformation.dilate(edge, -3)[:, :7].all()


def test_the_imitated_mask_covers_most_of_the_true_one_and_differs_each_time():
    config = DeformationConfig()
    masks = [deformation.imitate_previous(ellipse(), rng(i), config) for i in range(40)]
    covered = [(mask & ellipse()).sum() / ellipse().sum() for mask in masks]
    assert min(covered) > 0.7
    assert np.mean([mask.sum() for mask in masks]) > 1.15 * ellipse().sum()
    assert len({mask.tobytes() for mask in masks}) == 40
    again = deformation.imitate_previous(ellipse(), rng(3), config)
    assert np.array_equal(masks[3], again)


def test_wobbling_and_lobes_change_a_part_of_the_mask():
    wobbled = [
        region_similarity(ellipse(), deformation.wobble(ellipse(), rng(i), amount=0.05)) for i in range(20)
    ]
    assert min(wobbled) > 0.6
    assert max(wobbled) < 1
    areas = [deformation.lobe(ellipse(), rng(i)).sum() / ellipse().sum() for i in range(40)]
    assert min(areas) < 0.97, "some are cut off"
    assert max(areas) > 1.03, "some are added"
    assert min(areas) > 0.5


def test_a_box_is_the_filled_bounding_box():
    box = deformation.as_box(ellipse())
    y, x = np.nonzero(ellipse())
    assert box[y.min() : y.max() + 1, x.min() : x.max() + 1].all()
    assert box.sum() == (np.ptp(y) + 1) * (np.ptp(x) + 1)


@pytest.mark.parametrize("pixels", [[], [(3, 3)], [(0, 0), (0, 1)], [(119, 159)]])
def test_specks_and_empty_masks_are_no_trouble(pixels):
    mask = np.zeros(SHAPE, bool)
    for place in pixels:
        mask[place] = True
    for seed in range(5):
        for spoilt in (
            deformation.imitate_previous(mask, rng(seed), DeformationConfig()),
            deformation.wobble(mask, rng(seed), amount=0.1),
            deformation.lobe(mask, rng(seed)),
            deformation.bend(mask, rng(seed)),
            deformation.as_box(mask),
        ):
            assert spoilt.shape == SHAPE
            assert spoilt.dtype == bool
            assert pixels or not spoilt.any()


def test_the_mask_given_is_never_written_to():
    mask = ellipse()
    mask.flags.writeable = False
    deformation.imitate_previous(mask, rng(), DeformationConfig())
    for change in (deformation.lobe(mask, rng()), deformation.dilate(mask, 0), deformation.as_box(mask)):
        change[:] = False
    assert mask.any()
