"""Offline training: still images with masks make a network that refines any object's mask."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from napari_masktrack.errors import CheckpointError, ConfigError
from napari_masktrack.model.checkpoint import Checkpoint, build_network, load_checkpoint, save_checkpoint
from napari_masktrack.model.device import computing, place
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.model.registry import TRAINABLE, backbone_of
from napari_masktrack.training.chance import Chance
from napari_masktrack.training.datasets import stream
from napari_masktrack.training.prefetch import prefetch
from napari_masktrack.training.recipes import Recipe, steps_made, training_notes
from napari_masktrack.training.samples import Clip, clips
from napari_masktrack.training.train import Schedule, TrainStep, fit, keep_share, running_average

SMALL_FIRST = 0.7
"""Share of the training on smaller crops; the last part is on larger ones."""
_EARLY, _LATE = (0.625, 0.75, 0.875), (0.75, 1.0, 1.25)
_GRID = 32
_MANNERS: dict[str, dict[str, Any]] = {
    "adamw": {"decay": "cosine", "warm_up": 50},
    "sgd": {"decay": "poly", "weight_decay": 5e-4},
}
"""What else the optimisers want of the schedule; `sgd` as in the paper."""


def train(
    recipe: Recipe, output: Path, *, device: torch.device | None = None, keep_every: int = 250
) -> Iterator[TrainStep]:
    """Train a network and write its averaged weights; yield after every step.

    An interrupted training goes on from its last checkpoint when it is started again with the same
    recipe and output; one is also left when the iteration is closed.

    Parameters
    ----------
    recipe : Recipe
    output : Path
        ``.safetensors`` file; while the training runs, ``NAME.training.safetensors`` lies beside it, and
        ``NAME.step1000.safetensors`` if the weights after 1,000 steps go into the mean.
    device : torch.device, optional
        The CPU by default.
    keep_every : int
        Steps between checkpoints.

    Yields
    ------
    TrainStep

    Raises
    ------
    ConfigError
        The network to begin with has another backbone, or there is none to be blended with.
    CheckpointError
        The weights to begin with, or an earlier checkpoint, cannot be used.
    WorkError
        The device failed, for example for want of memory, or the loss is no longer a number.
    """
    config = recipe.config
    device = device or torch.device("cpu")
    partial = output.with_name(f"{output.stem}.training.safetensors")
    snapshots = {step: output.with_name(f"{output.stem}.step{step}.safetensors") for step in recipe.mean_with}
    network, first_step = _start(recipe, partial, snapshots)
    with computing():
        network = place(network, device)
        averaged = running_average(network, config.average).to(device)
    schedule = Schedule(
        steps=config.steps, rate=config.rate, trunk_rate=config.trunk_rate, optimiser=config.optimiser,
        first_step=first_step, seed=config.seed, **_MANNERS[config.optimiser],
    )  # fmt: skip
    result, kept = averaged.module, first_step
    assert isinstance(result, GuidedNetwork)
    with computing(), closing(prefetch(_batches(recipe, first_step))) as batches:
        for progress in fit(network, batches, schedule, averaged=averaged):
            step = progress.step
            if step in snapshots:
                save_checkpoint(snapshots[step], result, training_notes(recipe, step))
            if step == config.steps:
                _mix(recipe, result, snapshots.values())
                save_checkpoint(output, result, training_notes(recipe, step), half=True)
                for path in (partial, *snapshots.values()):
                    path.unlink(missing_ok=True)
            elif step % keep_every == 0 or step in snapshots:
                save_checkpoint(partial, result, training_notes(recipe, step))
                kept = step
            try:
                yield progress
            except GeneratorExit:
                if kept < step < config.steps:
                    save_checkpoint(partial, result, training_notes(recipe, step))
                raise


def _mix(recipe: Recipe, network: GuidedNetwork, snapshots: Iterable[Path]) -> None:
    """Take the mean with what was kept on the way, then the share of the change that is to be kept."""
    device = next(network.parameters()).device
    for count, path in enumerate(snapshots, start=1):
        kept = place(load_checkpoint(path).network, device)
        keep_share(network, kept.state_dict(), count / (count + 1))
    if recipe.config.blend < 1:
        keep_share(network, place(new_network(recipe), device).state_dict(), recipe.config.blend)


def _start(recipe: Recipe, partial: Path, snapshots: Mapping[int, Path]) -> tuple[GuidedNetwork, int]:
    if recipe.config.blend < 1 and recipe.start is None:
        raise ConfigError(f"blend is {recipe.config.blend}, which needs weights to start from; name some.")
    network = new_network(recipe)
    for step, path in snapshots.items():
        if path.is_file():
            _left_behind(recipe, network, path, steps=range(step, step + 1))
    if not partial.is_file():
        return network, 0
    kept = _left_behind(recipe, network, partial, steps=range(1, recipe.config.steps))
    done = int(kept.notes["steps"])
    lost = [path for step, path in snapshots.items() if step <= done and not path.is_file()]
    if lost:
        raise CheckpointError(
            f"{lost[0]} is missing, a part of the mean; bring it back, or delete {partial} to begin anew."
        )
    network.load_state_dict(kept.network.state_dict())
    return network, done


def _left_behind(recipe: Recipe, network: GuidedNetwork, path: Path, *, steps: range) -> Checkpoint:
    """Return what this training left after so many steps; refuse what another one left."""
    found = load_checkpoint(path)
    steps_made(recipe, str(path), found.notes, within=steps)
    if found.network.description != network.description:
        raise CheckpointError(f"{path} is left from a training of another network; move it away.")
    return found


def new_network(recipe: Recipe) -> GuidedNetwork:
    """Return the network with which a training begins: that of `start`, or the rest of a trunk at random.

    Raises
    ------
    ConfigError
        The network to begin with has another backbone.
    CheckpointError
        The weights to begin with cannot be used.
    """
    with Chance(recipe.config.seed, torch.device("cpu")).drawn():
        return _drawn_network(recipe) if recipe.start is None else _former_network(recipe, recipe.start)


def _former_network(recipe: Recipe, start: Path) -> GuidedNetwork:
    """Return the network of a file; what compares, if it has none and some is wanted, is drawn."""
    former = load_checkpoint(start).network
    backbone, matching = backbone_of(former.description), recipe.config.matching
    if backbone != recipe.config.backbone:
        raise ConfigError(f"{start} has the backbone {backbone}; choose that, not {recipe.config.backbone}.")
    if matching in (0, former.description.get("matching", 0)):
        return former
    if former.recalls:
        raise ConfigError(
            f"{start} compares by {former.description['matching']} channels; choose that, not {matching}."
        )
    network = build_network({**former.description, "matching": matching})
    network.load_state_dict(former.state_dict(), strict=False)
    return network


def _drawn_network(recipe: Recipe) -> GuidedNetwork:
    backbone = recipe.config.backbone
    matching = {"matching": recipe.config.matching} if recipe.config.matching else {}
    network = build_network({**TRAINABLE[backbone], **matching})
    if recipe.pretrained is not None:
        try:
            network.adopt(load_file(recipe.pretrained))
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(
                f"{recipe.pretrained} holds no weights of {backbone} ({reason}); give others."
            ) from error
    return network


def _batches(recipe: Recipe, first_step: int) -> Iterator[Sequence[Clip]]:
    config = recipe.config
    rng = np.random.default_rng([config.seed, first_step])
    scenes = stream(recipe.datasets, rng, others=config.others, dreams=config.dream)
    step = first_step
    while True:
        choice = _EARLY if step < SMALL_FIRST * config.steps else _LATE
        size = round(config.size * rng.choice(choice) / _GRID) * _GRID
        source = clips(scenes, rng, replace(recipe.samples, size=size))
        yield [next(source) for _ in range(config.batch)]
        step += 2
