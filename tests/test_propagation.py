"""Carrying masks over a movie, with segmenters whose answer is known."""

import gc
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core import passes
from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Polygon, Scribble
from napari_masktrack.core.crf import CrfConfig
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError, MovieError
from napari_masktrack.propagation import FrameResult, Headway, mean_confidence, merge_pieces, propagate

SHAPE = (64, 96)
SIDE = 14
COLOURS = {1: (200, 0, 0), 2: (0, 200, 0), 3: (0, 0, 200), 300: (200, 200, 0), 65535: (0, 200, 200)}
CONFIG = PropagationConfig(crop_size=96)


class Squares:
    """An array-like RGB movie: squares of known colours on black, drawn when a frame is read."""

    def __init__(self, paths, frames):
        self.paths, self.shape = paths, (frames, *SHAPE, 3)
        self.dtype, self.ndim, self.reads = np.dtype(np.uint8), 4, []

    def truth(self, frame):
        labels = np.zeros(SHAPE, np.uint16)
        for label, path in self.paths.items():
            place = path(frame)
            if place is not None:
                y, x = place
                labels[max(0, y) : max(0, y + SIDE), max(0, x) : max(0, x + SIDE)] = label
        return labels

    def __getitem__(self, key):
        frame = key[0] if isinstance(key, tuple) else key
        self.reads.append(frame)
        image = np.full((*SHAPE, 3), 20, np.uint8)
        labels = self.truth(frame)
        for label in self.paths:
            image[labels == label] = COLOURS[label]
        return image


def going_right(y, x=4, step=2):
    return lambda frame: (y, x + step * frame)


def movie_of(paths, frames=12):
    squares = Squares(paths, frames)
    movie = Movie(squares, axes="tyxc")
    movie.image(0)  # looks at a sample of the movie once
    squares.reads.clear()
    return movie, squares


def painted(squares, frame, *labels):
    truth = squares.truth(frame)
    return [Mask(frame, label, truth == label) for label in labels or squares.paths]


class ByColour:
    """Sees the true mask: all pixels of the colour that the guidance mostly lies on."""

    def __init__(self):
        self.batches, self.empty = [], 0

    def __call__(self, images, guidance):
        assert images.dtype == np.uint8
        assert guidance.dtype == bool
        assert images.shape == (*guidance.shape, 3)
        self.batches.append(len(images))
        self.empty += sum(not guide.any() for guide in guidance)
        return np.stack([self.one(*pair) for pair in zip(images, guidance, strict=True)])

    @staticmethod
    def one(image, guide):
        hues = np.array(list(COLOURS.values())) / np.linalg.norm(list(COLOURS.values()), axis=1)[:, None]
        own = np.where(image.max(axis=-1) > 110, 1 + (image @ hues.T).argmax(axis=-1), 0)
        seen = own[guide & (own > 0)] if guide.any() else own[own > 0]
        meant = np.bincount(seen).argmax() if seen.size else -1
        return np.where(own == meant, np.float32(0.95), np.float32(0.02))


def copy_guidance(images, guidance):
    return np.where(guidance, np.float32(0.9), np.float32(0.05))


def nothing(images, guidance):
    return np.full(guidance.shape, 0.01, np.float32)


def noise(images, guidance):
    return np.random.default_rng(len(images)).random(guidance.shape, np.float32)


def run(movie, items, segment=None, config=CONFIG, **options):
    annotations = items if isinstance(items, Annotations) else Annotations(items)
    results = list(propagate(movie, annotations, segment or ByColour(), config, **options))
    assert all(isinstance(result, FrameResult) for result in results)
    assert len({result.frame for result in results}) == len(results), "each frame once"
    return {result.frame: result for result in results}


def similarity(squares, result, label):
    return region_similarity(squares.truth(result.frame) == label, result.labels == label)


# Directions and annotated frames


@pytest.mark.parametrize(
    ("direction", "found"), [("forward", range(5, 12)), ("backward", range(6)), ("both", range(12))]
)
def test_masks_are_carried_forwards_backwards_or_both(direction, found):
    movie, squares = movie_of({1: going_right(20)})
    config = PropagationConfig(crop_size=96, direction=direction)
    results = run(movie, painted(squares, 5), config=config)
    assert sorted(results) == list(range(12))
    for frame, result in results.items():
        assert result.labels.dtype == np.uint16
        assert result.labels.shape == SHAPE
        if frame in found:
            assert similarity(squares, result, 1) > 0.85
            assert result.source == {1: 5}
        else:
            assert not result.labels.any()
            assert result.confidence == result.source == {}


