"""`masktrack train`: weights at the end, a checkpoint when it is stopped, nothing after bad input."""

import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from napari_masktrack.config import TrainConfig
from napari_masktrack.model.checkpoint import load_checkpoint, save_checkpoint
from napari_masktrack.model.network import MaskNetwork
from napari_masktrack.training import offline
from napari_masktrack.training.datasets import Dataset, find_pairs
from napari_masktrack.training.recipes import Recipe, training_notes

SMALL = "--batch 1 --size 64 --device cpu"
TRAIN = f"train --images images --masks masks --output net.safetensors {SMALL}"
PAPER = "train --recipe v.toml --start {weights} --data . --output net.safetensors --device cpu"
CHECKPOINT = "net.training.safetensors"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Give a working folder with two images, `images/a.png` and `b.png`, and their masks."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        image = random.integers(0, 255, (80, 90, 3)).astype(np.uint8)
        mask = np.zeros((80, 90), np.uint8)
        mask[20:50, 30:70] = 255
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


@pytest.fixture
def place(data):
    """Let `snapshot` watch the working folder."""
    return data


def unfinished(data, steps, **changes):
    """Leave what `TRAIN` leaves when it is stopped after so many steps."""
    torch.manual_seed(1)
    recipe = Recipe(
        config=TrainConfig(batch=1, size=64, **changes),
        datasets=(Dataset(find_pairs(data / "images", data / "masks")),),
    )
    save_checkpoint(data / CHECKPOINT, MaskNetwork(), training_notes(recipe, steps))


def mean_difference(one, other):
    one, other = load_file(one), load_file(other)
    learnt = [key for key in one if key.endswith(".weight")]
    return np.mean([np.abs(one[key].astype(float) - other[key].astype(float)).mean() for key in learnt])


def notices(done):
    """What was said besides the progress, which a slow machine shows even of a short training."""
    return [line for line in done.err.splitlines() if not line.startswith("Training: ")]


def test_the_weights_can_be_used(run, data):
    done = run(f"{TRAIN} --steps 2")
    assert (done.code, notices(done)) == (0, [])
    assert done.out.startswith("Trained 2 steps in 0:")
    assert done.out.endswith("; the weights are in net.safetensors.\n")
    assert load_checkpoint(data / "net.safetensors").notes["steps"] == "2"
    assert not (data / CHECKPOINT).exists()


def test_several_folders_and_ids_of_objects(run, data):
    assert run(f"{TRAIN} --images images --masks masks --instances --steps 1").code == 0
    assert load_checkpoint(data / "net.safetensors").notes["data"].count("2 images") == 2


def test_a_recipe_names_data_and_settings_and_options_come_first(run, data):
    (data / "recipe.toml").write_text(
        '[train]\nsteps = 500\nbatch = 1\nsize = 64\nseed = 7\n[[data]]\nimages = "images"\nmasks = "masks"\n'
    )
    line = "train --recipe recipe.toml --data . --output net.safetensors --device cpu --steps 1"
    assert run(line).code == 0
    settings = load_checkpoint(data / "net.safetensors").notes["settings"]
    assert "steps=1," in settings
    assert "seed=7" in settings


def test_of_several_recipes_each_begins_with_the_weights_of_the_one_before(run, data):
    for name in ("one", "two"):
        (data / f"{name}.toml").write_text(
            '[train]\nsteps = 1\nbatch = 1\nsize = 64\n[[data]]\nimages = "images"\nmasks = "masks"\n'
        )
    line = "train --recipe one.toml --recipe two.toml --data . --output net.safetensors --device cpu"
    assert run(line).code == 0
    part, whole = data / "net.part1.safetensors", data / "net.safetensors"
    assert load_checkpoint(whole).notes["start"] == part.name
    assert load_checkpoint(part).notes["start"] == "random"
    assert mean_difference(part, whole) > 0
    whole.unlink()
    kept = part.read_bytes()
    again = run(line)  # interrupted between the two: the first is not trained again
    assert again.code == 0
    assert "net.part1.safetensors is there already" in again.err
    assert part.read_bytes() == kept
    assert whole.is_file()


