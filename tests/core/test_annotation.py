"""Annotations: what each kind says, what is refused, and how several are read together."""

import dataclasses

import numpy as np
import pytest

from napari_masktrack.core.annotation import Absent, Annotation, Annotations, Box, Mask, Polygon, Scribble
from napari_masktrack.errors import AnnotationError

SHAPE = (12, 16)


def area(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    image = np.zeros(SHAPE, bool)
    image[y0:y1, x0:x1] = True
    return image


def combined(*items: Annotation) -> Annotation:
    (item,) = Annotations(items).items
    return item


KINDS = {
    "mask": Mask(0, 1, area(2, 3, 6, 9)),
    "scribble": Scribble(0, 1, area(2, 3, 4, 9), area(8, 0, 10, 16)),
    "box": Box(0, 1, (2, 3, 6, 9)),
    "polygon": Polygon(0, 1, [(2, 3), (2, 8), (5, 8), (5, 3)]),
    "absent": Absent(0, 1),
    "combined": combined(Box(0, 1, (2, 3, 6, 9)), Scribble(0, 1, area(2, 3, 4, 9))),
}


@pytest.fixture(params=KINDS)
def item(request: pytest.FixtureRequest) -> Annotation:
    return KINDS[request.param]


def test_every_kind_gives_fresh_boolean_images(item):
    for image in (item.guidance(SHAPE), *item.supervision(SHAPE)):
        assert image.dtype == bool
        assert image.shape == SHAPE
        image[:] = True
    assert not item.guidance(SHAPE).all()


def test_nothing_unknown_is_called_object(item):
    target, known = item.supervision(SHAPE)
    assert not (target & ~known).any()


def test_exact_kinds_know_every_pixel_and_the_others_do_not(item):
    assert item.supervision(SHAPE)[1].all() == item.exact


def test_equal_content_is_equal_and_hashable(item):
    again = dataclasses.replace(item) if not isinstance(item, Mask | Scribble) else None
    if isinstance(item, Mask):
        again = Mask(0, 1, item.mask)
    if isinstance(item, Scribble):
        again = Scribble(0, 1, item.inside, item.outside)
    assert again == item
    assert hash(again) == hash(item)


def test_painting_an_item_writes_its_id_on_its_guidance(item):
    image = np.full(SHAPE, 7, np.uint16)
    item.paint(image)
    assert (image == np.where(item.guidance(SHAPE), 1, 7)).all()


def test_items_cannot_be_changed(item):
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.frame = 3


def test_a_mask_is_its_own_guidance_and_target():
    mask = area(2, 3, 6, 9)
    item = Mask(0, 1, mask)
    assert (item.guidance(SHAPE) == mask).all()
    assert (item.supervision(SHAPE)[0] == mask).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64])
def test_masks_of_whole_numbers_are_taken(dtype):
    mask = area(0, 0, 12, 16).astype(dtype)
    assert Mask(0, 1, mask).mask.all()


def test_painting_on_after_the_annotation_was_taken_does_not_change_it():
    mask = area(2, 3, 6, 9)
    item = Mask(0, 1, mask)
    mask[:] = True
    assert item.mask.sum() == 24


def test_random_masks_are_kept_bit_by_bit():
    random = np.random.default_rng(0)
    for density in (0, 0.01, 0.1, 0.5, 1):
        mask = random.random(SHAPE) < density
        assert (Mask(0, 1, mask).mask == mask).all()


def test_a_scribble_supervises_only_where_it_was_drawn():
    inside, outside = area(2, 3, 4, 9), area(8, 0, 10, 16)
    item = Scribble(0, 1, inside, outside)
    target, known = item.supervision(SHAPE)
    assert (item.guidance(SHAPE) == inside).all()
    assert (target == inside).all()
    assert (known == (inside | outside)).all()


def test_a_box_supervises_only_its_outside():
    target, known = Box(0, 1, (2, 3, 6, 9)).supervision(SHAPE)
    assert not target.any()
    assert (known == ~area(2, 3, 6, 9)).all()


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((2, 3, 6, 9), (2, 3, 6, 9)),
        ((-5, -1, 100, 100), (0, 0, 12, 16)),
        ((1.6, 2.4, 5.5, 8.7), (2, 2, 6, 9)),
    ],
)
def test_boxes_are_rounded_and_clipped_to_the_frame(box, clipped):
    item = Box(0, 1, box)
    assert item.clip(SHAPE) == clipped
    assert (item.guidance(SHAPE) == area(*clipped)).all()


def test_a_polygon_is_filled():
    item = Polygon(0, 1, np.array([(2, 3), (2, 8), (5, 8), (5, 3)]))
    assert (item.guidance(SHAPE) == area(2, 3, 6, 9)).all()


