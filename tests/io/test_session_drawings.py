"""Shapes and strokes become annotations in the movie's pixels."""

import numpy as np
import pytest

from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Polygon, Scribble
from napari_masktrack.errors import AnnotationError, InputError
from napari_masktrack.io.session_drawings import KINDS, DrawnShape, annotations_of, scribbles

SHAPE = (40, 60)
SQUARE = ((9.5, 19.5), (9.5, 39.5), (29.5, 39.5), (29.5, 19.5))


def test_a_rectangle_is_a_box_around_the_pixels_whose_centres_it_holds():
    assert DrawnShape("rectangle", 1, 2, SQUARE).annotation(SHAPE) == Box(1, 2, (10, 20, 30, 40))
    wider = DrawnShape("rectangle", 1, 2, ((9.4, 19.6), (9.4, 40), (30, 40), (30, 19.6)))
    assert wider.annotation(SHAPE) == Box(1, 2, (10, 20, 31, 41))


def test_a_turned_rectangle_is_the_box_that_holds_it():
    turned = DrawnShape("rectangle", 0, 1, ((5, 20), (15, 30), (25, 20), (15, 10)))
    assert turned.annotation(SHAPE) == Box(0, 1, (5, 10, 26, 31))


def test_boxes_come_back_as_they_were():
    box = Box(3, 4, (2, 5, 11, 17))
    assert DrawnShape.of_box(box).annotation(SHAPE) == box


def test_an_ellipse_is_the_mask_of_the_pixels_within():
    mask = DrawnShape("ellipse", 0, 1, SQUARE).annotation(SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    expected = ((y - 19.5) / 10) ** 2 + ((x - 29.5) / 10) ** 2 <= 1
    assert mask == Mask(0, 1, expected)


def test_a_turned_ellipse_is_turned():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([(-4, -12), (-4, 12), (4, 12), (4, -12)]) @ turn.T + (20, 30)
    mask = DrawnShape("ellipse", 0, 1, tuple(map(tuple, corners))).annotation(SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    along = np.stack([y - 20, x - 30], axis=-1) @ turn
    assert mask == Mask(0, 1, (along[..., 0] / 4) ** 2 + (along[..., 1] / 12) ** 2 <= 1)


def test_an_ellipse_over_the_border_is_cut():
    corners = ((-10, -10), (-10, 10), (10, 10), (10, -10))
    mask = DrawnShape("ellipse", 0, 1, corners).annotation(SHAPE).guidance(SHAPE)
    assert mask[0, 0]
    assert not mask[20:].any()


def test_a_polygon_is_a_polygon():
    assert DrawnShape("polygon", 0, 1, SQUARE).annotation(SHAPE) == Polygon(0, 1, SQUARE)


@pytest.mark.parametrize("kind", ["path", "line"])
def test_a_path_is_a_stroke_on_the_object(kind):
    thin = DrawnShape(kind, 0, 1, ((5, 5), (5, 15))).annotation(SHAPE)
    wide = DrawnShape(kind, 0, 1, ((5, 5), (5, 15)), 3.0).annotation(SHAPE)
    expected = np.zeros(SHAPE, bool)
    expected[5, 5:16] = True
    assert thin == Scribble(0, 1, expected)
    assert wide.inside[4:7, 5:16].all()
    assert wide.inside.sum() == 3 * 13  # round ends: corners at 1.41 of 1.5 pixels


def test_a_bent_path_follows_its_corners():
    stroke = DrawnShape("path", 0, 1, ((5, 5), (5, 15), (15, 25))).annotation(SHAPE).inside
    assert stroke[5, 5:16].all()
    assert all(stroke[5 + i, 15 + i] for i in range(11))
    assert stroke.sum() == 21


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_survive_json(kind):
    shape = DrawnShape(kind, 3, 65535, SQUARE, 2.5)
    assert DrawnShape.from_json(shape.to_json()) == shape


@pytest.mark.parametrize(
    "content", [{}, {"kind": "polygon", "frame": "x", "label": 1, "vertices": []}, {"vertices": 3}]
)
def test_stored_rubbish_is_refused(content):
    with pytest.raises(InputError, match="draw it again"):
        DrawnShape.from_json(content)


@pytest.mark.parametrize(
    ("kind", "vertices"),
    [
        ("rectangle", ((5.1, 5.1), (5.1, 5.4), (5.4, 5.4), (5.4, 5.1))),
        ("ellipse", ((100, 100), (100, 110), (110, 110), (110, 100))),
        ("ellipse", ((5, 5), (5, 5), (5, 5), (5, 5))),
        ("path", ((100, 5), (120, 5))),
        ("star", SQUARE),
        ("polygon", ()),
        ("rectangle", ((np.nan, 1), (2, 3))),
    ],
)
def test_shapes_that_say_nothing_are_refused_by_name(kind, vertices):
    with pytest.raises(AnnotationError, match=f"The {kind} of object 7 on frame 4"):
        DrawnShape(kind, 4, 7, vertices).annotation(SHAPE)


def test_a_stroke_on_one_object_is_beside_the_others():
    on, beside = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    on[3, 3:9], on[20, 3:9], beside[30, 3:9] = 1, 2, 1
    first, second = scribbles(5, on, beside)
    assert first == Scribble(5, 1, on == 1, (on == 2) | (beside == 1))
    assert second == Scribble(5, 2, on == 2, on == 1)


def test_a_pixel_cannot_be_on_and_beside_the_same_object():
    on = np.zeros(SHAPE, np.uint16)
    on[3, 3:9] = 1
    with pytest.raises(AnnotationError, match="inside and outside"):
        scribbles(0, on, on)


def test_drawings_of_all_kinds_are_joined():
    image = np.zeros(SHAPE, np.uint16)
    image[3:9, 3:9] = 1
    blank = np.zeros_like(image)
    found = annotations_of(
        SHAPE,
        masks=[(0, image)],
        strokes=[(1, image, blank)],
        shapes=[DrawnShape("rectangle", 2, 1, SQUARE)],
        absent=[(3, 1)],
    )
    expected = [Mask(0, 1, image == 1), Scribble(1, 1, image == 1), Box(2, 1, (10, 20, 30, 40)), Absent(3, 1)]
    assert found == Annotations(expected)