def test_it_starts_from_a_network(run, data, weights):
    done = run(f"{TRAIN} --steps 1 --rate 1e-8 --trunk-rate 0 --start {{weights}}", weights=weights)
    assert done.code == 0
    assert mean_difference(data / "net.safetensors", weights) < 1e-3


def test_it_starts_from_a_pretrained_trunk(run, data, weights):
    trunk = {
        name.removeprefix("trunk."): value[:, :3] if value.shape[1:2] == (4,) else value
        for name, value in load_file(weights).items()
        if name.startswith("trunk.")
    }
    save_file(trunk, data / "trunk.safetensors")
    assert run(f"{TRAIN} --steps 1 --trunk-rate 0 --start trunk.safetensors").code == 0
    learnt, given = load_file(data / "net.safetensors"), load_file(weights)
    key = "trunk.expanded_conv_3.expand.weight"
    np.testing.assert_allclose(learnt[key], given[key], atol=1e-3)


def test_an_interrupted_training_goes_on(run, data):
    unfinished(data, steps=4)
    done = run(f"{TRAIN} --steps 6")
    assert done.code == 0
    assert notices(done) == [f"Going on from {CHECKPOINT}, which has 4 steps."]
    assert done.out.startswith("Trained 2 steps")
    assert not (data / CHECKPOINT).exists()


def interrupt(monkeypatch, *, steps=1):
    """Let Ctrl-C come while the training makes its n-th step."""
    fit = offline.fit

    def interrupted(*arguments, **options):
        for count, step in enumerate(fit(*arguments, **options), start=1):
            if count == steps:
                signal.raise_signal(signal.SIGINT)
            yield step

    monkeypatch.setattr(offline, "fit", interrupted)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(("begun", "start"), [(4, ""), (0, ""), (0, "--start {weights}")])
def test_ctrl_c_keeps_every_step_and_says_so(run, data, weights, monkeypatch, begun, start):
    interrupt(monkeypatch)
    if begun:
        unfinished(data, begun)
    done = run(f"{TRAIN} --steps 50 {start}", weights=weights)
    assert (done.code, done.out) == (130, "")
    said = f"{CHECKPOINT} keeps its first {begun + 1} steps; the same command goes on from there."
    assert done.err.splitlines()[-1] == f"masktrack: Stopped by Ctrl-C. {said}"
    assert load_checkpoint(data / CHECKPOINT).notes["steps"] == str(begun + 1)
    assert not (data / "net.safetensors").exists()


@pytest.mark.usefixtures("listening")
def test_ctrl_c_at_the_last_step_leaves_the_weights_and_says_so(run, data, monkeypatch):
    interrupt(monkeypatch, steps=2)
    done = run(f"{TRAIN} --steps 2")
    assert done.code == 130
    assert done.err.splitlines()[-1].endswith("It was finished: the weights are in net.safetensors.")
    assert load_checkpoint(data / "net.safetensors").notes["steps"] == "2"
    assert not (data / CHECKPOINT).exists()


def recipes(data, *texts):
    for number, text in enumerate(texts):
        (data / f"{number}.toml").write_text(
            f'[train]\nbatch = 1\nsize = 64\n{text}\n[[data]]\nimages = "images"\nmasks = "masks"\n'
        )
    given = " ".join(f"--recipe {number}.toml" for number in range(len(texts)))
    return f"train {given} --data . --output net.safetensors --device cpu"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("steps = 2", "net.part1.safetensors had 1 steps, not 2; move it away"),
        ("steps = 1\nseed = 8", "net.part1.safetensors is left from another training (settings: seed=0)"),
    ],
)
def test_a_part_of_other_recipes_is_neither_used_nor_lost(run, data, changed, said):
    assert run(recipes(data, "steps = 1", "steps = 1")).code == 0
    (data / "net.safetensors").unlink()
    part = (data / "net.part1.safetensors").read_bytes()
    done = run(recipes(data, changed, "steps = 1"))
    assert done.code == 2
    assert said in done.err
    assert (data / "net.part1.safetensors").read_bytes() == part


