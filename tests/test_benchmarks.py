"""The benchmark tool on tiny synthetic sequences."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import __main__ as program
from benchmarks.cache import Cache
from benchmarks.confidence import matching, pairs, reliability_table
from benchmarks.documents import insert, table
from benchmarks.measure import COPY, Job, given_at, measure, settings_hash
from benchmarks.origin import weights_hash
from benchmarks.sequences import find_sequences
from benchmarks.speed import synthetic_courses
from benchmarks.static import multiply_adds
from benchmarks.variants import Row, newest, variants_table
from PIL import Image
from torch import nn

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.errors import InputError
from napari_masktrack.model.checkpoint import save_checkpoint
from napari_masktrack.model.network import MaskNetwork
from napari_masktrack.tracker import finetune_config

SHAPE = (64, 96)
PAGE = "# Page\n\n<!-- table:a -->\nold\n<!-- end -->\n\nprose\n\n<!-- table:b -->\n<!-- end -->\n"


@pytest.fixture
def threads():
    torch_threads, opencv_threads = torch.get_num_threads(), cv2().getNumThreads()
    yield
    torch.set_num_threads(torch_threads)
    cv2().setNumThreads(opencv_threads)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sequences: one object that does not move, and two of which one vanishes after frame 1."""
    still = np.zeros((5, *SHAPE), np.uint16)
    still[:, 20:40, 30:60] = 1
    moving = np.zeros((4, *SHAPE), np.uint16)
    moving[:, 5:25, 5:25] = 1
    moving[:2, 40:60, 60:80] = 300
    moving[1, 40:60, 60:80], moving[1, 40:60, 70:90] = 0, 300
    write_sequence(tmp_path / "video" / "davis" / "still", still)
    write_sequence(tmp_path / "video" / "microscopy" / "PhC-C2DH-U373-01", moving)
    return tmp_path / "video"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_checkpoint(path, MaskNetwork().eval())
    return path


def write_sequence(folder: Path, labels: np.ndarray) -> None:
    images = synthetic_movie(SyntheticConfig(frames=len(labels), shape=SHAPE)).images
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index, (image, mask) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(image).save(folder / "images" / f"{index:05}.webp", lossless=True)
        Image.fromarray(mask).save(folder / "labels" / f"{index:05}.png")


def entry_of(name: str, data: Path, mode: str = COPY, **more: object) -> dict:
    return measure(Job(sequence=find_sequences(data, [name])[0], mode=mode, **more))


def test_davis_leaves_out_the_first_and_the_last_frame(data):
    entry = entry_of("still", data)
    assert entry["objects"]["1"]["frames"] == [1, 2, 3]
    assert entry["J"] == {"mean": 1.0, "recall": 1.0, "decay": 0.0}


def test_an_object_counts_only_where_the_truth_shows_it(data):
    entry = entry_of("PhC-C2DH-U373-01", data)
    assert entry["objects"]["1"]["frames"] == [1, 2, 3]
    assert entry["objects"]["300"]["frames"] == [1]
    assert entry["objects"]["300"]["J"] == [pytest.approx(1 / 3, abs=1e-5)]
    assert entry["J"]["mean"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-5)


def test_a_measurement_reports_time_fine_tuning_and_confidence(data, weights):
    config = FinetuneConfig(steps=1, batch=1, size=64)
    entry = entry_of(
        "still",
        data,
        "tiny",
        finetune=config,
        propagation=PropagationConfig(crop_size=64),
        model=str(weights),
    )
    assert entry["finetuning"]["steps"] == 1
    assert entry["seconds_per_frame"] > 0
    assert all(0 <= value <= 1 for value in entry["objects"]["1"]["confidence"])
    assert entry["model"] == "untrained"


def test_sequences_are_found_by_name_and_unknown_ones_refused(data):
    assert [each.name for each in find_sequences(data)] == ["davis/still", "microscopy/PhC-C2DH-U373-01"]
    assert find_sequences(data, frames=2)[0].limit == 2
    with pytest.raises(InputError, match="no sequence mars"):
        find_sequences(data, ["mars"])
    with pytest.raises(InputError, match="holds no sequences"):
        find_sequences(data / "davis")


def test_other_settings_and_weights_have_other_keys(data):
    job = Job(sequence=find_sequences(data)[0], mode="off", sha256="a")
    others = [
        Job(sequence=job.sequence, mode="off", sha256="b"),
        Job(sequence=job.sequence, mode="off", sha256="a", finetune=FinetuneConfig()),
        Job(sequence=job.sequence, mode="off", sha256="a", propagation=PropagationConfig(crop_size=64)),
        Job(sequence=find_sequences(data, frames=2)[0], mode="off", sha256="a"),
        Job(sequence=job.sequence, mode="off", sha256="a", start=0.5),
    ]
    assert len({each.key for each in [job, *others]}) == 6


