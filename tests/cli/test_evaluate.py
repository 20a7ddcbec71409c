"""`masktrack evaluate`: data set and results in, tables and files out."""

import json
import os
import shutil
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.cli import evaluate as command
from napari_masktrack.config import EvaluationConfig
from napari_masktrack.evaluation import methods, protocols, report

FAST = "--finetune off --crop-size 64 --device cpu"


@pytest.fixture
def data(place):
    """DAVIS with two sequences of a square that moves by 2 pixels per frame."""
    for name, step in (("bear", 2), ("bus", 1)):
        for part in ("JPEGImages", "Annotations"):
            (place / "data" / part / "480p" / name).mkdir(parents=True)
        for frame in range(5):
            mask = np.zeros((24, 32), np.uint8)
            mask[8:16, 4 + step * frame : 12 + step * frame] = 255
            Image.fromarray(mask).save(place / "data" / "Annotations" / "480p" / name / f"{frame:05}.png")
            Image.fromarray(mask // 2).save(place / "data" / "JPEGImages" / "480p" / name / f"{frame:05}.jpg")
    (place / "data" / "ImageSets" / "2016").mkdir(parents=True)
    (place / "data" / "ImageSets" / "2016" / "val.txt").write_text("bear\nbus\n")
    return place


def test_the_words_of_the_command_are_those_of_the_package():
    assert tuple(command.PROTOCOLS) == tuple(protocols.PROTOCOLS)
    assert tuple(command.METHODS) == tuple(methods.METHODS)
    known = set(EvaluationConfig.__dataclass_fields__)
    assert set().union(*command.PROTOCOLS.values()) == known


def test_missing_results_are_computed_and_judged(run, data):
    done = run("evaluate davis --data data --results out --method copy")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split(" | ")[:2] == [" sequence           ", "J mean"]
    # shifted by s, the squares share (8 - s) / (8 + s): s is 2, 4, 6 and 1, 2, 3 on the frames that count
    bear, bus = np.mean([6 / 10, 4 / 12, 2 / 14]), np.mean([7 / 9, 6 / 10, 5 / 11])
    assert [line.split(" | ")[1].strip() for line in lines[2:5]] == [
        f"{100 * value:.1f}" for value in (bear, bus, (bear + bus) / 2)
    ]
    assert lines[-1] == "Written: out/scores.json, out/scores.csv, out/scores.md, out/scores.png."
    found = json.loads((data / "out" / "scores.json").read_text())
    assert found["sequences"][0]["run"]["method"] == "copy"


def test_a_second_run_computes_nothing_and_says_the_same(run, data):
    first = run("evaluate davis --data data --results out --method copy")
    masks = {path: path.stat().st_mtime_ns for path in (data / "out").rglob("0*.png")}
    assert run("evaluate davis --data data --results out --method copy") == first
    assert {path: path.stat().st_mtime_ns for path in (data / "out").rglob("0*.png")} == masks


def test_complete_results_of_another_method_are_judged_and_said_to_be_what_they_are(run, data):
    first = run("evaluate davis --data data --results out --method copy")
    second = run("evaluate davis --data data --results out --method warp")
    assert (second.code, second.out) == (0, first.out)
    assert second.err == (
        "out/bear was made with other settings (method: copy, now warp); "
        "it is judged as it is, and nothing is computed.\n"
    )
    assert run("evaluate davis --data data --results out --method warp --score-only").err == ""


def test_results_of_others_are_judged_without_touching_their_folder(run, data):
    shutil.copytree(data / "data" / "Annotations" / "480p", data / "theirs")
    done = run("evaluate davis --data data --results theirs --report mine --score-only")
    assert done.code == 0
    assert " bear                |  100.0 |" in done.out
    assert sorted(path.name for path in (data / "theirs").iterdir()) == ["bear", "bus"]
    assert (data / "mine" / "scores.md").is_file()


def test_the_tracker_runs_with_its_own_options(run, data, weights):
    done = run(
        f"evaluate davis --data data --results out --sequences bear --model {{weights}} {FAST} --no-warp",
        weights=weights,
    )
    assert done.code == 0
    record = json.loads((data / "out" / "bear" / "run.json").read_text())
    assert record["propagation"]["warp"] is False
    assert record["finetune"] is None
    assert " mean of 1 sequence |" in done.out


def test_attributes_have_a_table(run, data):
    (data / "list.yml").write_text("sequences: [{name: bear, attributes: [FM]}, {name: bus, attributes: []}]")
    done = run("evaluate davis --data data --results out --method copy --attributes list.yml")
    assert done.code == 0
    assert " fast-motion (FM) |         1 | 35.9 (61.1) |" in done.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("davis --data data --results out --score-only", "no result out/bear (2 of 2 missing)"),
        ("davis --data nowhere --results out", "no folder nowhere"),
        ("davis --data data --results out --set test", "ImageSets/2016/test.txt; choose one of val"),
        ("davis --data data --results out --sequences cat", "no sequence cat in data"),
        ("davis --data data --results movie.tif", "movie.tif is a file"),
        ("davis --data data --results out --attributes nowhere.yml", "no nowhere.yml"),
        ("davis --data data --results out --sparse", "--sparse does not belong to davis"),
        ("segtrack --data data --results out --year 2016", "--year does not belong to segtrack"),
        ("davis --data data --results out --jobs 0", "give a whole number from 1"),
        ("davis --data data --results out --method magic", "choose from"),
        ("davis --data data --results out --finetune off --steps 3", "--steps belongs to fine-tuning"),
        ("davis --data data --results out --densest 4", "--densest belongs to --analysis density"),
        ("davis --data data --results out --model nowhere", "no model or file 'nowhere'"),
        ("davis --data data --results out --analysis density --device cuda:99", "cuda"),
        ("davis --data data --results out --method copy --report movie.tif", "movie.tif is a file"),
        ("davis --data data --results out --method copy --report movie.tif/x", "movie.tif is a file"),
        ("davis --data data --results movie.tif/x --method copy", "movie.tif is a file"),
        ("davis --data data --results movie.tif/x --method copy --analysis density", "movie.tif is a file"),
        ("davis --data data --results out --analysis density --score-only", "--score-only is about results"),
        ("davis --data data --results out --analysis ablation --report o", "files go to --results/ablation"),
        ("davis --data data --results out --analysis density --attributes a.yml", "--attributes is about"),
        ("davis --data data --results out --analysis ablation --method copy", "An ablation is of masktrack"),
        ("davis --data data --results out --analysis ablation --rows boxes", "give --train-data"),
        ("davis --data data --results out --analysis density --method box-oracle", "makes no use of annot"),
        ("davis --data data --results out --analysis interaction --method box-oracle", "makes no use of an"),
        ("ctc --data data --results out --analysis density", "--analysis needs true outlines"),
        ("ctc --data data --results out --every 2", "--every needs true outlines"),
        ("ctc --data data --results out --method box-oracle", "--method box-oracle needs true outlines"),
        ("davis --data data --results out --analysis density --every 2", "--every is about results"),
        ("davis --data data --results out --method box-oracle --every 2", "makes no use of annotations"),
        ("davis --data data --results out --exclude cat", "no sequence cat in data"),
        ("davis --data data --results out --exclude bear,bus", "No sequence of data is left"),
        (
            "davis --data data --results out --method copy --model x",
            "--model belongs to --method masktrack or",
        ),
        ("davis --data data --results out --method warp --flow", "or box, not to warp; leave it out"),
        ("davis --data data --results out --method box-oracle --finetune off", "--finetune belongs to"),
        ("davis --data data --results out --method copy --steps 3", "--steps belongs to --method masktrack"),
        ("davis --data data --results out --analysis ablation --train-steps 9", "--train-steps belongs to"),
        ("davis --data data --results out --analysis ablation --video-data x", "--video-data belongs to"),
        (
            "davis --data data --results out --analysis ablation --recipe x",
            "--recipe belongs to --train-data",
        ),
        ("davis --data data --results out --analysis density --method box", "belongs to --annotate boxes"),
        ("kitti --data data --results out", "choose from"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(run, data, snapshot, line, said):
    before = snapshot()
    done = run(f"evaluate {line}")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err
    assert snapshot() == before


def test_a_sequence_can_be_left_out(run, data):
    shutil.rmtree(data / "data" / "Annotations" / "480p" / "bus")
    refused = run("evaluate davis --data data --results out --method copy")
    assert (refused.code, "leave it out: --exclude bus." in refused.err) == (2, True)
    assert run("evaluate davis --data data --results out --method copy --exclude bus").code == 0
    assert [path.name for path in (data / "out").iterdir() if path.is_dir()] == ["bear"]


@pytest.fixture
def shots(data):
    """The two sequences as shots of YouTube-Objects; of bus only the first frame has a mask."""
    (data / "data" / "Annotations" / "480p").rename(data / "data" / "Annotations" / "cow")
    (data / "data" / "JPEGImages" / "480p").rename(data / "data" / "JPEGImages" / "cow")
    for path in (data / "data" / "Annotations" / "cow" / "bus").glob("0000[1-4].png"):
        path.unlink()
    return data


def test_shots_without_a_frame_to_judge_are_left_out_and_named(run, shots):
    done = run("evaluate youtube-objects --data data --results out --method copy")
    assert (done.code, done.err) == (0, "Left out, as no frame would be judged: cow/bus.\n")
    assert " mean of 1 shot " in done.out
    assert "no frame would be judged: cow/bus." in (shots / "out" / "scores.md").read_text()
    assert json.loads((shots / "out" / "scores.json").read_text())["left out"] == ["cow/bus"]
    alone = run("evaluate youtube-objects --data data --results out --method copy --sequences bus")
    assert (alone.code, "leave it out: --exclude cow/bus." in alone.err) == (2, True)


def test_an_analysis_leaves_out_what_its_own_rules_do_not_judge(run, shots):
    """The curve over the density does not judge the last frame."""
    for path in (shots / "data" / "Annotations" / "cow" / "bear").glob("0000[1-4].png"):
        shutil.copy(path, shots / "data" / "Annotations" / "cow" / "bus")
    for frame in (1, 2, 3):
        (shots / "data" / "Annotations" / "cow" / "bus" / f"0000{frame}.png").unlink()
    done = run("evaluate youtube-objects --data data --results out --method copy --analysis density")
    assert (done.code, done.err) == (0, "")
    assert "Left out, as no frame would be judged: cow/bus." in done.out


def test_a_search_that_found_nothing_to_search_on_is_said_once(run, data, weights, monkeypatch):
    def unsure(opened, annotations, settings):
        yield from methods.METHODS["copy"](opened, annotations, settings)

    monkeypatch.setitem(methods.METHODS, "masktrack", unsure)
    line = f"evaluate davis --data data --results out --model {{weights}} {FAST} --crf --crf-search"
    done = run(line, weights=weights)
    said = "The CRF stayed as in the paper, as no painted mask could be carried over two frames: bear, bus.\n"
    assert (done.code, done.err) == (0, said)
    assert json.loads((data / "out" / "bear" / "run.json").read_text())["crf_found"] is None


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_of_others_that_turn_out_to_be_damaged_are_bad_input(run, data, jobs):
    shutil.copytree(data / "data" / "Annotations" / "480p", data / "theirs")
    mask = data / "theirs" / "bus" / "00002.png"
    mask.write_bytes(mask.read_bytes()[:-30])
    done = run(f"evaluate davis --data data --results theirs --report mine --score-only --jobs {jobs}")
    assert (done.code, done.out) == (2, "")
    assert "theirs/bus/00002.png cannot be read" in done.err


def test_a_failure_on_the_way_keeps_what_is_finished(run, data, monkeypatch):
    copy, done_already = methods.METHODS["copy"], []

    def copy_once(opened, *rest):
        if done_already:
            raise MemoryError
        done_already.append(opened)
        return copy(opened, *rest)

    monkeypatch.setitem(methods.METHODS, "copy", copy_once)
    done = run("evaluate davis --data data --results out --method copy")
    assert done.code == 1
    assert "1 of 2 result(s) are kept; run it again to go on." in done.err
    assert [path.name for path in (data / "out").iterdir()] == ["bear"]
    monkeypatch.setitem(methods.METHODS, "copy", copy)
    assert run("evaluate davis --data data --results out --method copy").code == 0


def test_scores_that_cannot_be_written_are_shown_and_said_to_be_had_again(run, data, monkeypatch):
    def refused(path, content):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(report, "write_json", refused)
        done = run("evaluate davis --data data --results out --method copy")
    assert done.code == 1
    assert " mean of 2 sequences |" in done.out
    assert "written to out (Permission denied); the masks are kept in out: give" in done.err
    again = run("evaluate davis --data data --results out --method copy --report other")
    assert (again.code, again.out.splitlines()[:-1]) == (0, done.out.splitlines())


@pytest.mark.parametrize(
    ("more", "written"),
    [
        ("", "Written: out/scores.json, out/scores.csv, out/scores.md, out/scores.png."),
        (" --analysis density --densest 40", "Written to out/density."),
    ],
)
def test_who_stops_reading_loses_nothing_of_what_is_written(data, more, written):
    """As in `masktrack evaluate ... | head`."""
    read, write = os.pipe()
    os.close(read)
    words = f"evaluate davis --data data --results out --method copy{more}".split()
    done = subprocess.run(
        [sys.executable, "-m", "napari_masktrack", *words],
        cwd=data,
        stdout=write,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (
        1, f"masktrack: Standard output was closed before all was said. {written}\n"
    )  # fmt: skip
    assert {"csv", "json", "md"} <= {path.suffix[1:] for path in (data / "out").rglob("*.*")}


def test_a_broken_data_set_is_refused_before_an_analysis_makes_anything(run, data):
    (data / "data" / "Annotations" / "480p" / "bus" / "00002.png").unlink()
    done = run("evaluate davis --data data --results out --method copy --analysis interaction")
    assert done.code == 2
    assert "has masks for 4 of 5 frame(s)" in done.err
    assert not (data / "out").exists()


def test_ctrl_c_ends_between_two_frames_and_the_next_run_goes_on(run, data, monkeypatch, listening):
    import signal

    copy = methods.METHODS["copy"]

    def interrupted(opened, *rest):
        for answer in copy(opened, *rest):
            if opened.problem.name == "bus" and answer.frame == 2:
                signal.raise_signal(signal.SIGINT)
            yield answer

    monkeypatch.setitem(methods.METHODS, "copy", interrupted)
    done = run("evaluate davis --data data --results out --method copy")
    assert done.code == 130
    assert "Stopped by Ctrl-C. 1 of 2 result(s) are kept" in done.err
    assert [path.name for path in (data / "out").iterdir()] == ["bear"]
    monkeypatch.setitem(methods.METHODS, "copy", copy)
    assert run("evaluate davis --data data --results out --method copy").code == 0


def test_an_analysis_is_given_the_problems_and_its_lines_are_printed(run, data, monkeypatch):
    tasks = []

    def analyse(task):
        from napari_masktrack.evaluation.jobs import Progress

        tasks.append(task)
        yield Progress(0.5, "half")
        return ["a table"]

    module = ModuleType("density")
    module.analyse = analyse
    monkeypatch.setitem(sys.modules, "napari_masktrack.evaluation.density", module)
    done = run("evaluate davis --data data --results out --method copy --analysis density --densest 3")
    assert (done.code, done.out) == (0, "a table\nWritten to out/density.\n")
    (task,) = tasks
    assert [problem.name for problem in task.problems] == ["bear", "bus"]
    assert (task.settings.method, task.options.densest, task.folder.is_dir()) == ("copy", 3, True)
