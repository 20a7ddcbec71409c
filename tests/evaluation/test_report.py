"""Scores are averaged as the protocol wants it, and written so that programs and people can read them."""

import csv
import json
from dataclasses import replace

import pytest
from PIL import Image

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError, OutputError, WorkError
from napari_masktrack.evaluation import plot, report
from napari_masktrack.evaluation.attributes import check_attributes, read_attributes
from napari_masktrack.evaluation.problems import Problem
from napari_masktrack.evaluation.report import check_place, means, report_lines, write_report
from napari_masktrack.evaluation.run import Evaluation, Judged
from napari_masktrack.evaluation.scores import ObjectScore, ProblemScore
from napari_masktrack.evaluation.summary import SPEED, summarise


def judged(name, *similarities, group="", seconds=None):
    """Give a problem with an object per mean J; each has four frames."""
    objects = tuple(
        ObjectScore(label, [1, 2, 3, 4], {"J": [value] * 4, "F": [0.5] * 4})
        for label, value in enumerate(similarities, start=1)
    )
    record = (
        None if seconds is None else {"method": "copy", "napari_masktrack": "1", "seconds_per_frame": seconds}
    )
    return Judged(ProblemScore(name, group, objects), record)


def summary(tmp_path, *scores, protocol="davis", attributes=None, **settings):
    problems = tuple(Problem(name=each.score.name, images=tmp_path, truth=()) for each in scores)
    config = EvaluationConfig(**settings)
    evaluation = Evaluation(protocol=protocol, problems=problems, results=tmp_path / "mine", config=config)
    return summarise(evaluation, scores, attributes)


BOTH = (judged("bear", 1.0, seconds=0.5), judged("bus", 0.2, 0.4, seconds=1.5))


def test_the_mean_is_over_sequences_or_in_davis_2017_over_objects(tmp_path):
    assert summary(tmp_path, *BOTH).mean["J mean"] == pytest.approx((1 + 0.3) / 2)
    pooled = summary(tmp_path, *BOTH, year="2017")
    assert pooled.mean["J mean"] == pytest.approx((1 + 0.2 + 0.4) / 3)
    assert pooled.mean[SPEED] == 1.0
    assert list(means(pooled)) == ["mean of 3 objects"]


def test_classes_have_means_of_their_own_and_one_together(tmp_path):
    scores = [
        judged("cat/1", 0.2, group="cat"),
        judged("cat/2", 0.4, group="cat"),
        judged("dog/1", 0.9, group="dog"),
    ]
    found = means(summary(tmp_path, *scores, protocol="youtube-objects"))
    assert {title: columns["J mean"] for title, columns in found.items()} == pytest.approx(
        {"mean of cat": 0.3, "mean of dog": 0.9, "mean of 2 classes": 0.6, "mean of 3 shots": 0.5}
    )


@pytest.fixture
def attributes(tmp_path):
    path = tmp_path / "attributes.yml"
    path.write_text("sequences:\n- {name: bear, attributes: [FM, OCC]}\n- {name: bus, attributes: [FM]}\n")
    return path


def test_attributes_average_over_the_sequences_that_have_them(tmp_path, attributes):
    fast, occluded = summary(tmp_path, *BOTH, attributes=attributes).attributes
    assert (fast.title, fast.sequences, occluded.title) == ("fast-motion", ("bear", "bus"), "occlusion")
    assert fast.mean["J mean"] == pytest.approx(0.65)
    assert (occluded.mean["J mean"], occluded.others["J mean"]) == pytest.approx((1, 0.3))
    assert fast.others == {}


def test_sequences_of_the_same_last_name_each_count_for_their_attributes(tmp_path, attributes):
    scores = [judged("one/bear", 0.2), judged("two/bear", 0.4), judged("bus", 0.9)]
    fast, occluded = summary(tmp_path, *scores, protocol="folder", attributes=attributes).attributes
    assert occluded.sequences == ("one/bear", "two/bear")
    assert (fast.mean["J mean"], occluded.mean["J mean"]) == pytest.approx((0.5, 0.3))


def test_what_was_left_out_is_named(tmp_path):
    found = summary(tmp_path, *BOTH)
    assert found.as_dict()["left out"] == []
    found = replace(found, evaluation=replace(found.evaluation, left_out=("cow/1", "cat/2")))
    assert found.as_dict()["left out"] == ["cow/1", "cat/2"]
    assert "Left out, as no frame would be judged: cow/1, cat/2." in report_lines(found)


@pytest.mark.parametrize("text", ["{", "sequences: 3", "- bear", "sequences:\n- {name: bear}"])
def test_a_broken_list_of_attributes_is_refused_by_its_name(tmp_path, text):
    (tmp_path / "broken.yml").write_text(text)
    with pytest.raises(InputError, match=r"broken\.yml cannot be read"):
        read_attributes(tmp_path / "broken.yml")


def test_a_sequence_without_attributes_is_refused(tmp_path, attributes):
    check_attributes(attributes, ["bear"])
    with pytest.raises(InputError, match=r"attributes\.yml says nothing of the sequence 'unicorn'"):
        check_attributes(attributes, ["bear", "unicorn"])
    with pytest.raises(InputError, match=r"no .*nowhere\.yml"):
        check_attributes(tmp_path / "nowhere.yml", [])


