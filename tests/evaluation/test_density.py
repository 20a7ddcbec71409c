"""The curve of J over the share of annotated frames."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.config import DensityConfig
from napari_masktrack.core.annotation import Absent, Box, Mask
from napari_masktrack.core.metrics import PERCENTS
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation import density
from napari_masktrack.evaluation.given import annotate, frames_apart
from napari_masktrack.evaluation.methods import METHODS, Answer, Settings
from napari_masktrack.evaluation.problems import Problem
from napari_masktrack.evaluation.tasks import AnalysisTask

FRAMES = 14
COPY = Settings(method="copy")


@pytest.fixture
def problem(tmp_path, make):
    """A square that moves on by one pixel per frame; a second one that leaves on frame 5."""
    labels = make.squares(*((4, 2 + frame) for frame in range(FRAMES)))
    labels[:5] += make.squares(*[(14, 20)] * 5, label=2)
    return written(tmp_path / "square", labels, make)


def written(folder, labels, make, **rules):
    make.frames(folder / "images", labels)
    make.masks(folder / "labels", labels)
    truth = tuple(sorted((folder / "labels").iterdir()))
    return Problem(name=folder.name, images=folder / "images", truth=truth, **rules)


@pytest.fixture
def task(tmp_path, problem):
    (tmp_path / "out").mkdir()
    return AnalysisTask(protocol="folder", problems=(problem,), settings=COPY, folder=tmp_path / "out")


@pytest.fixture
def asked(monkeypatch):
    """Annotated frames of every run of a method that knows the truth."""
    runs = []

    def perfect(opened, annotations, settings):
        runs.append(annotations.frames)
        for frame in opened.frames:
            yield Answer(frame, opened.truth(frame))

    monkeypatch.setitem(METHODS, "warp", perfect)
    return runs


def run(task):
    """The lines that are printed."""
    steps = density.analyse(task)
    while True:
        try:
            assert 0 <= next(steps).share <= 1
        except StopIteration as end:
            return end.value


def rows(task, name="density-segments"):
    return json.loads((task.folder / f"{name}.json").read_text())["rows"]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (None, (0,)),
        (40, (0,)),
        (10, (0, 10)),
        (5, (0, 5, 10)),
        (3, (0, 3, 6, 9, 12)),
        (2, tuple(range(0, 14, 2))),
    ],
)
def test_every_nth_frame_from_the_first_is_annotated(every, expected, problem):
    assert frames_apart(problem.open(), every) == expected


def test_only_frames_with_truth_are_annotated(problem):
    sparse = replace(problem, truth=problem.truth[::4], sparse=True)
    assert frames_apart(sparse.open(), 2) == (0, 4, 8, 12)
    assert frames_apart(sparse.open(), 3) == (0, 12)


def test_segments_are_the_true_masks_and_what_is_not_there_is_called_absent(problem):
    opened = problem.open()
    given = annotate(opened, (0, 6))
    assert [type(item) for item in given.items] == [Mask, Mask, Mask, Absent]
    assert np.array_equal(given.of(1)[6].guidance(opened.movie.shape), opened.truth(6) == 1)
    lacking = replace(problem, only_present=True).open()
    assert [item.label for item in annotate(lacking, (0, 6)).at(6)] == [1]


def test_boxes_are_those_around_the_true_masks(problem):
    given = annotate(problem.open(), (0, 6), "boxes")
    assert [type(item) for item in given.items] == [Box, Box, Box, Absent]
    assert given.of(1)[6].box == (4, 8, 12, 16)


def test_objects_that_are_not_judged_are_not_annotated(tmp_path, make):
    labels = make.squares(*[(4, 4)] * 6) + make.squares(*[(4, 20)] * 6, label=2)
    labels[0][labels[0] == 2] = 0
    opened = written(tmp_path / "late", labels, make).open()
    assert annotate(opened, (0, 3)).labels == (1,)


def test_more_annotated_frames_make_copies_better_and_quantiles_are_in_order(task, tmp_path, make):
    labels = make.squares(*((4, 2 + frame) for frame in range(FRAMES)))
    lines = run(replace(task, problems=(written(tmp_path / "alone", labels, make),)))
    found = rows(task)
    expected = ["first frame", *(f"every {n}" for n in ("40th", "30th", "20th", "10th", "5th", "3rd", "2nd"))]
    assert [row["annotated"] for row in found] == expected
    for name in ("percent", "J", "copy J"):
        values = [row[name] for row in found]
        assert values == sorted(values)
    assert found[0]["J"] < 0.6 < 0.85 < found[-1]["J"]
    assert found[0]["percent"] == pytest.approx(100 / FRAMES)
    for row in found:
        levels = [row[f"q{percent}"] for percent in PERCENTS]
        assert levels == sorted(levels)
    assert lines[0].startswith("| annotated | % of frames | J | 5 % |")
    assert len(lines) == 2 + len(found) + 2


def test_annotated_frames_count_and_the_first_and_last_do_not(task, asked):
    run(replace(task, settings=Settings(method="warp")))
    assert {row["J"] for row in rows(task)} == {1}
    content = json.loads((task.folder / "density-segments.json").read_text())
    judged = content["sequences"]["square every-5"]
    assert judged["annotated"] == [0, 5, 10]
    assert judged["objects"]["1"]["frames"] == list(range(1, FRAMES - 1))


def test_equal_annotations_of_a_short_movie_are_measured_once(task, asked):
    run(replace(task, settings=Settings(method="warp")))
    assert asked == [(0,), (0, 10), (0, 5, 10), (0, 3, 6, 9, 12), tuple(range(0, FRAMES, 2))]


def test_an_interrupted_run_goes_on_where_it_was(task, asked):
    task = replace(task, settings=Settings(method="warp"))
    steps = density.analyse(task)
    while len(asked) < 3:
        next(steps)
    steps.close()
    assert not (task.folder / "density-segments.json").exists()
    run(task)
    assert asked == [(0,), (0, 10), (0, 5, 10), (0, 5, 10), (0, 3, 6, 9, 12), tuple(range(0, FRAMES, 2))]
    run(task)
    assert len(asked) == 6


@pytest.mark.parametrize("change", ["limit", "boxes"])
def test_what_was_measured_otherwise_is_not_taken_over(change, task, asked):
    task = replace(task, settings=Settings(method="warp"), options=DensityConfig(densest=5))
    run(task)
    if change == "limit":
        run(replace(task, problems=(replace(task.problems[0], limit=9),)))
        assert asked[3:] == [(0,), (0, 5)]
    else:
        run(replace(task, options=DensityConfig(densest=5, annotate="boxes")))
        assert asked[3:] == asked[:3]
        assert (task.folder / "density-boxes.json").is_file()


def test_findings_of_other_data_of_the_same_name_are_not_taken_over(task, asked):
    task = replace(task, settings=Settings(method="warp"), options=DensityConfig(densest=5))
    run(task)
    made = {path: path.read_bytes() for path in (task.folder / "parts").rglob("*.json")}
    problem = task.problems[0]
    image = np.asarray(Image.open(problem.truth[3])).copy()
    image[0, 0] = 1
    Image.fromarray(image).save(problem.truth[3])
    run(task)
    assert asked[3:] == asked[:3]
    assert {path: path.read_bytes() for path in made} == made


def test_several_movies_count_alike_whatever_their_length(task, tmp_path, make):
    still = written(tmp_path / "still", make.squares(*[(4, 4)] * 40), make)
    run(replace(task, problems=(*task.problems, still), jobs=2))
    first = rows(task)[0]
    run(task)
    assert first["J"] == pytest.approx((rows(task)[0]["J"] + 1) / 2)
    assert first["percent"] == pytest.approx(100 * (1 / FRAMES + 1 / 40) / 2)


def test_the_table_is_also_a_csv_file_and_with_matplotlib_a_picture(task):
    run(task)
    with (task.folder / "density-segments.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["J"]) for row in table] == pytest.approx([row["J"] for row in rows(task)], abs=1e-5)
    assert "| every 2nd | 50.0 |" in (task.folder / "density-segments.md").read_text()
    pytest.importorskip("matplotlib")
    assert (task.folder / "density-segments.png").read_bytes().startswith(b"\x89PNG")


def test_an_oracle_has_no_use_for_annotations(task):
    with pytest.raises(
        ConfigError, match="'box-oracle' makes no use of annotations; choose one of masktrack"
    ):
        run(replace(task, settings=Settings(method="box-oracle")))
