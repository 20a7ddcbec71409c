"""Offline training from a recipe: a few images, a few steps, interrupted and continued."""

import functools
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_masktrack.config import TrainConfig
from napari_masktrack.errors import CheckpointError, ConfigError, InputError
from napari_masktrack.model.backbone import BACKBONES
from napari_masktrack.model.checkpoint import build_network, load_checkpoint, save_checkpoint
from napari_masktrack.model.registry import NETWORKS
from napari_masktrack.model.vgg16 import DeepLabVGG16
from napari_masktrack.training.offline import train
from napari_masktrack.training.recipes import Recipe, read_recipe, training_notes
from napari_masktrack.training.samples import SampleConfig

RECIPE = """
[train]
backbone = "vgg16"
steps = 6
batch = 1
size = 64
seed = 3

[[data]]
images = "cells/images"
masks = "cells/masks"
instances = true
weight = 0.5
jump = 1.5
"""


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The paper's network, a sixteenth as wide."""
    monkeypatch.setitem(NETWORKS, "vgg16", functools.partial(DeepLabVGG16, width=0.0625))
    torch.manual_seed(0)


@pytest.fixture
def data(tmp_path):
    """Three pictures with two discs each."""
    for kind in ("images", "masks"):
        (tmp_path / "cells" / kind).mkdir(parents=True)
    y, x = np.indices((70, 90))
    for index in range(3):
        mask = np.zeros((70, 90), np.uint8)
        mask[(y - 25) ** 2 + (x - 25 - 5 * index) ** 2 < 100] = 1
        mask[(y - 50) ** 2 + (x - 65) ** 2 < 120] = 2
        image = np.where(mask[..., None] > 0, (40, 200, 90), (70, 60, 50)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "cells" / "images" / f"{index}.png"), image)
        cv2.imwrite(str(tmp_path / "cells" / "masks" / f"{index}.png"), mask)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def recipe_of(data, **changes):
    recipe = read_recipe(data / "recipe.toml", data)
    settings = {"backbone": "vgg16", "steps": 6, "batch": 1, "size": 64, "seed": 3, **changes}
    return Recipe(config=TrainConfig(**settings), datasets=recipe.datasets)