def test_frames_come_first_forwards_then_backwards():
    movie, squares = movie_of({1: going_right(20)}, frames=6)
    order = [r.frame for r in propagate(movie, Annotations(painted(squares, 3)), ByColour(), CONFIG)]
    assert order == [3, 4, 5, 2, 1, 0]


def test_every_frame_comes_from_the_nearest_annotated_frame_and_ties_from_the_earlier():
    movie, squares = movie_of({1: going_right(20)}, frames=14)
    items = [item for frame in (2, 8, 13) for item in painted(squares, frame)]
    results = run(movie, items)
    assert [results[frame].source[1] for frame in range(14)] == [2] * 6 + [8] * 5 + [13] * 3
    assert min(similarity(squares, result, 1) for result in results.values()) > 0.85


def test_each_object_has_its_own_annotated_frames():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)}, frames=13)
    items = painted(squares, 10, 1) + painted(squares, 4, 2) + painted(squares, 8, 2)
    config = PropagationConfig(crop_size=96, fill_annotated=True)
    results = run(movie, items, config=config)
    for frame, result in results.items():
        assert result.source == {1: 10, 2: 4 if frame <= 6 else 8}
        assert similarity(squares, result, 1) > 0.85
        assert similarity(squares, result, 2) > 0.85


def test_annotated_frames_come_back_bit_identical_whatever_the_network_says():
    rng = np.random.default_rng(3)
    movie, squares = movie_of({300: going_right(8), 65535: going_right(40)})
    speckled = np.where(rng.random(SHAPE) < 0.3, 300, 0) + np.where(rng.random(SHAPE) < 0.1, 65535 - 300, 0)
    speckled = np.isin(speckled, (300, 65535)) * speckled
    images = {0: squares.truth(0), 5: speckled.astype(np.uint16), 11: squares.truth(11)}
    for segment in (noise, nothing, copy_guidance):
        results = run(movie, Annotations.from_labels(images), segment)
        for frame, image in images.items():
            assert np.array_equal(results[frame].labels, image)
            assert set(results[frame].confidence.values()) == {1.0}
            assert set(results[frame].source.values()) == {frame}


def test_objects_not_annotated_on_a_frame_are_added_there_only_when_asked():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    items = painted(squares, 0) + painted(squares, 6, 2)
    results = run(movie, items)
    assert set(np.unique(results[6].labels)) == {0, 2}
    assert set(results[6].source) == {2}
    filled = run(movie, items, config=PropagationConfig(crop_size=96, fill_annotated=True))
    assert similarity(squares, filled[6], 1) > 0.85
    assert np.array_equal(filled[6].labels == 2, squares.truth(6) == 2)
    assert filled[6].source == {1: 0, 2: 6}


def test_painted_pixels_stay_where_an_added_object_would_cover_them():
    movie, squares = movie_of({1: going_right(20)}, frames=5)
    wrong = np.zeros(SHAPE, bool)
    wrong[18:40, 5:40] = True
    items = [*painted(squares, 0, 1), Mask(2, 2, wrong)]
    config = PropagationConfig(crop_size=96, fill_annotated=True)
    assert np.array_equal(run(movie, items, config=config)[2].labels == 2, wrong)


def test_a_movie_of_one_frame_comes_back_without_asking_the_network():
    movie, squares = movie_of({1: going_right(20)}, frames=1)
    segment = ByColour()
    results = run(movie, painted(squares, 0), segment)
    assert np.array_equal(results[0].labels, squares.truth(0))
    assert segment.batches == []


# Several objects


def test_all_objects_of_a_frame_go_through_the_network_in_one_call():
    paths = {1: going_right(2), 2: going_right(18), 3: going_right(34), 300: going_right(50)}
    movie, squares = movie_of(paths)
    segment = ByColour()
    run(movie, painted(squares, 0), segment)
    assert segment.batches == [4] * 11


