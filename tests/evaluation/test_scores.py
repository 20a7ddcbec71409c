"""Scores are those that a person computes by hand."""

import numpy as np
import pytest

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.core.metrics import statistics
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.methods import Answer, Settings, carry
from napari_masktrack.evaluation.protocols import find_problems
from napari_masktrack.evaluation.scores import judge, mean_columns


def folder(tmp_path, make, labels, **settings):
    make.frames(tmp_path / "images", labels)
    make.masks(tmp_path / "labels", labels)
    return find_problems("folder", tmp_path, EvaluationConfig(**settings))[0].open()


def true_masks(opened):
    return [(frame, opened.truth(frame)) for frame in opened.true_frames]


def answers(opened, method):
    return [
        (event.frame, event.labels)
        for event in carry(opened, Settings(method=method))
        if isinstance(event, Answer)
    ]


def test_a_perfect_result_scores_one(tmp_path, make, moving):
    opened = folder(tmp_path, make, moving)
    columns = judge(opened, true_masks(opened)).columns()
    assert columns == {
        "J mean": 1, "J recall": 1, "J decay": 0, "F mean": 1, "F recall": 1, "F decay": 0
    }  # fmt: skip


def test_the_copy_scores_what_the_overlap_of_the_squares_is(tmp_path, make, moving):
    # Shifted by s, squares of 8 x 8 share 8 (8 - s) pixels of 8 (8 + s).
    opened = folder(tmp_path, make, moving)
    (score,) = judge(opened, answers(opened, "copy")).objects
    expected = [(8 - shift) / (8 + shift) for shift in (2, 4, 6, 8)] + [0]
    assert score.frames == [1, 2, 3, 4, 5]
    assert score.values["J"] == pytest.approx(expected)
    assert score.statistics("J") == statistics(score.values["J"])
    assert judge(opened, answers(opened, "copy")).columns()["J mean"] == pytest.approx(np.mean(expected))


def test_the_order_of_the_frames_does_not_matter(tmp_path, make, moving):
    opened = folder(tmp_path, make, moving)
    forwards = judge(opened, answers(opened, "copy"))
    assert judge(opened, answers(opened, "copy")[::-1]) == forwards


def test_objects_are_judged_one_by_one_and_a_sequence_is_their_mean(tmp_path, make):
    labels = make.squares(*[(2, 2)] * 4)
    labels[:, 14:22, 20:28] = 2
    opened = folder(tmp_path, make, labels)
    halved = np.where(labels == 2, 0, labels)
    halved[:, 14:18, 20:28] = 2
    score = judge(opened, enumerate(halved))
    assert [each.statistics("J").mean for each in score.objects] == [1, 0.5]
    assert score.columns()["J mean"] == 0.75


def test_where_one_object_is_given_its_value_in_the_result_does_not_matter(tmp_path, make, moving):
    opened = folder(tmp_path, make, moving)
    assert judge(opened, enumerate(moving * 255)).columns()["J mean"] == 1


@pytest.fixture
def joined(make, moving):
    """Let a second object come on the fourth frame."""
    moving[3:, 0:6, 20:30] = 2
    return moving


def test_the_truth_is_a_perfect_result_also_where_an_object_comes_later(tmp_path, make, joined):
    opened = folder(tmp_path, make, joined)
    assert opened.labels == (1,)
    for order in (1, -1):
        assert judge(opened, true_masks(opened)[::order]).columns()["J mean"] == 1


def test_an_object_that_comes_later_is_not_taken_for_the_one_that_is_judged(tmp_path, make, joined):
    opened = folder(tmp_path, make, joined)
    exchanged = np.where((joined == 1) & (np.arange(6)[:, None, None] > 2), 2, joined)
    assert judge(opened, enumerate(exchanged)).objects[0].values["J"] == [1, 1, 0, 0, 0]


def test_a_result_that_knows_the_objects_id_nowhere_is_taken_as_a_whole(tmp_path, make, joined):
    opened = folder(tmp_path, make, joined)
    assert judge(opened, enumerate((joined == 1) * 255)).columns()["J mean"] == 1


def test_where_the_truth_is_of_one_object_every_id_of_a_result_is_that_object(davis, moving):
    (problem,) = find_problems("davis", davis, EvaluationConfig())
    moving[:, :12] *= 2  # its upper half has an id of its own
    assert judge(problem.open(), enumerate(moving)).columns()["J mean"] == 1


def test_an_object_out_of_sight_counts_as_long_as_the_rules_say_so(tmp_path, make, moving):
    moving[3:] = 0
    opened = folder(tmp_path / "a", make, moving)
    assert judge(opened, true_masks(opened)).objects[0].frames == [1, 2, 3, 4, 5]
    assert judge(opened, true_masks(opened)).columns()["J mean"] == 1
    present = folder(tmp_path / "b", make, moving, only_present=True)
    assert judge(present, true_masks(present)).objects[0].frames == [1, 2]


def test_frames_beyond_the_256th_are_not_taken_for_others(tmp_path, make):
    # The public code keeps bin ids in 8 bits: in its decay the last quarter would be another one.
    labels = make.squares(*[(8, 4)] * 300)
    opened = folder(tmp_path, make, labels)
    wrong = labels.copy()
    wrong[225:] = 0
    columns = judge(opened, enumerate(wrong)).columns()
    assert columns["J mean"] == pytest.approx(224 / 299)
    assert columns["J decay"] == 1


def test_a_frame_without_mask_is_refused(tmp_path, make, moving):
    opened = folder(tmp_path, make, moving)
    with pytest.raises(InputError, match="Frame 3 of"):
        judge(opened, [each for each in true_masks(opened) if each[0] != 3])


def test_means_leave_out_what_is_not_known():
    assert mean_columns([{"a": 1.0, "b": np.nan}, {"a": 3.0}])["a"] == 2
    assert np.isnan(mean_columns([{"b": np.nan}])["b"])


@pytest.mark.parametrize(("method", "least"), [("warp", 0.7), ("box-oracle", 1.0), ("grabcut-oracle", 0.0)])
def test_baselines_answer_for_every_frame(tmp_path, make, moving, method, least):
    opened = folder(tmp_path, make, moving)
    score = judge(opened, answers(opened, method))
    assert score.objects[0].statistics("J").mean >= least


def test_oracles_draw_only_the_objects_that_are_judged(tmp_path, make, moving):
    moving[2:, 18:22, 2:6] = 9
    opened = folder(tmp_path, make, moving)
    assert {int(labels.max()) for _, labels in answers(opened, "box-oracle")} == {1}