def same(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


# Recipes


def test_a_recipe_names_data_and_settings(data):
    recipe = read_recipe(data / "recipe.toml", data)
    assert recipe.config == TrainConfig(backbone="vgg16", steps=6, batch=1, size=64, seed=3)
    (cells,) = recipe.datasets
    assert len(cells.pairs) == 3
    assert (cells.instances, cells.weight, cells.jump) == (True, 0.5, 1.5)
    assert recipe.pretrained is None
    (data / "recipe.toml").write_text('pretrained = "w.safetensors"\n' + RECIPE)
    assert read_recipe(data / "recipe.toml", data).pretrained == data / "w.safetensors"


MATCHING = """
[train]
matching = 4
steps = 2
batch = 2
size = 64

[samples]
reference = 0.5
stray = 0.5

[[data]]
images = "cells/images"
masks = "cells/masks"
instances = true
"""


def test_what_compares_is_added_to_a_network_that_has_none(data, tmp_path):
    former = build_network({"network": "masknet", "backbone": "mobilenet"})
    save_checkpoint(tmp_path / "former.safetensors", former)
    (data / "recipe.toml").write_text('start = "former.safetensors"' + MATCHING)
    recipe = read_recipe(data / "recipe.toml", tmp_path)
    assert (recipe.samples.reference, recipe.samples.stray) == (0.5, 0.5)
    list(train(recipe, tmp_path / "trained.safetensors"))
    trained = load_checkpoint(tmp_path / "trained.safetensors").network
    assert trained.recalls
    assert trained.description["matching"] == 4
    recipe = replace(
        recipe, config=replace(recipe.config, matching=8), start=tmp_path / "trained.safetensors"
    )
    with pytest.raises(ConfigError, match="compares by 4 channels; choose that, not 8"):
        next(train(recipe, tmp_path / "again.safetensors"))


@pytest.mark.parametrize(
    "text",
    [
        "no toml at all",
        "[train]\nsteps = 5",
        RECIPE.replace("seed = 3", "sead = 3"),
        RECIPE.replace("jump = 1.5", "jumps = 1.5"),
        RECIPE.replace("steps = 6", "steps = 0"),
        RECIPE.replace("steps = 6", 'steps = "six"'),
        RECIPE.replace("weight = 0.5", "weight = 0.0"),
        RECIPE.replace("weight = 0.5", "weight = -1.0"),
        "pretraind = 'a.safetensors'\n" + RECIPE,
        RECIPE + "\n[sample]\nreference = 0.5\n",
        RECIPE.replace("weight = 0.5", "weight = 'half'"),
        "mean_with = 3\n" + RECIPE,
        "mean_with = '12'\n" + RECIPE,
        "mean_with = [2, 2]\n" + RECIPE,
        "mean_with = [6]\n" + RECIPE,
        "data = []",
        'data = "cells"',
        "data = 5",
        "\ufeff\x00",
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_one_line(text, data):
    (data / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.toml") as caught:
        read_recipe(data / "recipe.toml", data)
    assert "\n" not in str(caught.value)


def test_a_recipe_or_folder_that_is_not_there_is_refused(data):
    with pytest.raises(ConfigError, match="is no recipe"):
        read_recipe(data / "none.toml", data)
    with pytest.raises(InputError, match="is not a folder"):
        read_recipe(data / "recipe.toml", data / "cells")


# Training


def test_training_writes_weights_in_half_precision_with_notes(data):
    output = data / "out" / "mine.safetensors"
    steps = list(train(recipe_of(data), output))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in output.parent.iterdir()] == ["mine.safetensors"]
    assert load_file(output)["head.fc6.weight"].dtype == torch.float16
    found = load_checkpoint(output)
    assert isinstance(found.network, DeepLabVGG16)
    assert found.notes["steps"] == "6"
    assert "3 images of cells" in found.notes["data"]
    assert "seed=3" in found.notes["settings"]
    assert found.notes["start"] == "random"


def test_the_same_seed_gives_the_same_weights(data):
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        torch.rand(5)
        list(train(recipe_of(data, seed=seed), data / f"{name}.safetensors"))
    one, two, three = (load_file(data / f"{name}.safetensors") for name in ("one", "two", "three"))
    assert same(one, two)
    assert not same(one, three)


def test_training_lowers_the_loss(data):
    recipe = recipe_of(data, steps=120, batch=2, rate=3e-3, trunk_rate=3e-3, average=0.0, others=0.0)
    losses = [step.loss for step in train(recipe, data / "mine.safetensors")]
    assert np.mean(losses[-15:]) < 0.85 * np.mean(losses[:15])


def test_an_interrupted_training_goes_on_where_it_was_kept(data):
    output, partial = data / "mine.safetensors", data / "mine.training.safetensors"
    steps = train(recipe_of(data), output, keep_every=2)
    for _ in range(3):
        next(steps)
    steps.close()
    assert not output.exists()
    kept = load_checkpoint(partial)
    assert kept.notes["steps"] == "3"
    assert load_file(partial)["head.fc6.weight"].dtype == torch.float32
    assert not any(thread.name == "masktrack-samples" for thread in threading.enumerate())
    rest = train(recipe_of(data), output, keep_every=2)
    assert [step.step for step in rest] == [4, 5, 6]
    assert load_checkpoint(output).notes["steps"] == "6"
    assert not partial.exists()


def test_a_continued_training_starts_from_the_kept_weights(data):
    output, partial = data / "mine.safetensors", data / "mine.training.safetensors"
    network = build_network({"network": "vgg16"})
    with torch.no_grad():
        network.state_dict()["head.fc8.bias"].fill_(7.0)
    recipe = recipe_of(data, rate=1e-8, trunk_rate=0.0, average=0.0)
    save_checkpoint(partial, network, training_notes(recipe, 4))
    list(train(recipe, output))
    assert load_file(output)["head.fc8.bias"].item() == pytest.approx(7.0, abs=1e-3)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"steps": "6"}, "6 steps"),
        ({"steps": "100"}, "100 steps"),
        ({"steps": ""}, "unknown steps"),
        ({"steps": "many"}, "many steps"),
        ({"start": "mine.safetensors"}, "start: mine.safetensors"),
        ({"data": "5 images of dogs"}, "data: 5 images of dogs"),
        ({"settings": "seed=7"}, "settings: seed=7"),
    ],
)
def test_what_another_training_left_is_neither_used_nor_deleted(other, why, data):
    partial, recipe = data / "mine.training.safetensors", recipe_of(data)
    save_checkpoint(partial, build_network({"network": "vgg16"}), {**training_notes(recipe, 4), **other})
    with pytest.raises(CheckpointError) as caught:
        list(train(recipe, data / "mine.safetensors"))
    assert f"mine.training.safetensors is left from another training ({why}); move it away" in str(
        caught.value
    )
    assert partial.exists()


def test_a_part_of_a_mean_that_somebody_else_made_is_neither_used_nor_deleted(data):
    recipe, early = replace(recipe_of(data), mean_with=(2,)), data / "mine.step2.safetensors"
    save_checkpoint(early, build_network({"network": "vgg16"}), training_notes(recipe_of(data), 2))
    before = early.read_bytes()
    with pytest.raises(CheckpointError, match=r"mine\.step2\.safetensors is left from another training"):
        list(train(recipe, data / "mine.safetensors"))
    assert early.read_bytes() == before