def test_an_absent_object_is_known_to_be_nowhere():
    target, known = Absent(0, 1).supervision(SHAPE)
    assert not target.any()
    assert known.all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mask(0, 1, np.zeros(SHAPE, np.float32)), "float32"),
        (lambda: Mask(0, 1, np.zeros((2, *SHAPE), bool)), "one image"),
        (lambda: Mask(0, 0, np.zeros(SHAPE, bool)), "65535"),
        (lambda: Mask(0, 65536, np.zeros(SHAPE, bool)), "65535"),
        (lambda: Absent(-1, 1), "Frame -1"),
        (lambda: Scribble(0, 1, area(0, 0, 2, 2), area(1, 1, 3, 3)), "inside and outside"),
        (lambda: Scribble(0, 1, area(0, 0, 2, 2), np.zeros((3, 3), bool)), "3 x 3"),
        (lambda: Box(0, 1, (5, 5, 5, 9)), "empty"),
        (lambda: Box(0, 1, (5, 5, float("nan"), 9)), "four numbers"),
        (lambda: Box(0, 1, (5, 5, 9)), "four numbers"),
        (lambda: Box(0, 1, (20, 20, 30, 30)).guidance(SHAPE), "covers no pixel"),
        (lambda: Polygon(0, 1, [(0, 0), (1, 1)]), "three corners"),
        (lambda: Polygon(0, 1, [(20, 20), (20, 30), (30, 30)]).guidance(SHAPE), "covers no pixel"),
        (lambda: Mask(4, 7, np.ones((3, 5), bool)).guidance(SHAPE), "object 7 on frame 4 has 3 x 5"),
        (lambda: Annotations([Mask(0, 1, area(0, 0, 2, 2)), Absent(0, 1)]), "absent"),
        (lambda: Annotations.from_labels({2: np.zeros(SHAPE, np.float32)}), "frame 2"),
        (lambda: Annotations.from_labels({2: np.full(SHAPE, -1)}), "ids from -1"),
        (lambda: Annotations.from_labels({2: np.full(SHAPE, 70_000)}), "to 70000"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, words):
    with pytest.raises(AnnotationError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def test_two_masks_of_one_object_add_up():
    item = combined(Mask(0, 1, area(0, 0, 2, 2)), Polygon(0, 1, [(6, 6), (6, 8), (8, 8), (8, 6)]))
    assert item.exact
    assert (item.guidance(SHAPE) == (area(0, 0, 2, 2) | area(6, 6, 9, 9))).all()


def test_a_scribble_corrects_a_mask_whatever_the_order():
    mask = Mask(0, 1, area(2, 2, 8, 8))
    scribble = Scribble(0, 1, area(8, 2, 9, 8), area(2, 2, 3, 8))
    for parts in ((mask, scribble), (scribble, mask)):
        target, known = combined(*parts).supervision(SHAPE)
        assert (target == area(3, 2, 9, 8)).all()
        assert known.all()


def test_scribbles_add_up_and_the_last_stroke_is_right():
    first = Scribble(0, 1, area(0, 0, 4, 4))
    second = Scribble(0, 1, area(8, 8, 9, 9), area(0, 0, 1, 4))
    item = combined(first, second)
    target, known = item.supervision(SHAPE)
    assert (target == (area(1, 0, 4, 4) | area(8, 8, 9, 9))).all()
    assert (item.guidance(SHAPE) == target).all()
    assert (known == (area(0, 0, 4, 4) | area(8, 8, 9, 9))).all()


def test_a_box_with_scribbles_knows_its_outside_and_the_strokes():
    item = combined(Box(0, 1, (2, 2, 8, 8)), Scribble(0, 1, area(4, 4, 6, 6), area(2, 2, 3, 8)))
    target, known = item.supervision(SHAPE)
    assert (item.guidance(SHAPE) == area(3, 2, 8, 8)).all()
    assert (target == area(4, 4, 6, 6)).all()
    assert (known == (~area(2, 2, 8, 8) | area(4, 4, 6, 6) | area(2, 2, 3, 8))).all()


def test_a_mask_beside_a_box_is_what_counts():
    item = combined(Box(0, 1, (0, 0, 12, 16)), Mask(0, 1, area(2, 2, 4, 4)))
    assert (item.guidance(SHAPE) == area(2, 2, 4, 4)).all()


def test_the_same_annotation_twice_counts_once():
    assert Annotations([Absent(0, 1), Absent(0, 1)]).items == (Absent(0, 1),)


def test_the_collection_is_sorted_by_frame_and_label():
    items = [Absent(5, 2), Absent(0, 300), Absent(5, 1), Absent(0, 2)]
    annotations = Annotations(items)
    assert annotations.frames == (0, 5)
    assert annotations.labels == (1, 2, 300)
    assert [(item.frame, item.label) for item in annotations.items] == [(0, 2), (0, 300), (5, 1), (5, 2)]
    assert annotations.at(5) == (Absent(5, 1), Absent(5, 2))
    assert annotations.at(3) == ()
    assert annotations.of(2) == {0: Absent(0, 2), 5: Absent(5, 2)}
    assert annotations.of(9) == {}


def test_collections_join_and_combine():
    one = Annotations([Scribble(0, 1, area(0, 0, 2, 2)), Scribble(0, 1, area(4, 4, 6, 6))])
    two = Annotations([Scribble(0, 1, area(8, 8, 9, 9)), Absent(1, 1)])
    joined = one + two
    assert len(joined) == 2
    assert joined.at(0)[0].guidance(SHAPE).sum() == 9
    assert joined == Annotations([*one.items, *two.items])


def test_label_images_come_back_as_they_were():
    image = np.random.default_rng(0).choice([0, 1, 300, 65535], SHAPE)
    annotations = Annotations.from_labels({0: np.zeros(SHAPE, int), 3: image})
    assert annotations.frames == (3,)
    assert annotations.labels == (1, 300, 65535)
    assert annotations.label_image(3, SHAPE).dtype == np.uint16
    assert (annotations.label_image(3, SHAPE) == image).all()
    assert not annotations.label_image(0, SHAPE).any()


def test_boxes_and_scribbles_are_not_painted_into_label_images():
    annotations = Annotations([Box(0, 1, (0, 0, 5, 5)), Scribble(0, 2, area(6, 6, 8, 8))])
    assert not annotations.label_image(0, SHAPE).any()


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "Nothing is annotated"),
        ([Mask(4, 1, area(0, 0, 2, 2))], "frame 4 lies outside"),
        ([Mask(0, 1, np.ones((16, 12), bool))], "16 x 12"),
        (
            [Mask(0, 1, area(0, 0, 2, 2)), Mask(2, 3, area(0, 0, 0, 0))],
            "Label 3 has no painted pixel on frame 2",
        ),
        (
            [Absent(0, 1)],
            "Label 1 has no painted pixel on frame 0, where it is marked as absent; paint it",
        ),
        ([Scribble(0, 1, area(0, 0, 0, 0), area(0, 0, 2, 2))], "Label 1 has no painted pixel"),
        ([Box(0, 1, (20, 20, 30, 30))], "covers no pixel"),
    ],
)
def test_annotations_that_do_not_fit_the_movie_are_refused(items, words):
    with pytest.raises(AnnotationError, match=words):
        Annotations(items).check(4, SHAPE)


