"""`masktrack demo`: everything it promises, from a small movie and a network that has learnt nothing."""

import csv
import sys
from types import ModuleType

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_masktrack.cli import demo
from napari_masktrack.config import FINETUNE, FinetuneConfig
from napari_masktrack.core import synthetic
from napari_masktrack.core.synthetic import SyntheticConfig

FRAMES, SHAPE, OBJECTS = 3, (48, 64), 2
MADE = {"annotations", "masks", "metrics.csv", "movie.tif", "overlay.png"}


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Make the movie short and the fine-tuning shorter, in an empty working folder."""
    config = SyntheticConfig(frames=FRAMES, shape=SHAPE, objects=OBJECTS, period=FRAMES)
    movie = synthetic.synthetic_movie(config)
    monkeypatch.setattr(synthetic, "synthetic_movie", lambda: movie)
    monkeypatch.setitem(FINETUNE, "quick", FinetuneConfig(steps=1, batch=1, size=64))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    return movie


def test_everything_is_made_and_scored(run, tmp_path, weights, small):
    done = run("demo --model {weights} --device cpu", weights=weights)
    assert done.code == 0
    folder = tmp_path / "masktrack-demo"
    assert {path.name for path in folder.iterdir()} == MADE
    np.testing.assert_array_equal(tifffile.imread(folder / "movie.tif"), small.images)
    masks = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "masks").iterdir())])
    assert masks.shape == (FRAMES, *SHAPE)
    np.testing.assert_array_equal(masks[0], small.labels[0])
    assert Image.open(folder / "overlay.png").size >= SHAPE[::-1]
    lines = done.out.splitlines()
    assert [line.split(": mean J")[0] for line in lines[:OBJECTS]] == ["Object 1", "Object 2"]
    assert lines[OBJECTS].startswith("Mean J 0.")
    assert [part in lines[OBJECTS + 1] for part in ("fine-tuning", "propagation", "in all")] == [True] * 3
    assert lines[-1].startswith("In masktrack-demo: movie.tif")


def test_the_variants_of_the_paper_can_be_tried(run, weights, monkeypatch):
    from napari_masktrack.tracker import Tracker

    asked, propagate = [], Tracker.propagate

    def spy(self, movie, annotations, config, **options):
        asked.append((config.flow, config.crf))
        return propagate(self, movie, annotations, config, **options)

    monkeypatch.setattr(Tracker, "propagate", spy)
    for options in ("", "--flow", "--crf"):
        assert run(f"demo --finetune off --model {{weights}} {options}", weights=weights).code == 0
    assert asked == [(False, False), (True, False), (False, True)]


def test_the_metrics_are_per_frame_and_object_and_agree_with_what_is_printed(run, tmp_path, weights):
    done = run("demo --finetune off --model {weights} --output here", weights=weights)
    with (tmp_path / "here" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["frame"]), int(row["label"])) for row in rows] == [
        (frame, label) for frame in range(FRAMES) for label in (1, 2)
    ]
    assert all(float(row["J"]) == float(row["F"]) == float(row["confidence"]) == 1 for row in rows[:OBJECTS])
    assert [row["painted"] for row in rows] == ["1"] * OBJECTS + ["0"] * (FRAMES - 1) * OBJECTS
    scores = [float(row["J"]) for row in rows if row["painted"] == "0"]
    assert f"Mean J {np.mean(scores):.3f} over {FRAMES - 1} frames" in done.out


def test_its_files_can_be_propagated_again(run, weights):
    assert run("demo --finetune off --model {weights}", weights=weights).code == 0
    line = "propagate masktrack-demo/movie.tif --annotations masktrack-demo/annotations --output again"
    assert run(f"{line} --finetune off --crop-size 64 --model {{weights}}", weights=weights).code == 0


def test_an_earlier_demo_is_never_overwritten(run, tmp_path, weights):
    for name in ("masktrack-demo", "masktrack-demo-2"):
        (tmp_path / name).mkdir()
    done = run("demo --finetune off --model {weights}", weights=weights)
    assert done.out.splitlines()[-1].startswith("In masktrack-demo-3: ")
    assert not any((tmp_path / "masktrack-demo-2").iterdir())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("demo --output taken", "not empty"),
        ("demo --output no/where", "does not exist"),
        ("demo --model best", "give the path of a .safetensors file."),
        ("demo --model best --output empty", "give the path of a .safetensors file."),
        ("demo --viewer", "--viewer needs napari and Qt"),
    ],
)
def test_bad_input_is_refused_before_any_work(run, tmp_path, monkeypatch, line, said):
    monkeypatch.setattr(demo, "VIEWER", "napari_masktrack.no_such_window")
    for name in ("empty", "taken"):
        (tmp_path / name).mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    done = run(line)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert "What is finished" not in done.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "mine.txt", "taken"]


def test_the_viewer_is_opened_on_the_movie_and_the_painted_frame(run, monkeypatch):
    shown = []
    window = ModuleType(demo.VIEWER)
    window.open_demo = shown.append
    monkeypatch.setitem(sys.modules, demo.VIEWER, window)
    assert run("demo --viewer --output here").code == 0
    assert [path.name for path in shown] == ["here"]
    assert sorted(path.name for path in shown[0].iterdir()) == ["annotations", "movie.tif"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a screen")
def test_the_viewer_is_refused_without_a_screen(run, tmp_path, monkeypatch):
    for name in demo.SCREENS:
        monkeypatch.delenv(name, raising=False)
    done = run("demo --viewer")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "--viewer needs a screen" in done.err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--finetune off", "--flow", "--crf", "--model default", "--device cpu"])
def test_the_viewer_is_refused_with_options_that_it_would_ignore(run, tmp_path, option):
    done = run(f"demo --viewer {option}")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"{option.split()[0]} does not go with --viewer" in done.err
    assert not any(tmp_path.iterdir())


def test_a_failure_tells_where_the_finished_files_are(run, tmp_path, weights, monkeypatch):
    monkeypatch.setattr(demo, "_compare", lambda *arguments: 1 / 0)
    done = run("demo --finetune off --model {weights} --output here", weights=weights)
    assert done.code == 1
    assert done.err.endswith("What is finished is in here.\n")
    assert len(list((tmp_path / "here" / "masks").iterdir())) == FRAMES