def test_a_finished_training_leaves_nothing_else_even_if_it_is_closed_at_its_last_step(data):
    steps = train(replace(recipe_of(data), mean_with=(2,)), data / "mine.safetensors", keep_every=1)
    while next(steps).step < 6:
        pass
    steps.close()
    assert [path.name for path in data.glob("mine*")] == ["mine.safetensors"]


def test_settings_may_shorten_a_training(data):
    recipe = replace(recipe_of(data), mean_with=(2, 4)).with_settings(steps=3)
    assert (recipe.config.steps, recipe.mean_with) == (3, (2,))


def test_a_checkpoint_of_another_network_is_not_continued(data):
    partial = data / "mine.training.safetensors"
    save_checkpoint(partial, build_network({"network": "masknet", "context": 8}), {"steps": "2"})
    with pytest.raises(CheckpointError, match="another training"):
        list(train(recipe_of(data), data / "mine.safetensors"))


def test_an_unknown_backbone_is_refused_and_the_known_ones_are_named(data):
    with pytest.raises(ConfigError, match="'alexnet'; choose one of mobilenet, resnet50, vgg16"):
        list(train(recipe_of(data, backbone="alexnet"), data / "mine.safetensors"))


def test_an_image_that_cannot_be_read_ends_the_training_in_words(data):
    for path in (data / "cells" / "images").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read"):
        list(train(recipe_of(data), data / "mine.safetensors"))
    assert not any(thread.name == "masktrack-samples" for thread in threading.enumerate())


# Pretrained weights


def imagenet_vgg16(path):
    """Random weights under the public names, as narrow as the network here."""
    network = build_network({"network": "vgg16"})
    tensors = {}
    for name, value in network.trunk.state_dict().items():
        planes = value[:, :3] if name == "0.weight" else value
        tensors[f"features.{name}"] = torch.randn(planes.shape) * 0.05
    for name, shape in (("fc1", (256, 32, 7, 7)), ("fc2", (256, 256, 1, 1))):
        tensors[f"pre_logits.{name}.weight"] = torch.randn(shape) * 0.05
        tensors[f"pre_logits.{name}.bias"] = torch.randn(256) * 0.05
    save_file(tensors, path)
    return tensors


def with_pretrained(data, path, **changes):
    recipe = recipe_of(data, **changes)
    return Recipe(config=recipe.config, datasets=recipe.datasets, pretrained=path)


def test_the_papers_network_starts_from_imagenet_weights(data):
    tensors = imagenet_vgg16(data / "imagenet.safetensors")
    recipe = with_pretrained(data, data / "imagenet.safetensors", rate=1e-8, trunk_rate=0.0, average=0.0)
    list(train(recipe, data / "mine.safetensors"))
    state = load_checkpoint(data / "mine.safetensors").network.state_dict()
    first = tensors["features.0.weight"].half().float()
    assert torch.equal(state["trunk.0.weight"][:, :3], first)
    assert torch.equal(
        state["head.fc6.weight"], tensors["pre_logits.fc1.weight"][::4, :, ::3, ::3].half().float()
    )
    assert load_checkpoint(data / "mine.safetensors").notes["start"] == "imagenet.safetensors"


def test_a_small_backbone_starts_from_its_published_weights(data):
    torch.manual_seed(1)
    trunk = BACKBONES["mobilenet"]()
    weights = {k: v[:, :3].contiguous() if k == "Conv.weight" else v for k, v in trunk.state_dict().items()}
    save_file(weights, data / "mobilenet.safetensors")
    recipe = with_pretrained(
        data, data / "mobilenet.safetensors", backbone="mobilenet", steps=1, trunk_rate=0.0, average=0.0
    )
    list(train(recipe, data / "mine.safetensors"))
    state = load_checkpoint(data / "mine.safetensors").network.state_dict()
    assert torch.equal(state["trunk.Conv.weight"][:, :3], weights["Conv.weight"].half().float())


@pytest.mark.parametrize("backbone", ["mobilenet", "vgg16"])
def test_pretrained_weights_that_do_not_fit_are_refused(backbone, data):
    path = data / "weights.safetensors"
    for content in ({"unrelated": torch.zeros(2)}, None):
        if content is None:
            path.write_bytes(b"damaged")
        else:
            save_file(content, path)
        with pytest.raises(CheckpointError) as caught:
            list(train(with_pretrained(data, path, backbone=backbone), data / "mine.safetensors"))
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors holds no weights"):
        list(train(with_pretrained(data, path, backbone=backbone), data / "mine.safetensors"))


# A whole network to begin with