def test_labels_are_never_mixed_when_objects_touch_and_cross():
    paths = {
        300: lambda frame: (24, 10 + 3 * frame),
        65535: lambda frame: (24 + SIDE // 2, 70 - 3 * frame),
        2: lambda frame: (24 - SIDE, 10 + 3 * frame),
    }
    movie, squares = movie_of(paths, frames=14)
    results = run(movie, painted(squares, 0))
    for frame, result in results.items():
        truth = squares.truth(frame)
        assert set(np.unique(result.labels)) <= {0, *paths}
        around = np.lib.stride_tricks.sliding_window_view(np.pad(truth, 2, mode="edge"), (5, 5))
        inner = around.min(axis=(2, 3)) == around.max(axis=(2, 3))
        assert np.array_equal(result.labels[inner], truth[inner])


def test_objects_that_claim_the_same_pixels_share_them_without_overlap():
    movie, _ = movie_of({1: lambda frame: (20, 40)}, frames=4)
    left, right = np.zeros((2, *SHAPE), bool)
    left[20:34, 40:47], right[20:34, 47:54] = True, True
    results = run(movie, [Mask(0, 5, left), Mask(0, 9, right)], copy_guidance)
    for result in results.values():
        assert region_similarity(left, result.labels == 5) > 0.8
        assert region_similarity(right, result.labels == 9) > 0.8


def test_parts_that_do_not_touch_the_object_are_dropped():
    movie, squares = movie_of({1: lambda frame: (20, 30)}, frames=6)
    stray = squares.truth

    def with_twin(frame):
        labels = stray(frame)
        if frame:
            labels[20:34, 30 + SIDE + 8 : 30 + SIDE + 12] = 1
        return labels

    squares.truth = with_twin
    results = run(movie, [Mask(0, 1, stray(0) == 1)])
    for result in results.values():
        assert region_similarity(stray(0) == 1, result.labels == 1) > 0.85
        assert not result.labels[:, 30 + SIDE + 4 :].any()


# Out of sight and back


def hidden_between(first, last, path):
    return lambda frame: None if first <= frame <= last else path(frame)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_object_that_vanishes_leaves_no_mask_and_is_found_when_it_comes_back(direction):
    forward = direction == "forward"
    movie, squares = movie_of({1: hidden_between(6, 9, going_right(20))}, frames=16)
    segment = ByColour()
    config = PropagationConfig(crop_size=96, direction=direction)
    results = run(movie, painted(squares, 0 if forward else 15), segment, config)
    assert segment.empty > 0, "while it is lost the network is asked without guidance"
    for frame, result in results.items():
        if 6 <= frame <= 9:
            assert not result.labels.any()
            assert result.confidence[1] < 0.5
        else:
            assert similarity(squares, result, 1) > 0.85
            assert result.confidence[1] > 0.8


def test_the_others_are_carried_on_while_one_object_is_lost():
    paths = {1: hidden_between(3, 6, going_right(8)), 2: going_right(40)}
    movie, squares = movie_of(paths, frames=9)
    results = run(movie, painted(squares, 0))
    for frame, result in results.items():
        assert similarity(squares, result, 2) > 0.85
        assert (result.labels == 1).any() == (not 3 <= frame <= 6)


def test_an_object_that_the_network_loses_is_reported_as_lost_on_every_frame():
    movie, squares = movie_of({1: going_right(20)}, frames=8)
    results = run(movie, painted(squares, 0), nothing)
    for frame in range(1, 8):
        assert not results[frame].labels.any()
        assert 0 < results[frame].confidence[1] < 0.5
        assert results[frame].source == {1: 0}


def test_an_absent_object_has_no_mask_there_and_is_carried_no_farther():
    movie, squares = movie_of({1: hidden_between(4, 99, going_right(20)), 2: going_right(40)})
    results = run(movie, [*painted(squares, 0), Absent(6, 1)])
    for frame, result in results.items():
        assert result.source[1] == (0 if frame <= 3 else 6)
        assert (result.labels == 1).any() == (frame <= 3)
        assert (result.confidence[1] > 0.5) == (frame <= 3 or frame == 6)
        assert similarity(squares, result, 2) > 0.85
    assert results[6].confidence[1] == 1, "there the user said so"


def test_an_absent_object_that_appears_later_is_found():
    movie, squares = movie_of({1: hidden_between(4, 8, going_right(20))}, frames=14)
    results = run(movie, [*painted(squares, 0), Absent(5, 1)])
    assert [bool(results[f].labels.any()) for f in range(14)] == [True] * 4 + [False] * 5 + [True] * 5
    assert results[12].source == {1: 5}


# Kinds of annotations


def kinds(squares, frame):
    truth = squares.truth(frame) == 1
    y, x = np.argwhere(truth).min(axis=0)
    stroke, beside = np.zeros((2, *SHAPE), bool)
    stroke[y + 6 : y + 8, x + 2 : x + SIDE - 2] = True
    beside[:3] = True
    return {
        "box": Box(frame, 1, (y - 2, x - 2, y + SIDE + 2, x + SIDE + 2)),
        "scribble": Scribble(frame, 1, stroke, beside),
        "polygon": Polygon(
            frame, 1, [(y, x), (y, x + SIDE - 1), (y + SIDE - 1, x + SIDE - 1), (y + SIDE - 1, x)]
        ),
        "mask": Mask(frame, 1, truth),
    }


@pytest.mark.parametrize("kind", ["box", "scribble", "polygon", "mask"])
def test_every_kind_of_annotation_starts_a_mask(kind):
    movie, squares = movie_of({1: going_right(20)}, frames=8)
    results = run(movie, [kinds(squares, 3)[kind]])
    assert min(similarity(squares, result, 1) for result in results.values()) > 0.85
    exact = kind in ("polygon", "mask")
    assert (results[3].confidence[1] == 1) == exact
    assert results[3].source == {1: 3}


def test_a_box_beside_a_painted_object_leaves_that_as_it_is():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)}, frames=6)
    results = run(movie, [kinds(squares, 2)["box"], *painted(squares, 2, 2)])
    assert np.array_equal(results[2].labels == 2, squares.truth(2) == 2)
    assert similarity(squares, results[2], 1) > 0.85


