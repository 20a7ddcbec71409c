"""Bad input: one line that says what, where and what to do; exit code 2; no work, nothing written."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image

from napari_masktrack.tracker import Tracker

FRAMES, HEIGHT, WIDTH = 6, 40, 48  # of the movie in `place`
FAST = "--finetune off --crop-size 64"
PROPAGATE = f"propagate movie.tif --annotations painted --output masks --model {{weights}} {FAST}"


def masks_of_another_size(place):
    Image.fromarray(np.ones((HEIGHT, WIDTH + 1), np.uint8)).save(place / "painted" / "00000.png")


def stack_of_another_length(place):
    tifffile.imwrite(place / "stack.tif", np.ones((FRAMES + 1, HEIGHT, WIDTH), np.uint8))


def masks_painted_nowhere(place):
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(place / "painted" / "00000.png")


def stack_painted_nowhere(place):
    tifffile.imwrite(place / "stack.tif", np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8))


def folder_without_masks(place):
    (place / "painted" / "00000.png").unlink()


def box_beside_the_frame(place):
    boxes(place, "0,1,10,500,22,510")


def mask_of_a_frame_outside(place):
    (place / "painted" / "00000.png").rename(place / "painted" / "00099.png")


def box_on_a_frame_outside(place):
    boxes(place, "99,1,10,12,22,24")


def boxes(place, line):
    (place / "boxes.csv").write_text(f"frame,label,y0,x0,y1,x1\n{line}\n")


def float_masks(place):
    tifffile.imwrite(place / "stack.tif", np.ones((FRAMES, HEIGHT, WIDTH), np.float32))


def float_zarr(place):
    zarr.save_array(place / "stack.zarr", np.ones((FRAMES, HEIGHT, WIDTH)))


def ids_beyond_65535(place):
    tifffile.imwrite(place / "stack.tif", np.full((FRAMES, HEIGHT, WIDTH), 70_000, np.int32))


def colours_as_masks(place):
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(picture).save(place / "painted" / "00000.png")


def truncate(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def truncated_tiff(place):
    truncate(place / "movie.tif")


def compressed_truncated_tiff(place):
    movie = tifffile.imread(place / "movie.tif")
    tifffile.imwrite(place / "movie.tif", movie, compression="zlib", metadata={"axes": "TYX"})
    truncate(place / "movie.tif", 0.7)


def no_tiff(place):
    (place / "movie.tif").write_bytes(b"not a picture at all")


def empty_tiff(place):
    (place / "movie.tif").write_bytes(b"")


def truncated_frames(place):
    (place / "frames").mkdir()
    for frame, image in enumerate(tifffile.imread(place / "movie.tif")):
        Image.fromarray(image).save(place / "frames" / f"{frame}.png")
    truncate(place / "frames" / "3.png")


def damaged_frame(place):
    truncated_frames(place)
    content = bytearray((place / "frames" / "2.png").read_bytes())
    content[60:90] = bytes(30)  # whole at both ends
    (place / "frames" / "3.png").write_bytes(content)


def truncated_mask(place):
    truncate(place / "painted" / "00000.png")


def no_mask(place):
    (place / "painted" / "00000.png").write_text("not a picture at all")


def no_video(place):
    (place / "movie.mp4").write_bytes(b"not a video at all")


def truncated_video(place):
    import av

    with av.open(place / "movie.mp4", "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in 5 * list(tifffile.imread(place / "movie.tif")):
            rgb = np.repeat(image[..., np.newaxis], 3, axis=-1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(rgb)))
        file.mux(stream.encode())
    truncate(place / "movie.mp4", 0.6)


def empty_folder(place):
    (place / "frames").mkdir()


def output_that_is_not_empty(place):
    (place / "masks").mkdir()
    (place / "masks" / "mine.txt").write_text("mine")


def output_that_is_a_file(place):
    (place / "masks").write_text("mine")


def file_at_the_output(place):
    (place / "masks.tif").write_text("mine")


def table_at_the_confidence(place):
    (place / "sure.csv").write_text("mine")


def weights_at_the_weights(place):
    (place / "new.safetensors").write_text("mine")


def network_of_the_flow(place):
    (place / "new.motion.safetensors").write_text("mine")


def damaged_weights(place):
    (place / "net.safetensors").write_bytes(b"\x10" * 1000)


def foreign_weights(place):
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3, np.float32)}, place / "net.safetensors")


def pickled_weights(place):
    torch.save({"weight": torch.zeros(3)}, place / "net.pth")


def disguised_pickle(place):
    (place / "net.safetensors").write_bytes(pickle.dumps({"weight": [1, 2, 3]}))


def nothing(place):
    """The command line alone is wrong."""


# What is wrong; what is done about it; how the command line differs; what the error must say.
CASES = {
    "mask of another size": (masks_of_another_size, {}, "40 x 49 pixels"),
    "stack of another length": (stack_of_another_length, {"painted": "stack.tif"}, "7 frame(s)"),
    "no annotation given": (nothing, {"--annotations painted": ""}, "give --annotations PATH"),
    "no annotation in the folder": (folder_without_masks, {}, "holds no label masks"),
    "annotations not there": (nothing, {"painted": "elsewhere"}, "There is no elsewhere; check the path"),
    "masks painted nowhere": (masks_painted_nowhere, {}, "no painted pixel; paint an object"),
    "stack painted nowhere": (stack_painted_nowhere, {"painted": "stack.tif"}, "no painted pixel"),
    "box beside the frame": (box_beside_the_frame, {"--annotations painted": "--boxes boxes.csv"}, "line 2"),
    "mask of a frame outside": (mask_of_a_frame_outside, {}, "none of the 6 frame(s)"),
    "box on a frame outside": (
        box_on_a_frame_outside, {"--annotations painted": "--boxes boxes.csv"}, "use 0 to 5"
    ),
    "range outside": (nothing, {"--output": "--frames 2:7 --output"}, "give a range within 0:6"),
    "empty range": (nothing, {"--output": "--frames 4:4 --output"}, "give a range within 0:6"),
    "movie not there": (nothing, {"movie.tif": "film.tif"}, "There is no film.tif; check the path"),
    "movie truncated": (truncated_tiff, {}, "movie.tif"),
    "movie truncated, compressed": (compressed_truncated_tiff, {}, "movie.tif"),
    "movie no TIFF": (no_tiff, {}, "movie.tif"),
    "movie empty": (empty_tiff, {}, "movie.tif"),
    "movie of no frames": (empty_folder, {"movie.tif": "frames"}, "holds no images"),
    "frame truncated": (truncated_frames, {"movie.tif": "frames"}, "3.png"),
    "frame damaged": (damaged_frame, {"movie.tif": "frames"}, "3.png"),
    "mask truncated": (truncated_mask, {}, "00000.png"),
    "mask unreadable": (no_mask, {}, "00000.png"),
    "video unreadable": (no_video, {"movie.tif": "movie.mp4"}, "movie.mp4"),
    "video truncated": (truncated_video, {"movie.tif": "movie.mp4"}, "movie.mp4"),
    "axes that do not fit": (nothing, {"--output": "--axes tcyx --output"}, "axes"),
    "channel that is not there": (nothing, {"--output": "--channels 2 --output"}, "channel"),
    "float masks": (float_masks, {"painted": "stack.tif"}, "whole numbers"),
    "float masks in Zarr": (float_zarr, {"painted": "stack.zarr"}, "whole numbers"),
    "ids beyond 65535": (ids_beyond_65535, {"painted": "stack.tif"}, "1 to 65535"),
    "colours as masks": (colours_as_masks, {}, "shows colours"),
    "output not empty": (output_that_is_not_empty, {}, "not empty; choose a new or an empty one"),
    "output a file": (output_that_is_a_file, {}, "a folder is needed"),
    "output file there": (file_at_the_output, {"masks": "masks.tif"}, "exists already"),
    "output nowhere": (nothing, {"masks": "no/where/masks"}, "does not exist; create it"),
    "output below a file": (nothing, {"masks": "movie.tif/masks"}, "movie.tif"),
    "output of unknown kind": (nothing, {"masks": "masks.npy"}, "give a folder, .tif, .zarr or .json"),
    "confidence there": (
        table_at_the_confidence, {"--output": "--confidence sure.csv --output"}, "exists already"
    ),
    "confidence no table": (nothing, {"--output": "--confidence sure.txt --output"}, "ending in .csv"),
    "weights there": (
        weights_at_the_weights, {FAST: "--save-weights new.safetensors"}, "exists already"
    ),
    "a network of the flow is there": (
        network_of_the_flow,
        {FAST: "--steps 1 --flow --finetune-flow --save-weights new.safetensors"},
        "new.motion.safetensors exists already",
    ),
    "weights of unknown kind": (nothing, {FAST: "--save-weights new.pth"}, "ending in .safetensors"),
    "weights without fine-tuning": (nothing, {FAST: f"{FAST} --save-weights a.safetensors"}, "which is off"),
    "steps without fine-tuning": (nothing, {FAST: f"{FAST} --steps 3"}, "--steps belongs to fine-tuning"),
    "model unknown": (nothing, {"{weights}": "best"}, "There is no model or file 'best'"),
    "weights damaged": (damaged_weights, {"{weights}": "net.safetensors"}, "damaged"),
    "weights cut off": (nothing, {"{weights}": "{cut}"}, "damaged"),
    "weights of others": (foreign_weights, {"{weights}": "net.safetensors"}, "not written by napari-"),
    "weights a pickle": (pickled_weights, {"{weights}": "net.pth"}, "is a pickle, which can run any code"),
    "weights a disguised pickle": (disguised_pickle, {"{weights}": "net.safetensors"}, "damaged or no"),
    "no CUDA": (nothing, {"--output": "--device cuda --output"}, "no cuda device"),
    "search without CRF": (nothing, {"--output": "--crf-search --output"}, "--crf-search belongs to --crf"),
    "both sides in one direction": (
        nothing,
        {"--output": "--both-sides --direction forward --output"},
        "--both-sides belongs to --direction both",
    ),
    "fine-tuned flow without flow": (
        nothing, {"--output": "--finetune-flow --output"}, "--finetune-flow belongs to --flow"
    ),
    "fine-tuned flow without fine-tuning": (
        nothing, {FAST: f"{FAST} --flow --finetune-flow"}, "--finetune-flow belongs to fine-tuning"
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    """Fail when anything is computed; this machine has no GPU."""
    for name in ("finetune", "propagate"):
        monkeypatch.setattr(Tracker, name, None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def cut(tmp_path_factory, weights):
    path = tmp_path_factory.mktemp("cut") / "cut.safetensors"
    path.write_bytes(weights.read_bytes()[:-1000])
    return path


@pytest.mark.parametrize(("spoil", "changes", "said"), CASES.values(), ids=CASES)
def test_bad_input_is_refused_before_any_work(run, place, snapshot, weights, cut, spoil, changes, said):
    spoil(place)
    line = PROPAGATE
    for old, new in changes.items():
        assert old in line
        line = line.replace(old, new)
    before = snapshot()
    done = run(line, weights=weights, cut=cut)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert said in done.err
    assert snapshot() == before


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((6, 40, 48, 3, 2), "", "'tzcyx' (--axes tyxc)."),
        ((6, 40, 48), "--axes ty", "per dimension (--axes tyxc)."),
        ((6, 40, 48), "--axes tyq", "no other letter (--axes tyxc)."),
        ((6, 40, 48), "--axes tcx", "t or z (--axes tyxc)."),
        ((6, 40, 48), "--channels 0", "leave the channels out (--channels 0)."),
        ((6, 5, 40, 48), "--axes tcyx", "choose one to three of them (--channels 0)."),
        ((6, 5, 40, 48), "--axes tcyx --channels 7", "from 0 to 4 (--channels 0)."),
        ((6, 5, 40, 48), "--axes tzyx", "or one time point."),
    ],
)
def test_advice_on_axes_and_channels_names_the_option(run, place, shape, options, said):
    zarr.save_array(place / "movie.zarr", np.zeros(shape, np.uint8))
    done = run(f"propagate movie.zarr --annotations painted --output masks {options}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.endswith(f"{said}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_an_output_without_permission_is_refused(run, place, snapshot, weights):
    (place / "closed").mkdir(mode=0o500)
    closed = "closed" if os.geteuid() else "/proc"  # nothing else is closed to root
    if not os.path.isdir(closed):
        pytest.skip("no folder is closed to us")
    before = snapshot()
    done = run(PROPAGATE.replace("masks", f"{closed}/masks"), weights=weights)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "cannot be written" in done.err
    assert snapshot() == before


def test_most_bad_input_is_refused_before_torch_is_loaded(place):
    mask_of_a_frame_outside(place)
    code = (
        "import sys; from napari_masktrack.cli import main; code = main(sys.argv[1:]); "
        "print(code, 'torch' in sys.modules)"
    )
    words = ["propagate", "movie.tif", "--annotations", "painted", "--output", "masks"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=place, capture_output=True, text=True)
    assert done.stdout == "2 False\n"
    assert done.stderr.count("\n") == 1