def test_a_table_replaces_only_what_stands_in_its_own_place(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert insert(page, "b", "\n".join(table(["x", "y"], [["1", "2"]])))
    assert insert(page, "a", "new")
    text = page.read_text()
    assert "old" not in text
    assert "prose" in text
    assert "\nnew\n" in text
    assert "| x | y |\n| --- | ---: |\n| 1 | 2 |\n" in text
    assert not insert(page, "c", "nowhere")
    assert page.read_text() == text


def test_the_cache_keeps_what_another_run_wrote(tmp_path):
    mine, other = Cache(tmp_path / "r" / "x.json"), Cache(tmp_path / "r" / "x.json")
    other.put("b", {"J": 2})
    mine.put("a", {"J": 1})
    assert Cache(tmp_path / "r" / "x.json").entries == {"a": {"J": 1}, "b": {"J": 2}}
    (tmp_path / "broken.json").write_text("[1")
    with pytest.raises(InputError, match=r"broken\.json cannot be read"):
        Cache(tmp_path / "broken.json")


def test_an_interrupted_video_run_goes_on_and_writes_its_table(data, weights, threads, tmp_path, capsys):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("<!-- table:video-untrained -->\n<!-- end -->\n")
    command = ["video", "--data", str(data), "--models", str(weights), "--modes", "off", "--threads", "1"]
    command += ["--out", str(results), "--document", str(page)]
    assert program.main([*command, "--sequences", "still"]) == 0
    first = json.loads(results.read_text())
    assert program.main(command) == 0
    assert {key: json.loads(results.read_text())[key] for key in first} == first
    said = capsys.readouterr()
    assert said.err == ""
    assert "davis/still off: J" in said.out
    assert "(kept)" in said.out
    text = page.read_text()
    assert "| still | 100.0 |" in text
    assert "| **DAVIS, mean of 1** | **100.0** |" in text
    assert "| PhC-C2DH-U373-01 | 66.7 |" in text
    assert "python -m benchmarks video --data" in text


def test_curves_are_measured_written_and_drawn(data, weights, threads, tmp_path, monkeypatch):
    def brief(steps=2):
        return FinetuneConfig(steps=steps, batch=1, size=64)

    monkeypatch.setattr("benchmarks.curve.quick", brief)
    page = tmp_path / "page.md"
    page.write_text("<!-- table:curve-crop -->\n<!-- end -->\n<!-- table:curve-steps -->\n<!-- end -->\n")
    command = ["curve", "--data", str(data), "--sequences", "still", "--model", str(weights)]
    command += ["--sizes", "64,96", "--steps", "0,1", "--out", str(tmp_path / "kept.json")]
    assert program.main([*command, "--threads", "1", "--document", str(page)]) == 0
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "---" not in line]
    assert [row[0] for row in rows] == ["crop size (px)", "64", "96", "steps", "0", "1"]
    assert rows[-2][-1] == "0.0"
    assert float(rows[-1][-1]) > 0
    for name in ("curve-crop.png", "curve-steps.png"):
        assert Image.open(tmp_path / "images" / name).size[0] > 400