def test_several_annotations_of_one_object_on_one_frame_count_together():
    movie, squares = movie_of({1: going_right(20)}, frames=5)
    truth = squares.truth(0) == 1
    half, rest, wrong = truth.copy(), truth.copy(), np.zeros(SHAPE, bool)
    half[:, 11:] = False
    rest[:, :11] = False
    wrong[50:60, 50:60] = True
    items = [Mask(0, 1, half | wrong), Scribble(0, 1, rest, wrong)]
    results = run(movie, items)
    assert np.array_equal(results[0].labels == 1, truth)
    assert similarity(squares, results[4], 1) > 0.85


def test_strokes_beside_the_object_alone_do_not_say_that_it_is_gone():
    movie, squares = movie_of({1: going_right(20)}, frames=8)
    beside = np.zeros(SHAPE, bool)
    beside[:4] = True
    results = run(movie, [*painted(squares, 0), Scribble(6, 1, np.zeros(SHAPE, bool), beside)])
    assert min(similarity(squares, result, 1) for result in results.values()) > 0.85
    assert results[6].source == {1: 0}


# A range of frames


@pytest.mark.parametrize(("wanted", "anchor"), [(range(6, 9), 2), (range(1, 4), 8), (range(2, 9), 5)])
def test_only_the_frames_of_the_range_come_back(wanted, anchor):
    movie, squares = movie_of({1: going_right(20)})
    segment = ByColour()
    results = run(movie, painted(squares, anchor), segment, frames=wanted)
    assert sorted(results) == list(wanted)
    for result in results.values():
        assert similarity(squares, result, 1) > 0.85
        assert result.source == {1: anchor}
    needed = set(wanted) | set(range(min(anchor, wanted[0]), max(anchor, wanted[-1]) + 1))
    assert set(squares.reads) == needed, "no frame beyond is read"
    assert len(segment.batches) == len(needed) - 1


def test_a_range_gives_the_same_masks_as_the_whole_movie():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    items = painted(squares, 1, 1) + painted(squares, 10, 2)
    whole, part = run(movie, items), run(movie, items, frames=range(4, 8))
    for frame in range(4, 8):
        assert np.array_equal(whole[frame].labels, part[frame].labels)
        assert whole[frame].source == part[frame].source


@pytest.mark.parametrize(
    "wanted", [range(0), range(5, 13), range(-1, 3), range(8, 2), range(0, 8, 2), range(20, 30)]
)
def test_a_range_outside_the_movie_is_refused(wanted):
    movie, squares = movie_of({1: going_right(20)})
    with pytest.raises(AnnotationError, match="give a range within 0:12"):
        propagate(movie, Annotations(painted(squares, 0)), ByColour(), CONFIG, frames=wanted)


# Confidence, errors, memory


@pytest.mark.parametrize("segment", [noise, nothing, copy_guidance, ByColour()])
def test_confidence_lies_between_0_and_1_for_every_object_on_every_frame(segment):
    paths = {1: hidden_between(4, 7, going_right(8)), 2: going_right(40)}
    movie, squares = movie_of(paths)
    for result in run(movie, painted(squares, 2), segment).values():
        assert set(result.confidence) == set(result.source) == {1, 2}
        assert all(0 <= value <= 1 for value in result.confidence.values())
        assert 0 <= mean_confidence(result.confidence) <= 1


