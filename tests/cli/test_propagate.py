"""`masktrack propagate`: every frame is written, named by its index, with the painted ones as they were."""

import csv

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

FRAMES, HEIGHT, WIDTH = 6, 40, 48  # of the movie in `place`
FAST = "--finetune off --crop-size 64"
NAMES = [f"{frame:05}.png" for frame in range(FRAMES)]
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
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{FRAMES} frame(s) were written to masks.\n"
    assert sorted(path.name for path in (place / "masks").iterdir()) == NAMES
    masks = read(place / "masks")
    assert (masks.shape, masks.dtype) == ((FRAMES, HEIGHT, WIDTH), np.uint8)
    np.testing.assert_array_equal(masks[0], read(place / "painted")[0])


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
    assert done.err.startswith("Fine-tuned: 2 steps in 0:0")
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
    assert propagate("--annotations painted --output masks --direction forward").code == 0
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
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "4.png" in done.err
    assert done.err.endswith("4 of 6 frames (0 to 3) were written to masks.\n")
    assert sorted(path.name for path in (place / "masks").iterdir()) == NAMES[:4]