def test_any_frame_with_an_object_may_be_the_annotated_one(data, weights, threads, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.starts.PropagationConfig", partial(PropagationConfig, crop_size=64))
    page, results = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text("<!-- table:starts -->\n<!-- end -->\n")
    command = ["starts", "--data", str(data), "--model", str(weights), "--threads", "1"]
    assert program.main([*command, "--out", str(results), "--document", str(page)]) == 0
    kept = json.loads(results.read_text())
    judged = {entry["mode"]: sorted(entry["objects"]["1"]["frames"]) for entry in kept.values()}
    assert judged == {"off, first": [1, 2, 3], "off, middle": [1, 3], "off, last": [1, 2, 3]}
    lines = page.read_text().splitlines()
    assert "| annotated frame | first | middle | last |" in lines
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["still", "**DAVIS, mean of 1**"]


def test_the_annotated_frame_is_one_that_shows_an_object(data):
    opened = find_sequences(data, ["PhC-C2DH-U373-01"])[0].open()
    assert [given_at(opened, start).frames for start in (0.0, 0.4, 1.0)] == [(0,), (1,), (3,)]
    assert given_at(opened, 1.0).labels == (1,)


def test_bad_input_ends_with_code_two_and_one_line(tmp_path, weights, capsys):
    assert program.main(["video", "--data", str(tmp_path), "--models", str(weights)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks: ")
    assert error.count("\n") == 1


def test_reliability_puts_masks_into_bins_of_their_confidence():
    entry = {
        "sequence": "davis/x", "limit": None, "mode": "off", "sha256": "a", "device": "cpu",
        "settings": settings_hash(None, PropagationConfig()),
        "objects": {"1": {"confidence": [0.05, 0.95, 1.0, 0.5], "J": [0.2, 0.8, 1.0, 0.5]}},
    }  # fmt: skip
    trial = {**entry, "limit": 4}
    found = matching([entry, trial], "off", "a", "cpu")
    assert found == [entry]
    lines = reliability_table({"all": pairs(found)})
    assert "| 0.0 to 0.1 | 1 | 20.0 |" in lines
    assert "| 0.9 to 1.0 | 2 | 90.0 |" in lines
    assert "| rank correlation with J |  | 1.000 |" in lines


def test_the_reliability_curve_is_drawn_beside_the_page(weights, tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text("<!-- table:confidence -->\n<!-- end -->\n")
    values = [0.6, 0.62, 0.64, 0.66, 0.68, 1.0]
    entry = {
        "sequence": "davis/x", "limit": None, "mode": "quick", "sha256": weights_hash(str(weights)),
        "device": "cpu", "settings": settings_hash(finetune_config("quick"), PropagationConfig()),
        "objects": {"1": {"confidence": values, "J": values}},
        "origin": {"machine": "m", "date": "d", "commit": "c"},
    }  # fmt: skip
    results.write_text(json.dumps({"a": entry}))
    command = ["confidence", "--model", str(weights), "--out", str(results), "--document", str(page)]
    assert program.main([*command, "--print-only"]) == 0
    assert not (tmp_path / "images").exists()
    assert program.main(command) == 0
    assert "| 0.6 to 0.7 | 5 | 64.0 |" in page.read_text()
    assert Image.open(tmp_path / "images" / "reliability.png").size[0] > 400


def test_multiply_adds_are_those_of_the_formula():
    network = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8))
    assert multiply_adds(network, 16) == 8 * 8 * (8 * 4 * 9 + 8 * 9)


def test_still_images_are_compared(weights, threads, tmp_path, capsys):
    labels = np.zeros((2, *SHAPE), np.uint16)
    labels[:, 16:48, 24:72] = 255
    write_sequence(tmp_path, labels)
    (tmp_path / "labels").rename(tmp_path / "masks")
    command = ["static", "--data", str(tmp_path), "--weights", str(weights), "--size", "64", "--print-only"]
    assert program.main([*command, "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "| untrained | " in said
    assert "J after 3 steps" in said


def test_memory_is_measured_in_a_process_of_its_own(threads, capsys):
    command = ["memory", "--short", "3", "--long", "6", "--shape", "64,64", "--objects", "1"]
    assert program.main([*command, "--model", "none", "--threads", "1", "--print-only"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| the first")]
    assert len(rows) == 2
    assert all(float(row.split("|")[2]) > 10 for row in rows)


def test_one_object_and_twenty_are_timed_on_the_same_movie():
    one, many = synthetic_courses(2, (160, 240))
    assert one.movie is many.movie
    assert len(one.annotations) == 1
    assert len(many.annotations) == 20


def variants(data, tmp_path, *more):
    command = ["variants", "--data", str(data / "davis"), "--out", str(tmp_path / "out"), "--threads", "1"]
    command += ["--kept", str(tmp_path / "rows.json"), "--document", str(tmp_path / "page.md")]
    return program.main([*command, *more])


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("<!-- table:variants -->\n<!-- end -->\n")
    return path


def test_variants_are_measured_one_by_one_and_the_other_rows_stay(data, tmp_path, page, threads):
    assert variants(data, tmp_path, "--variants", "copy-every-10") == 0
    assert variants(data, tmp_path, "--variants", "copy,box-oracle") == 0
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "copy of the first mask", "copy of the nearest of every 10th mask", "box oracle",
    ]  # fmt: skip
    assert "100.0" in rows[2]


def test_a_variant_that_is_kept_is_not_measured_again(data, tmp_path, page, threads, monkeypatch):
    assert variants(data, tmp_path, "--variants", "copy") == 0
    before = page.read_text()
    monkeypatch.setattr("benchmarks.variants.masktrack", lambda line: pytest.fail("measured again"))
    assert variants(data, tmp_path, "--variants", "copy") == 0
    assert page.read_text() == before


def test_a_trial_of_few_frames_is_not_put_on_the_page(data, tmp_path, page, threads, capsys):
    assert variants(data, tmp_path, "--variants", "copy", "--limit", "3") == 0
    assert "copy of the first mask" in capsys.readouterr().out
    assert "copy" not in page.read_text()


def test_rows_of_other_weights_stay_and_say_so(tmp_path):
    row = {
        name: Row(name=name, data="davis", finetune="quick", limit=0, device="cpu", sha256="b" * 64)
        for name in ("masktrack", "off", "copy")
    }
    mean = {f"{metric} {part}": 0.5 for metric in "JF" for part in ("mean", "recall", "decay")}
    cache = Cache(tmp_path / "rows.json")
    old = replace(row["off"], sha256="a" * 64)
    for each, day in ((row["masktrack"], "02"), (old, "01"), (row["copy"], "01")):
        cache.put(each.key, {**each.made_with, "mean": mean, "origin": {"date": f"2026-01-{day}"}})
    found = {name: newest(cache, each) for name, each in row.items()}
    lines = variants_table(found, row)
    assert lines[0].endswith("| weights |")
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["bbbbbbbb", "aaaaaaaa", "-"]
    cache.put(row["off"].key, {**row["off"].made_with, "mean": mean, "origin": {"date": "2026-01-03"}})
    found = {name: newest(cache, each) for name, each in row.items()}
    assert "weights" not in variants_table(found, row)[0]


def test_an_unknown_variant_is_refused(data, tmp_path, page, capsys):
    assert variants(data, tmp_path, "--variants", "magic") == 2
    assert "no variant 'magic'" in capsys.readouterr().err