def test_a_network_that_is_less_sure_gives_less_confidence():
    movie, squares = movie_of({1: going_right(20)}, frames=4)

    def unsure(images, guidance):
        return np.where(ByColour()(images, guidance) > 0.5, np.float32(0.6), np.float32(0.2))

    sure = run(movie, painted(squares, 0))[2].confidence[1]
    assert run(movie, painted(squares, 0), unsure)[2].confidence[1] < sure - 0.2


def bad_annotations(squares):
    everywhere = np.ones(SHAPE, bool)
    return {
        "Nothing is annotated": [],
        "another size|has 10 x 10": [Mask(0, 1, np.ones((10, 10), bool))],
        "lies outside the movie": [Mask(12, 1, everywhere)],
        "Label 2 has no painted pixel on frame 3": [Mask(0, 1, everywhere), Mask(3, 2, ~everywhere)],
    }


@pytest.mark.parametrize("what", list(bad_annotations(None)))
def test_annotations_that_do_not_fit_are_refused_at_the_call_before_any_work(what):
    movie, squares = movie_of({1: going_right(20)})
    segment = ByColour()
    with pytest.raises(AnnotationError, match=what) as caught:
        propagate(movie, Annotations(bad_annotations(squares)[what]), segment, CONFIG)
    assert "\n" not in str(caught.value)
    assert squares.reads == segment.batches == []


def test_a_frame_that_cannot_be_read_is_an_error_of_the_movie_after_those_before_it():
    movie, squares = movie_of({1: going_right(20)}, frames=6)
    truth = squares.truth

    def torn(frame):
        if frame == 3:
            raise OSError("truncated")
        return truth(frame)

    results = propagate(movie, Annotations(painted(squares, 0)), ByColour(), CONFIG)
    squares.truth = torn
    assert [next(results).frame for _ in range(3)] == [0, 1, 2]
    with pytest.raises(MovieError, match="Frame 3"):
        next(results)


def test_a_mask_that_is_only_copied_stays_where_it_is():
    movie, squares = movie_of({1: lambda frame: (21, 33)}, frames=30)
    config = PropagationConfig(crop_size=96, dilation=0)
    results = run(movie, painted(squares, 0), copy_guidance, config)
    places = [np.argwhere(result.labels).mean(axis=0) for result in results.values()]
    assert np.ptp(places, axis=0).max() < 0.6
    assert similarity(squares, results[29], 1) > 0.85


def test_without_optical_flow_the_mask_of_the_frame_before_is_the_guidance():
    movie, squares = movie_of({1: going_right(20, step=3)}, frames=3)
    seen = []

    def spy(images, guidance):
        seen.append(guidance[0])
        return ByColour()(images, guidance)

    config = PropagationConfig(crop_size=96, warp=False, dilation=0)
    run(movie, painted(squares, 0), spy, config)
    middle = np.argwhere(seen[0]).mean(axis=0)
    assert middle == pytest.approx([47.5, 47.5], abs=0.6), "the crop is centred on the old mask"


def test_closing_early_stops_the_work_and_cleans_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    items = painted(squares, 1, 1) + painted(squares, 10, 2)
    segment = ByColour()
    results = propagate(movie, Annotations(items), segment, CONFIG)
    next(results)
    assert len(list(Path(tmp_path).glob("*/*"))) > 0, "frames wait for their other half"
    calls = len(segment.batches)
    results.close()
    assert len(segment.batches) == calls < 11
    assert list(Path(tmp_path).iterdir()) == []


def test_nothing_is_left_in_the_temporary_folder_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    run(movie, painted(squares, 1, 1) + painted(squares, 10, 2))
    assert list(Path(tmp_path).iterdir()) == []


def test_each_frame_is_read_once_per_direction():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    run(movie, painted(squares, 5))
    assert sorted(squares.reads) == sorted([*range(5, 12), *range(6)])


class Still:
    """A long lazy movie of one picture."""

    def __init__(self, frames):
        self.shape, self.dtype, self.ndim = (frames, 160, 240, 3), np.dtype(np.uint8), 4

    def __getitem__(self, key):
        if key[0] % 100 == 0:
            gc.collect()  # empties the interpreter's own lists of tuples to be used again
        image = np.full(self.shape[1:], 20, np.uint8)
        image[10:30, 10:30] = COLOURS[1]
        return image