def test_a_training_begins_with_a_whole_network(data):
    save_checkpoint(data / "first.safetensors", (network := build_network({"network": "vgg16"})))
    (data / "recipe.toml").write_text('start = "first.safetensors"\n' + RECIPE)
    recipe = read_recipe(data / "recipe.toml", data)
    assert recipe.start == data / "first.safetensors"
    still = replace(recipe, config=replace(recipe.config, steps=1, rate=1e-8, trunk_rate=0.0, average=0.0))
    list(train(still, data / "mine.safetensors"))
    found = load_checkpoint(data / "mine.safetensors")
    given = network.state_dict()["head.fc6.weight"]
    assert torch.allclose(found.network.state_dict()["head.fc6.weight"], given, atol=1e-3)
    assert found.notes["start"] == "first.safetensors"


def test_the_result_may_be_blended_with_the_network_it_began_with(data):
    network = build_network({"network": "vgg16"})
    save_checkpoint(data / "first.safetensors", network)
    recipe = replace(recipe_of(data), start=data / "first.safetensors")
    given, learnt = network.state_dict()["head.fc6.weight"], {}
    for blend in (1.0, 0.5, 0.0):
        config = replace(recipe.config, steps=2, rate=0.5, trunk_rate=0.0, average=0.0, blend=blend)
        list(train(replace(recipe, config=config), data / f"{blend}.safetensors"))
        learnt[blend] = load_checkpoint(data / f"{blend}.safetensors").network.state_dict()["head.fc6.weight"]
    assert not torch.allclose(learnt[1.0], given, atol=1e-3)
    assert torch.allclose(learnt[0.5], (learnt[1.0] + given) / 2, atol=1e-3)
    assert torch.allclose(learnt[0.0], given, atol=1e-3)
    with pytest.raises(ConfigError, match="needs weights to start from"):
        list(train(replace(recipe, start=None, config=config), data / "mine.safetensors"))


def test_the_result_may_be_the_mean_of_what_was_there_on_the_way(data):
    def weight(name):
        return load_checkpoint(data / f"{name}.safetensors").network.state_dict()["head.fc6.weight"]

    recipe, parts = recipe_of(data, rate=0.5, average=0.0), {}
    for step in train(recipe, data / "last.safetensors", keep_every=1):
        if step.step in (2, 3):
            parts[step.step] = weight("last.training")
    parts[6] = weight("last")
    list(train(replace(recipe, mean_with=(2, 3)), data / "mean.safetensors"))
    assert not torch.allclose(parts[6], parts[2], atol=1e-2)
    assert torch.allclose(weight("mean"), sum(parts.values()) / 3, atol=1e-3)
    assert [path.name for path in data.glob("mean*")] == ["mean.safetensors"]
    notes = load_checkpoint(data / "mean.safetensors").notes
    assert notes["settings"].endswith("mean_with=[2, 3]")


def test_a_training_whose_mean_lacks_a_part_does_not_go_on(data):
    recipe, early = replace(recipe_of(data), mean_with=(2,)), data / "mine.step2.safetensors"
    steps = train(recipe, data / "mine.safetensors")
    assert [next(steps).step for _ in range(3)] == [1, 2, 3]
    steps.close()
    early.rename(data / "moved")
    with pytest.raises(CheckpointError, match=r"mine\.step2\.safetensors is missing, a part of the mean"):
        next(train(recipe, data / "mine.safetensors"))
    (data / "moved").rename(early)
    assert [step.step for step in train(recipe, data / "mine.safetensors")] == [4, 5, 6]
    assert not early.exists()


def test_a_network_with_another_backbone_or_two_beginnings_are_refused(data):
    save_checkpoint(data / "first.safetensors", build_network({"network": "masknet", "context": 8}))
    recipe = replace(recipe_of(data), start=data / "first.safetensors")
    with pytest.raises(ConfigError, match="has the backbone mobilenet; choose that, not vgg16"):
        list(train(recipe, data / "mine.safetensors"))
    with pytest.raises(ConfigError, match="either pretrained or start"):
        replace(recipe, pretrained=data / "first.safetensors")


def test_the_papers_recipe_trains_the_papers_network(data):
    text = (Path(__file__).parents[2] / "recipes" / "paper.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    config = TrainConfig(**content["train"])
    assert content["samples"]["paper"]
    assert not content["samples"]["rollout"]
    assert (config.backbone, config.optimiser, config.batch, config.steps) == ("vgg16", "sgd", 10, 20_000)
    assert config.rate == config.trunk_rate == 1e-3
    before = torch.get_rng_state()
    samples = SampleConfig(**content["samples"])
    recipe = replace(recipe_of(data), config=replace(config, steps=4, batch=2, size=64), samples=samples)
    losses = [step.loss for step in train(recipe, data / "mine.safetensors")]
    assert np.isfinite(losses).all()
    assert "optimiser=sgd" in load_checkpoint(data / "mine.safetensors").notes["settings"]
    assert torch.equal(torch.get_rng_state(), before)
