"""`masktrack propagate`: every frame is written, named by its index, with the painted ones as they were."""

import csv
import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_masktrack.cli.progress import Lines

FRAMES, HEIGHT, WIDTH = 6, 40, 48  # of the movie in `place`
FAST = "--finetune off --crop-size 64"
NAMES = [f"{frame:05}.png" for frame in range(FRAMES)]
ANNOTATED = "Annotated: 1 object(s) on 1 frame(s).\n"
QUICK = "--finetune quick --steps 2 --batch 2 --size 64 --seconds none --crop-size 64"


@pytest.fixture
def propagate(run, place, weights):
    def propagate(line, speed=FAST):
        return run(f"propagate movie.tif --model {{weights}} {speed} {line}", weights=weights)

    return propagate


def read(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


def repaint(place, frame, label, size=12, dtype=np.uint8):
    """Paint one square on a frame."""
    image = np.zeros((HEIGHT, WIDTH), dtype)
    image[10 : 10 + size, 12 : 12 + size] = label
    Image.fromarray(image).save(place / "painted" / f"{frame:05}.png")


def movie(place):
    return tifffile.imread(place / "movie.tif")


def test_every_frame_is_written_and_the_painted_one_comes_back(propagate, place):
    done = propagate("--annotations painted --output masks")
    assert (done.code, done.err) == (0, ANNOTATED)
    assert done.out == f"{FRAMES} frame(s) were written to masks.\n"
    assert sorted(path.name for path in (place / "masks").iterdir()) == NAMES
    masks = read(place / "masks")
    assert (masks.shape, masks.dtype) == ((FRAMES, HEIGHT, WIDTH), np.uint8)
    np.testing.assert_array_equal(masks[0], read(place / "painted")[0])


@pytest.mark.parametrize("answer", [True, False, None])
def test_outlines_that_do_not_belong_on_edges_are_spoken_of(propagate, place, monkeypatch, answer):
    monkeypatch.setattr("napari_masktrack.tracker.suits", lambda *_, **__: answer)
    said = propagate("--annotations painted --output masks").err
    assert ("Outlines stay as the network gave them" in said) == (answer is False)


def test_what_is_annotated_is_said_before_the_work(propagate, place):
    repaint(place, 5, 2)
    (place / "boxes.csv").write_text("frame,label,y0,x0,y1,x1\n2,7,10,14,22,26\n")
    done = propagate("--annotations painted --boxes boxes.csv --output masks")
    assert done.err == "Annotated: 3 object(s) on 3 frame(s).\n"


def test_a_mask_with_soft_edges_is_warned_of_in_one_line(propagate, place):
    soft = np.clip(np.hypot(*(np.indices((HEIGHT, WIDTH)) - 16)) * -40 + 400, 0, 255).astype(np.uint8)
    Image.fromarray(soft).save(place / "painted" / "00000.png")
    done = propagate("--annotations painted --output masks --frames 0:1")
    assert done.code == 0
    assert done.err.startswith("masktrack: Most of the ")
    assert done.err.splitlines()[1].startswith("Annotated: ")


def test_the_bar_moves_while_frames_wait_for_an_object_painted_on_the_last_one(propagate, place, monkeypatch):
    drawn = []
    monkeypatch.setattr(Lines, "update", lambda self, share, text: drawn.append((share, text)))
    repaint(place, FRAMES - 1, 2)
    assert propagate("--annotations painted --output masks").code == 0
    shares = [share for share, text in drawn if text == f"0 of {FRAMES} frames"]
    assert len(shares) >= FRAMES - 1
    assert shares == sorted(set(shares))
    assert 0.4 < shares[-1] < 0.6
    assert drawn[-1] == (1, f"{FRAMES} of {FRAMES} frames")


def test_the_ending_chooses_the_format(propagate, place):
    for output in ("masks", "masks.tif", "masks.zarr"):
        assert propagate(f"--annotations painted --output {output}").code == 0
    masks = read(place / "masks")
    np.testing.assert_array_equal(tifffile.imread(place / "masks.tif"), masks)
    np.testing.assert_array_equal(zarr.open(place / "masks.zarr", mode="r")[:], masks)


def test_large_ids_are_kept(propagate, place):
    repaint(place, 0, 60_000, dtype=np.uint16)
    assert propagate("--annotations painted --output masks").code == 0
    assert read(place / "masks")[0].max() == 60_000


@pytest.mark.parametrize(("frames", "names"), [("2:4", NAMES[2:4]), (":3", NAMES[:3]), ("4:", NAMES[4:])])
def test_a_range_keeps_the_indices_of_the_movie(propagate, place, frames, names):
    assert propagate(f"--annotations painted --output masks --frames {frames}").code == 0
    assert sorted(path.name for path in (place / "masks").iterdir()) == names


def test_boxes_do_instead_of_masks_and_beside_them(propagate, place):
    (place / "boxes.csv").write_text("frame,label,y0,x0,y1,x1\n2,7,10,14,22,26\n")
    assert propagate("--boxes boxes.csv --output boxed").code == 0
    assert propagate("--boxes boxes.csv --annotations painted --output both --confidence both.csv").code == 0
    with (place / "both.csv").open() as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"1", "7"}


