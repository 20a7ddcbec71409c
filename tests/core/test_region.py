"""A mask kept within its box says the same as the whole mask."""

import numpy as np
import pytest

from napari_masktrack.core.instances import Window, crop_mask
from napari_masktrack.core.region import Region

SHAPE = (40, 60)


def blob(cy=18, cx=27, radius=8):
    y, x = np.indices(SHAPE)
    return (y - cy) ** 2 + 2 * (x - cx) ** 2 < radius**2


def test_a_mask_survives_being_kept_as_a_region():
    mask = blob()
    region = Region.of(mask)
    assert np.array_equal(region.to_mask(SHAPE), mask)
    assert region.area == np.count_nonzero(mask)
    assert region.centre == (18, 27)
    assert region.longer_side == 15


def test_an_empty_mask_is_no_region():
    assert Region.of(np.zeros(SHAPE, bool)) is None


def test_a_corner_moves_the_region_into_the_frame():
    part = blob()[10:30, 20:40]
    assert np.array_equal(Region.of(part, corner=(10, 20)).to_mask(SHAPE), blob() & box_mask(10, 20, 30, 40))


def box_mask(y0, x0, y1, x1):
    mask = np.zeros(SHAPE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize("window", [Window(18, 27, 30.0), Window(2.5, 55.2, 24.0), Window(20, 30, 90.0)])
@pytest.mark.parametrize(
    "mask", [blob(), blob(1, 1), box_mask(36, 50, 40, 60)], ids=["middle", "edge", "corner"]
)
def test_a_crop_of_the_region_is_the_crop_of_the_mask(mask, window):
    assert np.array_equal(Region.of(mask).crop(window, 64), crop_mask(mask, window, 64))


@pytest.mark.parametrize("bounds", [(0, 0, 40, 60), (15, 20, 25, 30), (0, 0, 5, 5), (17, 26, 40, 60)])
def test_a_part_of_the_region_is_the_part_of_the_mask(bounds):
    y0, x0, y1, x1 = bounds
    assert np.array_equal(Region.of(blob()).part(bounds), blob()[y0:y1, x0:x1])


def test_overlap_is_intersection_over_union():
    one, other = blob(), blob(cx=31)
    expected = np.count_nonzero(one & other) / np.count_nonzero(one | other)
    assert Region.of(one).overlap(Region.of(other)) == pytest.approx(expected)
    assert Region.of(one).overlap(Region.of(one)) == 1
    assert Region.of(one).overlap(Region.of(blob(5, 50, 4))) == 0