def spoil(data, kind):
    if kind == "mask":
        Image.fromarray(np.ones((80, 91), np.uint8)).save(data / "masks" / "a.png")
    if kind == "empty":
        for name in "ab":
            Image.fromarray(np.zeros((80, 90), np.uint8)).save(data / "masks" / f"{name}.png")
    if kind == "names":
        for name in "ab":
            (data / "masks" / f"{name}.png").rename(data / "masks" / f"{name}2.png")
    if kind == "image":
        (data / "images" / "a.png").write_bytes(b"not a picture")
    if kind == "taken":
        (data / "net.safetensors").write_bytes(b"mine")
    if kind == "trunk":
        save_file({"weight": np.zeros(3, np.float32)}, data / "trunk.safetensors")
    if kind == "further":
        unfinished(data, 100)
    if kind == "other":
        unfinished(data, 10, seed=9)
    if kind == "vgg16":
        for name, backbone in (("v", "vgg16"), ("m", "mobilenet")):
            text = f'[train]\nbackbone = "{backbone}"\n[[data]]\nimages = "images"\nmasks = "masks"\n'
            (data / f"{name}.toml").write_text(text)
    if kind == "recipe":
        (data / "recipe.toml").write_text("steps = ")


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("", TRAIN.replace("masks masks", "masks nowhere"), "nowhere is not a folder"),
        ("names", TRAIN, "name them alike"),
        ("mask", TRAIN, "one size"),
        ("image", TRAIN, "a.png cannot be read"),
        ("empty", TRAIN, "No mask in masks holds an object"),
        ("", TRAIN.replace("--masks masks", ""), "1 --images and 0 --masks are no pairs"),
        ("", f"train --output net.safetensors {SMALL}", "0 --images and 0 --masks"),
        ("", f"{TRAIN} --data .", "--recipe FILE with --data DIR"),
        ("", f"{TRAIN} --recipe recipe.toml --data .", "no --images, --masks"),
        ("", f"train --recipe no.toml --data . --output net.safetensors {SMALL}", "no.toml is no recipe"),
        ("recipe", f"train --recipe recipe.toml --data . --output net.safetensors {SMALL}", "is no recipe"),
        ("taken", TRAIN, "exists already"),
        ("", TRAIN.replace("net.safetensors", "net.pth"), "ending in .safetensors"),
        ("", TRAIN.replace("net.safetensors", "no/net.safetensors"), "does not exist"),
        ("", f"{TRAIN} --start best", "There is no model or file 'best'"),
        ("image", f"{TRAIN} --start images/a.png", "a.png cannot be read"),
        ("", f"{TRAIN} --start masks/a.png", "damaged or no safetensors file"),
        ("trunk", f"{TRAIN} --start trunk.safetensors", "no weights of mobilenet"),
        ("", f"{TRAIN} --backbone alexnet", "invalid choice: 'alexnet'"),
        ("", f"{TRAIN} --start {{weights}} --backbone resnet50", "has the backbone mobilenet"),
        ("further", f"{TRAIN} --steps 50", "has 100 steps already; give more --steps"),
        ("other", f"{TRAIN} --steps 50", "left from another training (settings: seed=9)"),
        ("vgg16", PAPER, "has the backbone mobilenet; choose that, not vgg16"),
        (
            "vgg16",
            PAPER.replace("--start {weights}", "--recipe m.toml"),
            "backbone vgg16, the next mobilenet",
        ),
        ("", TRAIN.replace("cpu", "cuda"), "no cuda device"),
    ],
)
def test_bad_input_is_refused_before_any_work(run, data, weights, snapshot, monkeypatch, kind, line, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spoil(data, kind)
    before = snapshot()
    done = run(line, weights=weights)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
    assert said in done.err
    assert snapshot() == before


def test_the_help_names_the_backbones(run):
    assert "{mobilenet,resnet50,vgg16}" in run("train --help").out