def test_annotations_that_fit_the_movie_pass():
    Annotations([KINDS["mask"], Absent(1, 1), Box(3, 2, (0, 0, 3, 3))]).check(4, SHAPE)


def test_the_items_of_a_frame_and_of_an_object_are_looked_up_not_searched():
    class Watched(Absent):
        looks = 0

        def __getattribute__(self, name):
            Watched.looks += name in ("frame", "label")
            return super().__getattribute__(name)

    annotations = Annotations([Watched(frame, label) for frame in range(30) for label in (1, 2)])
    assert len(annotations.at(3)) == 2
    assert list(annotations.of(2)) == list(range(30))
    looked = Watched.looks
    assert [item.label for item in annotations.at(7)] == [1, 2]
    assert annotations.of(1)[9].frame == 9
    assert Watched.looks - looked == 3
    with pytest.raises(TypeError):
        annotations.of(1)[9] = Absent(9, 1)


def test_painted_frames_come_nearest_first_and_of_two_the_earlier():
    painted = [Mask(frame, 1, area(2, 3, 6, 9)) for frame in (9, 1, 7, 3)]
    vague = [Box(5, 1, (2, 3, 6, 9)), Absent(6, 1), Mask(5, 2, area(2, 3, 6, 9))]
    annotations = Annotations([*painted, *vague])
    assert annotations.painted_near(1, 5, SHAPE) == [3, 7, 1, 9]
    assert annotations.painted_near(3, 5, SHAPE) == []


def test_anchors_are_where_an_object_is_drawn_or_absent_and_painted_what_decides_every_pixel():
    mask, stroke, nothing = np.zeros((3, 10, 12), bool)
    mask[2:5, 2:5], stroke[7, 7:9] = True, True
    items = Annotations(
        [
            Mask(4, 2, mask), Mask(6, 2, nothing), Box(5, 2, (1, 1, 4, 4)), Absent(7, 1),
            Scribble(0, 1, stroke), Scribble(1, 1, nothing, stroke),
        ]
    )  # fmt: skip
    anchors = items.anchors((10, 12))
    assert anchors == {1: [0, 7], 2: [4, 5, 6]}
    assert list(anchors) == [1, 2]
    assert [(item.frame, item.label) for item in items.painted((10, 12))] == [(4, 2)]