def test_all_files_are_written_and_say_the_same(tmp_path, attributes):
    written = write_report(summary(tmp_path, *BOTH, attributes=attributes), tmp_path / "out")
    names = [path.name for path in written]
    assert names == ["scores.json", "scores.csv", "scores.md", "scores.png", "scores-attributes.png"]
    found = json.loads(written[0].read_text())
    assert found["mean"]["J mean"] == 0.65
    assert found["sequences"][1]["objects"][0]["values"]["J"] == [0.2] * 4
    with written[1].open() as file:
        rows = list(csv.DictReader(file))
    titles = [(row["sequence"], row["object"], row["J mean"]) for row in rows]
    assert titles == [
        ("bear", "", "1"), ("bus", "", "0.3"), ("bus", "1", "0.2"), ("bus", "2", "0.4"),
        ("mean of fast-motion (FM)", "", "0.65"), ("mean of occlusion (OCC)", "", "1"),
        ("mean of 2 sequences", "", "0.65"),
    ]  # fmt: skip
    text = written[2].read_text()
    assert "| bear | 100.0 | 100.0 | 0.0 | 50.0 | 0.0 | 0.0 | 0.500 |" in text
    assert "| mean of 2 sequences | 65.0 |" in text
    assert "| occlusion (OCC) | 1 | 100.0 (30.0) | 50.0 (50.0) |" in text
    assert all(Image.open(path).width > 300 for path in written[3:])


def test_the_tables_say_with_which_weights_masks_were_made(tmp_path):
    record = {"method": "masktrack", "model": None, "napari_masktrack": "1", "weights_sha256": "12345678" * 8}
    made = [Judged(each.score, record) for each in BOTH]
    assert (
        report_lines(summary(tmp_path, *made))[-1]
        == "Method masktrack, model default, weights 12345678, napari-masktrack 1."
    )
    other = Judged(BOTH[1].score, {**record, "weights_sha256": "abcdef01" * 8})
    assert "weights 12345678, abcdef01," in report_lines(summary(tmp_path, made[0], other))[-1]


def test_scores_of_an_earlier_run_are_replaced_but_files_of_others_are_not(tmp_path):
    found = summary(tmp_path, *BOTH)
    write_report(found, tmp_path)
    check_place(tmp_path)
    (tmp_path / "scores.json").write_text('{"mean": 1}')
    with pytest.raises(OutputError, match=r"scores\.json is not from this command"):
        check_place(tmp_path)
    (tmp_path / "scores.json").unlink()
    with pytest.raises(OutputError, match=r"scores\.csv is not from this command"):
        check_place(tmp_path)
    check_place(tmp_path / "new")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file is a file, but a folder is needed"):
        check_place(tmp_path / "file" / "in" / "it")


def test_scores_that_cannot_be_written_in_the_end_are_said_to_be_kept_as_masks(tmp_path):
    (tmp_path / "out" / "scores.csv").mkdir(parents=True)
    with pytest.raises(
        WorkError, match=r"out \(Is a directory\); the masks are kept in .*mine: give the same"
    ):
        write_report(summary(tmp_path, *BOTH), tmp_path / "out")


def test_without_matplotlib_only_the_plot_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "can_plot", lambda: False)
    written = write_report(summary(tmp_path, *BOTH), tmp_path)
    assert [path.suffix for path in written] == [".json", ".csv", ".md"]
    assert plot.MISSING.endswith("pip install matplotlib.")


def test_other_metrics_than_j_and_f_are_shown_and_drawn(tmp_path):
    score = Judged(ProblemScore("01", whole={"SEG": 0.7, "DET": 0.8, "TRA": 0.9}), None)
    found = summary(tmp_path, score, protocol="ctc")
    assert "| 01 | 70.0 | 80.0 | 90.0 |" in report_lines(found)
    assert write_report(found, tmp_path)[-1].name == "scores.png"
    assert "Results of mine." in report_lines(found)


def test_a_sequence_without_a_metric_that_others_have_is_drawn_without_it(tmp_path):
    known = Judged(ProblemScore("01", whole={"SEG": 0.7, "DET": 0.8, "TRA": 0.9}), None)
    without = Judged(
        ProblemScore("02", whole={"DET": 0.8, "TRA": 0.9}), {"method": "copy", "seconds_per_frame": 1}
    )
    found = summary(tmp_path, known, without, protocol="ctc")
    assert write_report(found, tmp_path)[-1].is_file()


def test_a_number_that_is_not_known_is_null_in_json_and_a_dash_in_markdown(tmp_path):
    nan = Judged(ProblemScore("01", whole={"SEG": float("nan"), "TRA": 0.9}), None)
    found = summary(tmp_path, nan, judged("bear", 0.5), protocol="ctc")
    assert found.as_dict()["sequences"][0]["SEG"] is None
    assert any(line.startswith("| 01 | - |") for line in report_lines(found))