def peak_memory(frames, *, sharpen=False, both_sides=False):
    mask = np.zeros((160, 240), bool)
    mask[10:30, 10:30] = True
    items = [Mask(frames // 4, 1, mask), Mask(frames // 2, 2, np.roll(mask, 30, axis=1))]
    if both_sides:
        items.append(Mask(frames - 5, 1, mask))
    config = PropagationConfig(crop_size=64, warp=False, dilation=0, crf=sharpen, both_sides=both_sides)
    movie, quick = Movie(Still(frames), axes="tyxc"), CrfConfig(iterations=1, distance=1)
    results = propagate(movie, Annotations(items), copy_guidance, config, crf=quick)
    tracemalloc.start()
    try:
        for _ in results:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_movie():
    peak_memory(10)
    short, long = peak_memory(100), peak_memory(800)
    assert long < 1.05 * short


def test_memory_does_not_grow_when_frames_wait_for_the_next_one_and_for_the_other_side():
    peak_memory(10, both_sides=True, sharpen=True)
    short, long = (peak_memory(frames, both_sides=True, sharpen=True) for frames in (40, 120))
    assert long < 1.05 * short


def test_pieces_of_a_frame_are_merged_by_probability():
    assert not merge_pieces([], SHAPE, background=0.5).any()
    assert mean_confidence({}) == 1
    assert mean_confidence({1: 0.5, 2: 1.0}) == 0.75


def test_results_with_the_same_content_are_told_apart_without_comparing_pixels():
    movie, squares = movie_of({1: going_right(20)}, frames=1)
    one, other = (run(movie, painted(squares, 0))[0] for _ in range(2))
    assert one == one
    assert one != other


def test_probabilities_come_when_they_are_asked_for():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)}, frames=4)
    items = painted(squares, 0)
    assert run(movie, items)[2].probability is None
    for frame, result in run(movie, items, probability=True).items():
        inside = result.probability[squares.truth(frame) > 0]
        assert (result.probability.dtype, result.probability.shape) == (np.uint8, SHAPE)
        assert np.median(inside) == (255 if frame == 0 else round(0.95 * 255))
        assert result.probability[:2].max() < 128


# The CRF


class Ragged:
    """Sees the true mask, unsure and with wrong pixels in it and around it; keeps what it was asked."""

    def __init__(self):
        self.guidance = []

    def __call__(self, images, guidance):
        self.guidance.append(guidance)
        rng = np.random.default_rng(len(self.guidance))
        noise = np.kron(rng.normal(0, 0.3, (len(images), 24, 24)), np.ones((1, 4, 4)))
        right = ByColour()(images, guidance) > 0.5
        return np.clip(0.5 + np.where(right, 0.2, -0.2) + noise, 0.02, 0.98).astype(np.float32)


SHARP = PropagationConfig(crop_size=96, crf=True)


def mean_similarity(squares, results, label=1):
    return np.mean([similarity(squares, result, label) for result in results.values()])


@pytest.mark.parametrize("anchors", [(0,), (9,), (4,), (1, 8)])
def test_the_crf_moves_ragged_masks_to_the_edges_and_leaves_annotated_frames_alone(anchors):
    movie, squares = movie_of({1: going_right(20)}, frames=10)
    items = [item for frame in anchors for item in painted(squares, frame)]
    rough, sharp = run(movie, items, Ragged()), run(movie, items, Ragged(), SHARP)
    assert sorted(sharp) == list(range(10))
    assert mean_similarity(squares, rough) < 0.85
    assert mean_similarity(squares, sharp) > mean_similarity(squares, rough) + 0.08
    for frame in anchors:
        assert np.array_equal(sharp[frame].labels, squares.truth(frame))
        assert sharp[frame].confidence == {1: 1.0}
    assert [sharp[frame].source for frame in range(10)] == [rough[frame].source for frame in range(10)]


def test_the_crf_changes_what_comes_out_but_not_what_guides_the_next_frame():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)}, frames=8)
    items = painted(squares, 1, 1) + painted(squares, 6, 2)
    rough, sharp = Ragged(), Ragged()
    run(movie, items, rough)
    run(movie, items, sharp, SHARP)
    assert len(rough.guidance) == len(sharp.guidance)
    assert all(np.array_equal(a, b) for a, b in zip(rough.guidance, sharp.guidance, strict=True))


def test_each_frame_is_sharpened_with_the_one_before_and_the_one_after(monkeypatch):
    movie, squares = movie_of({1: going_right(20)}, frames=6)
    windows = []

    def spy(images, patches, middle, config):
        assert len(images) == len(patches)
        windows.append((len(images), middle))
        return patches[middle]

    monkeypatch.setattr("napari_masktrack.core.passes.sharpen", spy)
    results = propagate(movie, Annotations(painted(squares, 2)), ByColour(), SHARP)
    assert [result.frame for result in results] == [2, 3, 4, 5, 1, 0]
    assert windows == [(2, 0), (3, 1), (3, 1), (2, 1), (3, 1), (2, 0)]