def test_the_confidence_of_every_frame_and_object_is_a_table(propagate, place):
    assert propagate("--annotations painted --output masks --confidence sure.csv").code == 0
    with (place / "sure.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(frame) for frame in range(FRAMES)]
    assert {row["label"] for row in rows} == {"1"}
    assert {row["from_frame"] for row in rows} == {"0"}
    assert float(rows[0]["confidence"]) == 1
    assert all(0 <= float(row["confidence"]) <= 1 for row in rows)


def test_fine_tuning_says_how_it_went_and_its_weights_can_be_used_again(propagate, run, place, weights):
    done = propagate("--annotations painted --output a --save-weights mine.safetensors", speed=QUICK)
    assert done.code == 0
    assert done.err.startswith(ANNOTATED)  # a slow computer says meanwhile how far it is
    assert done.err.splitlines()[-1].startswith("Fine-tuned: 2 steps in 0:")
    assert (place / "mine.safetensors").read_bytes() != weights.read_bytes()
    again = run(f"propagate movie.tif --model mine.safetensors {FAST} --annotations painted --output b")
    assert again.code == 0
    np.testing.assert_array_equal(read(place / "a"), read(place / "b"))


def test_the_same_seed_gives_the_same_weights(propagate, place):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        line = f"--annotations painted --output {name} --save-weights {name}.safetensors --seed {seed}"
        assert propagate(line, speed=QUICK).code == 0
    from safetensors.numpy import load_file

    a, b, c = (load_file(place / f"{name}.safetensors") for name in "abc")
    assert all((a[key] == b[key]).all() for key in a)
    assert any((a[key] != c[key]).any() for key in a)


def test_one_direction_leaves_the_frames_of_the_other_empty(propagate, place):
    (place / "painted" / "00000.png").rename(place / "painted" / "00003.png")
    done = propagate("--annotations painted --output masks --direction forward")
    assert done.code == 0
    assert done.out == (
        f"{FRAMES} frame(s) were written to masks, 3 of them without masks, because none was carried there.\n"
    )
    masks = read(place / "masks")
    assert len(masks) == FRAMES
    assert not masks[:3].any()


def test_objects_are_added_to_painted_frames_only_when_asked(propagate, place):
    repaint(place, 5, 2, size=4)
    for name, option in (("as painted", ""), ("filled", "--fill-annotated")):
        assert propagate(f"--annotations painted --output '{name}' {option}").code == 0
    assert set(np.unique(read(place / "as painted")[5])) == {0, 2}
    assert (read(place / "filled")[5] == 2).sum() == 16


def test_a_movie_of_one_frame_comes_back(propagate, place):
    tifffile.imwrite(place / "movie.tif", movie(place)[:1], metadata={"axes": "TYX"})
    for speed, name in ((FAST, "a"), (QUICK, "b")):
        assert propagate(f"--annotations painted --output {name}", speed=speed).code == 0
        np.testing.assert_array_equal(read(place / name), read(place / "painted"))


def test_axes_and_channels_can_be_named(run, place, weights):
    stack = np.stack([movie(place), np.zeros_like(movie(place))], axis=-1)
    zarr.save_array(place / "movie.zarr", stack)
    line = "--annotations painted --output masks --axes tyxc --channels 0"
    assert run(f"propagate movie.zarr --model {{weights}} {FAST} {line}", weights=weights).code == 0
    assert len(read(place / "masks")) == FRAMES


def test_a_frame_that_cannot_be_read_is_a_failure_while_working(run, place, weights):
    (place / "frames").mkdir()
    for frame, image in enumerate(movie(place)):
        # of colour pictures no sample is taken, so the damage shows when its frame comes
        colour = np.stack([image, image // 2, image], axis=-1)
        Image.fromarray(colour).save(place / "frames" / f"{frame}.png")
    damaged = place / "frames" / "4.png"
    content = bytearray(damaged.read_bytes())
    content[60:90] = bytes(30)  # whole at both ends
    damaged.write_bytes(content)
    line = f"propagate frames --model {{weights}} {FAST} --annotations painted --output masks"
    done = run(line, weights=weights)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 2)
    assert done.err.startswith(ANNOTATED)
    assert "4.png" in done.err
    assert done.err.endswith("4 of 6 frames (0 to 3) were written to masks.\n")
    assert sorted(path.name for path in (place / "masks").iterdir()) == NAMES[:4]


@pytest.mark.parametrize(
    "options", ["--flow", "--crf", "--flow --crf", "--crf --both-sides --flow --frames 1:5"]
)
def test_the_variants_of_the_paper_give_every_frame(propagate, place, options):
    done = propagate(f"--annotations painted --output masks {options}")
    assert (done.code, done.err) == (0, ANNOTATED)
    masks = read(place / "masks")
    assert len(masks) == (4 if "1:5" in options else FRAMES)
    if len(masks) == FRAMES:
        np.testing.assert_array_equal(masks[0], read(place / "painted")[0])


class Unsure:
    """A segmenter that takes what is bright for the object, with wrong pixels in it and around it."""

    def __init__(self, network, *, flip):
        self.calls = 0

    def __call__(self, images, guidance):
        self.calls += 1
        noise = np.random.default_rng(self.calls).normal(0, 0.2, guidance.shape)
        return np.clip(np.where(images[..., 0] > 100, 0.7, 0.3) + noise, 0.02, 0.98).astype(np.float32)


def test_flow_changes_the_masks_and_the_crf_mends_them(propagate, place, monkeypatch):
    from napari_masktrack.core.metrics import region_similarity

    monkeypatch.setattr("napari_masktrack.tracker.NetworkSegmenter", Unsure)
    masks, similarity = {}, {}
    tried = {"plain": "--no-edges", "flow": "--flow --no-edges", "crf": "--crf", "both": "--flow --crf"}
    for name, options in tried.items():
        assert propagate(f"--annotations painted --output {name} {options}").code == 0
        masks[name] = read(place / name) == 1
        each = [region_similarity(movie(place)[t] > 100, masks[name][t]) for t in range(1, FRAMES)]
        similarity[name] = np.mean(each)
    assert not np.array_equal(masks["plain"], masks["flow"])
    assert similarity["crf"] > similarity["plain"] + 0.05
    assert similarity["both"] > similarity["flow"] + 0.05


def test_a_grey_movie_of_16_bit_can_be_seen_with_its_flow(propagate, place):
    tifffile.imwrite(place / "movie.tif", movie(place).astype(np.uint16) * 201, metadata={"axes": "TYX"})
    assert propagate("--annotations painted --output masks --flow --crf").code == 0
    assert len(read(place / "masks")) == FRAMES


def test_a_network_for_the_flow_is_fine_tuned_when_asked(propagate):
    done = propagate("--annotations painted --output a --flow --finetune-flow", speed=QUICK)
    assert done.code == 0
    first, second = (line for line in done.err.splitlines() if line.startswith("Fine-tuned"))
    assert first.startswith("Fine-tuned: 2 steps")
    assert second.startswith("Fine-tuned the flow's network: 2 steps")


def test_what_the_search_for_the_crf_found_is_said(propagate, monkeypatch):
    from napari_masktrack.core.crf import CrfConfig
    from napari_masktrack.core.crf_search import SearchStep
    from napari_masktrack.tracker import Tracker

    steps = [SearchStep(1, 2, CrfConfig(), 0.5), SearchStep(2, 2, CrfConfig(colour=20), 0.625)]
    monkeypatch.setattr(Tracker, "fit_crf", lambda *_: iter(steps))
    done = propagate("--annotations painted --output a --crf --crf-search")
    assert done.err == (
        f"{ANNOTATED}CRF: appearance 5, colour 20, distance 5, smoothness 1; "
        "J on the painted frames 0.500 before, 0.625 now.\n"
    )
    monkeypatch.setattr(Tracker, "fit_crf", lambda *_: iter(()))
    assert "stays as in the paper" in propagate("--annotations painted --output b --crf --crf-search").err


def test_how_well_both_sides_agree_is_in_the_table(propagate, place):
    repaint(place, 5, 1)
    assert propagate("--annotations painted --output a --both-sides --confidence sure.csv").code == 0
    with (place / "sure.csv").open() as file:
        rows = {int(row["frame"]): row["agreement"] for row in csv.DictReader(file)}
    assert rows[0] == rows[5] == ""
    assert all(0 <= float(rows[frame]) <= 1 for frame in range(1, 5))


@pytest.mark.parametrize(
    ("line", "rows"),
    [("--both-sides", FRAMES), ("", FRAMES), ("--direction forward --frames :3", 0)],
)
def test_the_table_has_its_columns_whatever_is_known(propagate, place, line, rows):
    (place / "painted" / "00000.png").rename(place / "painted" / "00003.png")
    assert propagate(f"--annotations painted --output a {line} --confidence sure.csv").code == 0
    lines = (place / "sure.csv").read_bytes().decode().splitlines(keepends=True)
    assert lines[0] == "frame,label,confidence,from_frame,agreement\n"
    assert len(lines) == 1 + rows
    assert all(line.endswith(",\n") for line in lines[1:])


def test_coco_images_are_named_as_the_frames_of_the_movie(run, place, weights):
    pytest.importorskip("pycocotools")
    (place / "movie").mkdir()
    names = [f"cell {frame}.png" for frame in range(FRAMES)]
    for name, image in zip(names, movie(place), strict=True):
        Image.fromarray(image).save(place / "movie" / name)
    line = f"propagate movie --model {{weights}} {FAST} --annotations painted --frames 1: --output a.json"
    (place / "painted" / "00000.png").rename(place / "painted" / "cell 1.png")
    assert run(line, weights=weights).code == 0
    content = json.loads((place / "a.json").read_text())
    assert [each["file_name"] for each in content["images"]] == names[1:]
