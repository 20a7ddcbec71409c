"""Masks of any program find the frames that they belong to."""

import os
from dataclasses import replace

import pytest

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError, WorkError
from napari_masktrack.evaluation.exhibits import Curve, Exhibit
from napari_masktrack.evaluation.jobs import Finished
from napari_masktrack.evaluation.methods import Settings
from napari_masktrack.evaluation.protocols import find_problems
from napari_masktrack.evaluation.report import report_lines
from napari_masktrack.evaluation.run import Evaluation, evaluate, prepare
from napari_masktrack.evaluation.summary import summarise


def judged(evaluation):
    steps = evaluate(evaluation, prepare(evaluation))
    return next(step.result.score for step in steps if isinstance(step, Finished))


@pytest.fixture
def shot(tmp_path, make):
    """Eight frames, numbered from 1 on, and the truth of every other one with the same numbers."""
    labels = make.squares(*((8, 2 + 2 * max(0, number - 1)) for number in range(9)))
    make.frames(tmp_path / "JPEGImages" / "cat" / "shot", labels, name="frame{:04}")
    (tmp_path / "JPEGImages" / "cat" / "shot" / "frame0000.jpg").unlink()
    truth = tmp_path / "Annotations" / "cat" / "shot"
    make.masks(truth, labels)
    for number in (0, 2, 4, 6, 8):
        (truth / f"{number:05}.png").unlink()
    problems = tuple(find_problems("youtube-objects", tmp_path, EvaluationConfig()))
    results = tmp_path / "results"
    return labels[1:], Evaluation(protocol="youtube-objects", problems=problems, results=results)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("{:05}", range(1, 9)),
        ("{:05}", (1, 3, 5, 7)),
        ("frame{:04}", range(1, 8)),
        ("{:05}", range(8)),
    ],
    ids=["numbers", "those of the truth", "names", "indices"],
)
def test_results_find_their_frames_as_the_truth_does(shot, make, name, numbers):
    labels, evaluation = shot
    first = min(numbers)
    for number in numbers:
        image = labels[number - first : number - first + 1]
        make.masks(evaluation.results / "cat" / "shot", image, name=name.format(number))
    score = judged(evaluation)
    assert score.objects[0].values["J"] == [1, 1, 1]


def test_names_that_may_be_numbers_or_indices_are_refused(shot, make):
    labels, evaluation = shot
    for number in range(1, 8):
        make.masks(evaluation.results / "cat" / "shot", labels[:1], name=f"{number:05}")
    said = r"00001\.png may belong to frame0001, by its number, or to frame0002, by its place; name all"
    with pytest.raises(InputError, match=said):
        prepare(evaluation)


def test_own_results_are_by_index_whatever_the_frames_are_called(shot):
    _, evaluation = shot
    score = judged(replace(evaluation, settings=Settings(method="box-oracle")))
    assert score.objects[0].values["J"] == [1, 1, 1]


@pytest.fixture
def numbered(tmp_path, make):
    """Six frames whose names are numbers from 1 on, each with its truth, and a folder for results."""
    labels = make.squares(*((8, 2 + 3 * number) for number in range(6)))
    for path in sorted(make.davis(tmp_path, {"shot": labels}).rglob("0*.*"), reverse=True):
        path.rename(path.with_stem(f"{int(path.stem) + 1:05}"))
    problems = tuple(find_problems("davis", tmp_path, EvaluationConfig()))
    return labels, Evaluation(protocol="davis", problems=problems, results=tmp_path / "results")


@pytest.mark.parametrize("first", [0, 1], ids=["indices", "names"])
def test_names_that_are_numbers_are_read_in_one_way(numbered, make, first):
    labels, evaluation = numbered
    for frame in range(6):
        make.masks(evaluation.results / "shot", labels[frame : frame + 1], name=f"{first + frame:05}")
    assert set(judged(evaluation).objects[0].values["J"]) == {1}


def test_names_that_may_be_those_of_frames_or_indices_are_refused(numbered, make):
    labels, evaluation = numbered
    for number in range(1, 6):
        make.masks(evaluation.results / "shot", labels[:1], name=f"{number:05}")
    said = r"00001\.png may belong to 00001, by its number, or to 00002, by its place; give the masks of all"
    with pytest.raises(InputError, match=said):
        prepare(evaluation)


@pytest.mark.parametrize("ending", [".json", ".csv", ".md", ".png"])
def test_an_exhibit_that_finds_no_room_is_a_failure_and_no_bad_input(tmp_path, monkeypatch, ending):
    def replace_file(source, target, *, usual=os.replace):
        if str(target).endswith(ending):
            raise OSError(28, "No space left on device")
        usual(source, target)

    if ending == ".png":
        pytest.importorskip("matplotlib")
    monkeypatch.setattr(os, "replace", replace_file)
    exhibit = Exhibit(rows=[{"J": 1}], lines=["# J"], content={}, curves=[Curve("J", [1, 2], [0, 1])])
    with pytest.raises(WorkError, match=rf"curve\{ending} was not saved \(No space left"):
        exhibit.write(tmp_path, "curve")


@pytest.mark.parametrize("content", ['{"command": "train", "epochs": 3}', '{"method": "theirs"}'])
def test_a_record_of_another_program_says_nothing(numbered, make, content):
    labels, evaluation = numbered
    make.masks(evaluation.results / "shot", labels[1:], name="{:05}")
    for path in sorted((evaluation.results / "shot").iterdir(), reverse=True):
        path.rename(path.with_stem(f"{int(path.stem) + 2:05}"))  # named like the frames
    (evaluation.results / "shot" / "run.json").write_text(content)
    assert not prepare(evaluation)
    (step,) = (step for step in evaluate(evaluation, ()) if isinstance(step, Finished))
    assert set(step.result.score.objects[0].values["J"]) == {1}
    lines = report_lines(summarise(evaluation, [step.result]))
    assert "Results of results." in lines