def test_the_settings_of_the_crf_can_be_given():
    movie, squares = movie_of({1: going_right(20)}, frames=3)
    items = painted(squares, 0)
    without = CrfConfig(appearance=0, smoothness=0)
    rough, same = run(movie, items, Ragged()), run(movie, items, Ragged(), SHARP, crf=without)
    assert all(np.array_equal(rough[frame].labels, same[frame].labels) for frame in range(3))


def test_an_object_that_the_crf_would_wipe_out_keeps_its_mask():
    movie, squares = movie_of({1: lambda frame: (20, 40)}, frames=3)
    speck = np.zeros(SHAPE, bool)
    speck[45:48, 70:73] = True
    items = [*painted(squares, 0), Mask(0, 2, speck)]

    def unsure(images, guidance):
        return np.where(guidance, np.float32(0.55), np.float32(0.3))

    rough, sharp = run(movie, items, unsure), run(movie, items, unsure, SHARP)
    assert (rough[1].labels == 2).any()
    assert (sharp[1].labels == 2).any()


def test_lost_objects_and_a_range_of_frames_are_no_trouble_for_the_crf():
    movie, squares = movie_of({1: hidden_between(4, 6, going_right(8)), 2: going_right(40)})
    results = run(movie, painted(squares, 2), config=SHARP, frames=range(3, 10))
    assert sorted(results) == list(range(3, 10))
    for frame, result in results.items():
        assert (result.labels == 1).any() == (not 4 <= frame <= 6)
        assert similarity(squares, result, 2) > 0.85


def test_frames_that_only_lead_to_the_range_are_not_sharpened(monkeypatch):
    seen, sharpen = [], passes.sharpen
    monkeypatch.setattr(passes, "sharpen", lambda *given: seen.append(given) or sharpen(*given))
    movie, squares = movie_of({1: going_right(8)})
    run(movie, painted(squares, 0), config=SHARP, frames=range(7, 9))
    assert len(seen) == 2


def test_a_movie_of_one_frame_is_not_sharpened():
    movie, squares = movie_of({1: going_right(20)}, frames=1)
    assert np.array_equal(run(movie, painted(squares, 0), config=SHARP)[0].labels, squares.truth(0))


def test_closing_early_gives_what_is_finished_and_cleans_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    items = painted(squares, 1, 1) + painted(squares, 10, 1) + painted(squares, 8, 2)
    config = PropagationConfig(crop_size=96, crf=True, both_sides=True)
    segment = ByColour()
    results = propagate(movie, Annotations(items), segment, config)
    first = next(results)
    assert (first.labels == 1).any()
    assert len(list(Path(tmp_path).glob("*/*"))) > 0
    calls = len(segment.batches)
    results.close()
    assert len(segment.batches) == calls
    assert list(Path(tmp_path).iterdir()) == []


# How far it is


def facing():
    """Return a movie of two objects, one painted on the first frame and the other on the last."""
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)})
    return movie, Annotations(painted(squares, 0, 1) + painted(squares, 11, 2))


def test_headway_is_made_while_all_frames_wait_for_the_other_direction():
    movie, annotations = facing()
    items = list(propagate(movie, annotations, ByColour(), CONFIG, headway=True))
    steps = [item for item in items if isinstance(item, Headway)]
    results = [item for item in items if isinstance(item, FrameResult)]
    waited = items.index(results[0])
    assert 11 <= waited <= 13, "the whole way forwards, but for the frame where the other one begins"
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert {step.steps for step in steps} == {len(steps)}
    assert 0.4 < steps[waited - 1].share < 0.6
    assert steps[-1].share == 1
    assert items[-1] is results[-1]
    quiet = list(propagate(movie, annotations, ByColour(), CONFIG))
    assert [result.frame for result in quiet] == [result.frame for result in results]
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(quiet, results, strict=True))


@pytest.mark.parametrize("crf", [False, True])
def test_frames_that_only_lead_to_the_wanted_ones_count_as_work(crf):
    movie, squares = movie_of({1: going_right(8)})
    config = PropagationConfig(crop_size=96, crf=crf)
    found = propagate(
        movie, Annotations(painted(squares, 0)), ByColour(), config, frames=range(9, 11), headway=True
    )
    items = list(found)
    assert [item.share for item in items[:9]] == [step / 11 for step in range(1, 10)]
    assert [type(item) for item in items[9:]] == [Headway, FrameResult] * 2


