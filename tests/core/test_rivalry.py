"""Alike objects that touch: who keeps which pixel; far ones cost nothing."""

import numpy as np
import pytest

from napari_masktrack.core.instances import meet
from napari_masktrack.core.region import Region
from napari_masktrack.core.rivalry import TRESPASS, yield_to_owners

BOX = (10, 10, 30, 30)


def region(y0, x0, y1, x1):
    return Region.of(np.ones((y1 - y0, x1 - x0), bool), corner=(y0, x0))


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0, 0, 10, 10), False), ((0, 0, 11, 11), True), ((29, 29, 40, 40), True), ((30, 10, 40, 30), False)],
)
def test_boxes_meet_where_they_share_a_pixel(other, expected):
    assert meet(BOX, other) is meet(other, BOX) is expected


def test_pixels_that_were_anothers_are_claimed_less():
    values = np.ones((20, 20), np.float32)
    owned = {1: region(10, 10, 20, 30), 2: region(15, 10, 25, 30), 3: region(50, 50, 60, 60)}
    kept = yield_to_owners(values, BOX, 1, owned)
    assert (kept[:10] == 1).all()  # its own, whoever else was there
    assert kept[10:15] == pytest.approx(TRESPASS)
    assert (kept[15:] == 1).all()


def test_objects_that_are_far_are_not_even_looked_at(monkeypatch):
    values = np.ones((20, 20), np.float32)
    owned = {1: region(10, 10, 20, 30), 3: region(50, 50, 60, 60)}
    monkeypatch.setattr(Region, "part", None)
    assert yield_to_owners(values, BOX, 1, owned) is values
