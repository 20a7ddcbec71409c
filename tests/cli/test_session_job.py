"""`masktrack propagate --session`: what the window began goes on in the terminal, and nothing is lost."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.io.readers import open_movie
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.training.lessons import NOT_LEARNED

FRAMES = 6  # of the movie in `place`
FAST = "--finetune off --crop-size 64"
QUICK = "--finetune quick --steps 2 --batch 2 --size 64 --seconds none --crop-size 64"
PLAIN = {"finetune_flow": False, "crf_search": False}
SETTINGS = {
    "mode": "quick",
    "finetune": {"steps": 1, "batch": 2, "size": 64, "seconds": None},
    "propagate": {"direction": "forward", "crop_size": 64},
}


@pytest.fixture
def session(place):
    """Make what the window leaves behind: the first frame painted, forward chosen."""
    movie = open_movie(place / "movie.tif")
    folder = place / "mine.masktrack"
    with Session.create(
        folder, MovieReference.of(movie, path=place / "movie.tif"), settings=SETTINGS
    ) as made:
        made.save_annotation(0, np.asarray(Image.open(place / "painted" / "00000.png")))
    return folder


@pytest.fixture
def propagate(run, weights):
    def propagate(line="", speed=FAST, model="--model {weights}"):
        return run(f"propagate --session mine.masktrack {model} {speed} {line}", weights=weights)

    return propagate


def result(folder):
    with Session.open(folder, read_only=True) as session:
        return {frame: session.results.read(frame) for frame in session.results.written}


def test_the_masks_go_back_into_the_session_with_their_numbers(propagate, session, place):
    done = propagate()
    assert done.code == 0
    assert done.out == f"{FRAMES} frame(s) were written to mine.masktrack.\n"
    masks = result(session)
    assert sorted(masks) == list(range(FRAMES))
    np.testing.assert_array_equal(masks[0], np.asarray(Image.open(place / "painted" / "00000.png")))
    with Session.open(session) as again:
        rows = again.numbers.metrics()
        assert not again.interrupted
    assert [(row["frame"], row["label"], row["source"]) for row in rows] == [
        (str(frame), "1", "0") for frame in range(FRAMES)
    ]


def test_the_table_of_a_session_has_the_columns_of_any_other(propagate, session, place):
    assert propagate("--both-sides --direction both --confidence sure.csv").code == 0
    lines = (place / "sure.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("frame,label,confidence,from_frame,agreement", 1 + FRAMES)


def test_with_output_the_session_is_only_read_even_while_it_is_open(propagate, session, place):
    with Session.open(session):
        assert propagate("--output masks").code == 0
    assert len(list((place / "masks").iterdir())) == FRAMES
    assert result(session) == {}


@pytest.mark.parametrize("named", ["", "images"])
def test_coco_images_of_a_session_are_named_as_the_frames_of_its_movie(propagate, place, named):
    pytest.importorskip("pycocotools")
    names = [f"cell {frame}.png" for frame in range(FRAMES)]
    (place / "images").mkdir()
    for name, image in zip(names, tifffile.imread(place / "movie.tif"), strict=True):
        Image.fromarray(image).save(place / "images" / name)
    movie = open_movie(place / "images")
    reference = MovieReference.of(movie, path=place / "images")
    with Session.create(place / "mine.masktrack", reference, settings=SETTINGS) as made:
        made.save_annotation(0, np.asarray(Image.open(place / "painted" / "00000.png")))
    assert propagate(f"{named} --output a.json").code == 0
    images = json.loads((place / "a.json").read_text())["images"]
    assert [each["file_name"] for each in images] == names


def test_a_range_replaces_only_its_frames_and_can_be_taken_back(propagate, session):
    with Session.open(session) as opened:
        for frame in range(FRAMES):
            opened.results.write(frame, np.full(opened.movie.shape, 9))
        opened.numbers.save_metrics(
            [{"frame": frame, "label": 9, "confidence": 1.0} for frame in range(FRAMES)]
        )
    assert propagate("--frames 2:4").code == 0
    masks = result(session)
    assert [9 in masks[frame] for frame in range(FRAMES)] == [True, True, False, False, True, True]
    with Session.open(session, read_only=True) as opened:
        assert [row["label"] for row in opened.numbers.metrics()] == [*"99", *"11", *"99"]
    done = propagate("--revert")
    assert (done.code, done.out) == (0, f"The former masks of {FRAMES} frame(s) are back.\n")
    assert all((each == 9).all() for each in result(session).values())
    assert propagate("--revert").code == 0
    np.testing.assert_array_equal(result(session)[2], masks[2])


def test_settings_and_weights_of_the_session_are_used_unless_others_are_asked_for(propagate, session, place):
    assert "Fine-tuned: 1 steps" in propagate(speed="").err
    with Session.open(session, read_only=True) as opened:
        tuned = opened.weights.read_bytes()
    assert (
        "Fine-tuned" not in propagate(speed="", model="").err
    )  # fine-tuned once, it is not again unless asked for
    assert "Fine-tuned: 2 steps" in propagate(speed=QUICK, model="").err
    with Session.open(session, read_only=True) as opened:
        assert opened.weights.read_bytes() != tuned
        assert (opened.former.folder / "weights" / opened.weights.name).read_bytes() == tuned
    assert propagate("--revert").code == 0
    with Session.open(session, read_only=True) as opened:
        assert opened.weights.read_bytes() == tuned


def test_where_nothing_was_learned_the_session_has_no_weights_and_the_next_run_learns(propagate, session):
    with Session.open(session) as opened:
        ((_, painted),) = opened.label_images()
        opened.save_annotation(0, np.zeros_like(painted))
        opened.save_shapes([DrawnShape("rectangle", 0, 1, ((10, 12), (10, 23), (21, 23), (21, 12)))])
    done = propagate(speed="")
    assert (done.code, f"Not fine-tuned: {NOT_LEARNED}\n" in done.err) == (0, True)
    with Session.open(session) as opened:
        assert not opened.weights.exists()
        opened.save_shapes([])
        opened.save_annotation(0, painted)
    assert "Fine-tuned: 1 steps" in propagate(speed="").err
    with Session.open(session, read_only=True) as opened:
        assert opened.weights.is_file()


def test_what_the_session_has_is_taken_over_where_nothing_is_asked_for():
    from argparse import Namespace

    from napari_masktrack.cli.session_job import take_over

    options = Namespace(finetune=None, **PLAIN, margin=3.0)
    take_over(options, SETTINGS, tuned=False)
    assert (options.finetune, options.steps, options.seconds) == ("quick", 1, None)
    assert (options.direction, options.crop_size, options.margin) == ("forward", 64, 3.0)
    off = Namespace(finetune=None, **PLAIN)
    take_over(off, SETTINGS, tuned=True)
    assert off.finetune == "off"
    assert not hasattr(off, "steps")
    full = Namespace(finetune="full", **PLAIN)
    take_over(full, SETTINGS, tuned=True)
    assert not hasattr(full, "steps")
    for part, config in (("finetune", FinetuneConfig), ("propagate", PropagationConfig)):
        config(**SETTINGS[part])


@pytest.mark.parametrize(("direction", "compares"), [("forward", False), ("both", True)])
def test_both_sides_are_taken_over_only_where_both_directions_are_wanted(direction, compares):
    from argparse import Namespace

    from napari_masktrack.cli.parser import propagation_settings
    from napari_masktrack.cli.session_job import take_over

    options = Namespace(finetune=None, **PLAIN, direction=direction)
    take_over(options, {"propagate": {"both_sides": True, "direction": "both"}}, tuned=False)
    assert propagation_settings(options).both_sides == compares


@pytest.mark.parametrize(
    ("flow", "crf", "mode", "tuned", "expected"),
    [
        (True, True, None, False, (True, True)),
        (False, False, None, False, (False, False)),
        (True, True, None, True, (False, True)),  # nothing is fine-tuned again
        (True, True, "full", False, (False, True)),
    ],
)
def test_what_the_window_adapts_and_searches_is_done_where_it_counts(flow, crf, mode, tuned, expected):
    from argparse import Namespace

    from napari_masktrack.cli.session_job import take_over

    settings = {"mode": "quick", "finetune_flow": True, "crf_search": True}
    settings["propagate"] = {"flow": flow, "crf": crf}
    options = Namespace(finetune=mode, finetune_flow=False, crf_search=False)
    take_over(options, settings, tuned=tuned)
    assert (options.finetune_flow, options.crf_search) == expected


def test_a_movie_that_was_moved_is_named_and_another_one_refused(propagate, session, place):
    shutil.move(place / "movie.tif", place / "elsewhere.tif")
    done = propagate()
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "not there any more" in done.err
    assert propagate("elsewhere.tif --output masks").code == 0
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(place / "other.png")
    done = propagate("other.png")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "is another one" in done.err
    assert result(session) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--annotations painted", "--annotations does not go with --session"),
        ("--axes tyx", "--axes does not go with --session"),
        ("--revert", "nothing to bring back"),
        ("--revert --output x", "leave --output out"),
        ("--revert --confidence sure.csv", "leave --confidence out"),
        ("--revert --save-weights mine.safetensors", "leave --save-weights out"),
        ("--revert --frames 2:4", "leave --frames out"),
        ("--revert --boxes boxes.csv", "--boxes does not go with --session"),
        ("--frames 4:9", "not in 'movie'"),
    ],
)
def test_contradictions_are_refused_and_change_nothing(propagate, session, snapshot, line, said):
    before = snapshot()
    done = propagate(line)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    changed = {name for name, content in snapshot().items() if before.get(name, b"new") != content}
    assert changed <= {"mine.masktrack/session.lock", "mine.masktrack/weights"}


def test_a_session_without_annotation_or_open_elsewhere_is_refused(propagate, session):
    with Session.open(session) as opened:
        assert "is open elsewhere" in propagate().err
        opened.save_annotation(0, np.zeros(opened.movie.shape, np.uint8))
    done = propagate()
    assert (done.code, "Nothing is annotated" in done.err) == (2, True)


@pytest.mark.parametrize("line", ["propagate --revert", "propagate --session nowhere", "propagate movie.tif"])
def test_what_is_missing_is_named(run, place, line):
    done = run(line)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--session" in done.err or "nowhere" in done.err


def test_probabilities_of_other_masks_leave_the_session_and_come_back_with_revert(propagate, session):
    with Session.open(session) as opened:
        shape = opened.movie.shape
        opened.results.write(3, np.ones(shape, int))
        opened.probabilities.write(3, np.full(shape, 77))
    assert propagate().code == 0
    with Session.open(session, read_only=True) as opened:
        assert opened.probabilities.written == ()
    assert propagate("--revert").code == 0
    with Session.open(session, read_only=True) as opened:
        assert opened.probabilities.written == (3,)
        assert opened.probabilities.read(3).max() == 77
        assert opened.results.written == (3,)


def test_weights_of_a_session_without_masks_come_back_with_revert(propagate, session, place):
    with Session.open(session) as opened:
        opened.weights.write_bytes(b"tuned before")
    assert propagate(speed=QUICK).code == 0
    with Session.open(session, read_only=True) as opened:
        assert opened.weights.read_bytes() != b"tuned before"
    assert propagate("--revert").code == 0
    with Session.open(session, read_only=True) as opened:
        assert opened.weights.read_bytes() == b"tuned before"
        assert opened.results.written == ()


def test_what_is_damaged_is_said_once_also_when_the_work_is_refused(propagate, session):
    painted = session / "annotations" / "masks" / "00000.png"
    whole = painted.read_bytes()
    painted.write_bytes(b"half")
    done = propagate()
    assert done.code == 2
    assert done.err.count("00000.png.damaged") == 1
    assert "Nothing is annotated" in done.err.splitlines()[-1]
    painted.write_bytes(whole)
    (session / "results.zarr").mkdir()  # looked at only when the first frame comes
    done = propagate()
    assert done.code == 0
    assert done.err.count("results.zarr.damaged") == 1