def test_frames_to_which_nothing_is_carried_come_when_all_work_is_done():
    movie, squares = movie_of({1: going_right(8)})
    config = PropagationConfig(crop_size=96, direction="forward")
    items = list(propagate(movie, Annotations(painted(squares, 8)), ByColour(), config, headway=True))
    assert [type(item) for item in items] == [Headway, FrameResult] * 4 + [FrameResult] * 8
    assert items[6].share == 1


def test_work_can_be_stopped_while_frames_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    movie, annotations = facing()
    segment = ByColour()
    items = propagate(movie, annotations, segment, CONFIG, headway=True)
    assert [next(items).step for _ in range(4)] == [1, 2, 3, 4]
    assert len(list(tmp_path.glob("*/*"))) == 3
    items.close()
    assert len(segment.batches) == 3
    assert list(tmp_path.iterdir()) == []


# From both sides


BOTH = PropagationConfig(crop_size=96, both_sides=True)


def test_frames_between_two_annotated_ones_say_how_well_both_sides_agree():
    movie, squares = movie_of({1: going_right(8), 2: going_right(40)}, frames=14)
    items = painted(squares, 2, 1) + painted(squares, 11, 1) + painted(squares, 5, 2)
    results = run(movie, items, config=BOTH)
    for frame, result in results.items():
        assert set(result.agreement) == ({1} if 2 < frame < 11 and frame != 5 else set())
        assert all(value > 0.9 for value in result.agreement.values())


def test_masks_that_were_carried_wrongly_disagree():
    movie, squares = movie_of({1: going_right(20, step=4)}, frames=11)
    config = PropagationConfig(crop_size=96, both_sides=True, warp=False)
    results = run(movie, painted(squares, 0) + painted(squares, 10), copy_guidance, config)
    assert set(results[5].agreement) == {1}
    assert all(results[frame].agreement[1] < 0.3 for frame in range(1, 10))


def test_an_object_lost_from_both_sides_agrees_and_one_lost_from_one_side_does_not():
    movie, squares = movie_of({1: going_right(20)}, frames=8)
    items = painted(squares, 0) + painted(squares, 7)
    assert set(run(movie, items, nothing, BOTH)[3].agreement.values()) == {1.0}
    absent = [*painted(squares, 0), Absent(7, 1)]
    lost_behind = run(movie, absent, lambda i, g: np.where(g.any(), copy_guidance(i, g), nothing(i, g)), BOTH)
    assert set(lost_behind[3].agreement.values()) == {0.0}


@pytest.mark.parametrize("frames", [range(14), range(3, 9), range(9, 10), range(12, 14)])
@pytest.mark.parametrize("crf", [False, True])
def test_comparing_both_sides_changes_no_mask(frames, crf):
    paths = {
        1: lambda f: (22, 4 + 4 * f),
        2: lambda f: (28, 70 - 4 * f),
        3: hidden_between(4, 6, going_right(44)),
    }
    movie, squares = movie_of(paths, frames=14)
    items = [
        i
        for label, at in ((1, 1), (1, 6), (1, 12), (2, 0), (2, 13), (3, 3))
        for i in painted(squares, at, label)
    ]
    once = PropagationConfig(crop_size=96, crf=crf, fill_annotated=True)
    twice = PropagationConfig(crop_size=96, crf=crf, fill_annotated=True, both_sides=True)
    quick = CrfConfig(iterations=2, distance=2)
    near, both = (run(movie, items, config=c, frames=frames, crf=quick) for c in (once, twice))
    assert sorted(near) == sorted(both) == list(frames)
    for frame in frames:
        assert np.array_equal(near[frame].labels, both[frame].labels)
        assert near[frame].confidence == both[frame].confidence
        assert near[frame].source == both[frame].source
        assert near[frame].agreement == {}
        spans = {1: 1 < frame < 12 and frame != 6, 2: 0 < frame < 13}
        assert set(both[frame].agreement) == {label for label, inside in spans.items() if inside}


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_one_direction_has_nothing_to_compare(direction):
    movie, squares = movie_of({1: going_right(20)}, frames=8)
    config = PropagationConfig(crop_size=96, both_sides=True, direction=direction)
    results = run(movie, painted(squares, 0) + painted(squares, 7), config=config)
    assert all(result.agreement == {} for result in results.values())
