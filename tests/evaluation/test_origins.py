"""A result says what it was made from and how, and a run goes on only from the same."""

import hashlib
import os
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.config import EvaluationConfig, PropagationConfig
from napari_masktrack.core.crf import CrfConfig
from napari_masktrack.core.crf_search import SearchStep
from napari_masktrack.evaluation import methods, origins
from napari_masktrack.evaluation.findings import Findings
from napari_masktrack.evaluation.methods import Answer, Settings
from napari_masktrack.evaluation.protocols import find_problems
from napari_masktrack.evaluation.run import Evaluation, Judged, compute, made_otherwise
from napari_masktrack.evaluation.scores import ProblemScore
from napari_masktrack.evaluation.summary import summarise
from napari_masktrack.io.session_files import read_json, write_json

COPY = Settings(method="copy")
SEARCHING = Settings(finetune=None, propagation=PropagationConfig(crf=True), crf_search=True)


@pytest.fixture
def evaluation(tmp_path, davis):
    problems = tuple(find_problems("davis", davis, EvaluationConfig()))
    return Evaluation(protocol="davis", problems=problems, results=tmp_path / "out", settings=COPY)


def made(evaluation):
    """Compute the result and return the record beside it."""
    (problem,) = evaluation.problems
    for _ in compute(problem.open(), evaluation.settings, evaluation.results / "bear"):
        pass
    return read_json(evaluation.results / "bear" / "run.json")


def replace_frame(evaluation):
    path = evaluation.problems[0].images / "00003.jpg"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def test_frames_that_were_replaced_are_other_data(evaluation):
    record = made(evaluation)
    assert made_otherwise(evaluation) == ""
    for path in evaluation.problems[0].images.iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert made_otherwise(evaluation) == ""
    replace_frame(evaluation)
    assert f"from other data (images: {record['data']['images']}, now " in made_otherwise(evaluation)


def test_a_record_from_before_frames_counted_is_taken(evaluation):
    record = made(evaluation)
    del record["data"]["images"]
    write_json(evaluation.results / "bear" / "run.json", record)
    replace_frame(evaluation)
    assert made_otherwise(evaluation) == ""


def test_findings_about_other_frames_are_not_found_but_those_from_before_frames_counted(evaluation, tmp_path):
    (problem,) = evaluation.problems
    before = Findings.of(tmp_path, COPY, problem.open())
    before.put({"J": 1}, "bear")
    replace_frame(evaluation)
    now = Findings.of(tmp_path, COPY, problem.open())
    assert (before.get("bear"), now.get("bear")) == ({"J": 1}, None)
    data = {name: value for name, value in before.made_with["data"].items() if name != "images"}
    Findings(tmp_path, {**before.made_with, "data": data}).put({"J": 2}, "bear")
    assert now.get("bear") == {"J": 2}


def touch(problem):
    for path in (*problem.images.iterdir(), *problem.truth):
        os.utime(path, ns=(10**18, 10**18))


def copied(problem, place):
    images = shutil.copytree(problem.images, place / "images")
    labels = shutil.copytree(problem.truth[0].parent, place / "labels")
    return replace(problem, images=images, truth=tuple(labels / path.name for path in problem.truth))


@pytest.mark.parametrize("how", ["touched", "copied"])
def test_findings_stay_where_files_hold_what_they_held(evaluation, tmp_path, how):
    (problem,) = evaluation.problems
    Findings.of(tmp_path, COPY, problem.open()).put({"J": 1}, "bear")
    if how == "copied":
        problem = copied(problem, tmp_path / "copy")
    touch(problem)
    assert Findings.of(tmp_path, COPY, problem.open()).get("bear") == {"J": 1}


@pytest.mark.parametrize("change", ["frame", "mask"])
def test_findings_about_other_data_are_not_found_whatever_their_size_and_time(evaluation, tmp_path, change):
    (problem,) = evaluation.problems
    touch(problem)
    Findings.of(tmp_path, COPY, problem.open()).put({"J": 1}, "bear")
    path = problem.truth[3] if change == "mask" else problem.images / "00003.jpg"
    content = bytearray(path.read_bytes())
    content[-14] ^= 1
    path.write_bytes(content)
    problem = copied(problem, tmp_path / "copy")
    touch(problem)
    assert Findings.of(tmp_path, COPY, problem.open()).get("bear") is None


def test_masks_of_other_names_are_other_data(tmp_path):
    before = tmp_path / "00003.png"
    before.write_bytes(b"a mask")
    known = origins.files_identity([before])
    assert origins.files_identity([before.rename(tmp_path / "00005.png")]) != known


def test_what_a_file_holds_is_read_once(evaluation, monkeypatch):
    opened, read = evaluation.problems[0].open(), []
    digest = hashlib.file_digest

    def reading(file, kind):
        read.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", reading)
    first = origins.truth_of(opened), origins.data_of(opened)
    assert (origins.truth_of(opened), origins.data_of(opened)) == first
    assert len(read) == len(set(read)) == 12
    replace_frame(evaluation)
    assert origins.truth_of(opened) != first[0]
    assert len(read) == 13


@pytest.mark.parametrize("similarities", [(0.5, 0.75), ()])
def test_what_a_search_found_is_recorded(evaluation, monkeypatch, similarities):
    def searching(opened, annotations, settings):
        for step, similarity in enumerate(similarities, start=1):
            yield SearchStep(step, 2, CrfConfig(colour=step), similarity)
        for frame in opened.frames:
            yield Answer(frame, opened.truth(frame))

    monkeypatch.setitem(methods.METHODS, "masktrack", searching)
    record = made(replace(evaluation, settings=SEARCHING))
    expected = {**asdict(CrfConfig(colour=2)), "J": 0.75} if similarities else None
    assert record["crf_found"] == expected
    found = summarise(evaluation, [Judged(ProblemScore("bear", whole={"J mean": 1.0}), record)])
    assert found.unsearched == (() if similarities else ("bear",))


def test_where_no_search_was_wanted_nothing_is_said_of_one(evaluation):
    record = made(evaluation)
    assert "crf_found" not in record
    found = summarise(evaluation, [Judged(ProblemScore("bear", whole={"J mean": 1.0}), record)])
    assert found.unsearched == ()
