"""`masktrack train`: images with masks in, the weights of a network out."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.cli.parser import Parser, add_settings, device_name, given_settings
from napari_masktrack.cli.progress import duration
from napari_masktrack.cli.terminal import Terminal
from napari_masktrack.cli.work import follow_training
from napari_masktrack.config import TrainConfig
from napari_masktrack.errors import CheckpointError, ConfigError, InputError, OutputError, WorkError
from napari_masktrack.io.refusal import shown

if TYPE_CHECKING:
    from napari_masktrack.training.datasets import Dataset
    from napari_masktrack.training.recipes import Recipe

SUMMARY = "Train a network on your own images and masks."
EPILOG = (
    "An interrupted training goes on where it was when the same command is given again. "
    "Give --images and --masks several times for several data sets; a recipe can also weight them. "
    "Of several recipes the weights of each but the last stay beside the output, as NAME.part1.safetensors."
)


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.epilog = EPILOG
    data = parser.add_argument_group("data")
    data.add_argument(
        "--images", metavar="DIR", type=Path, action="append", default=[], help="folder of images"
    )
    data.add_argument(
        "--masks", metavar="DIR", type=Path, action="append", default=[],
        help="folder of their masks, named alike; 0 is background",
    )  # fmt: skip
    data.add_argument(
        "--instances", action="store_true",
        help="values of the masks are ids of separate objects (default: all above 0 is one object)",
    )  # fmt: skip
    data.add_argument(
        "--recipe",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="data and settings in TOML, instead of --images and --masks; of several, each begins with the "
        "weights of the one before",
    )
    data.add_argument(
        "--data", metavar="DIR", type=Path, help="folder to which the paths in the recipe are relative"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, required=True, help="new .safetensors file for the weights"
    )
    parser.add_argument(
        "--start", metavar="NAME|FILE",
        help="begin with these weights: an embedded model, a .safetensors file of this program, "
        "or one with a pretrained trunk (default: random)",
    )  # fmt: skip
    parser.add_argument(
        "--device", type=device_name, default="auto", metavar="{auto,cpu,cuda,mps}",
        help="where to compute (default: auto, a GPU if there is one)",
    )  # fmt: skip
    add_settings(parser.add_argument_group("training"), TrainConfig)


def run(options: Namespace, terminal: Terminal) -> None:
    """Do it.

    Raises
    ------
    InputError
        Something handed over cannot be used; nothing was written.
    WorkError
        The training failed on its way; its last checkpoint is kept.
    """
    datasets = _check_paths(options)
    terminal.check()
    parts = _parts(options.recipe, options.output)
    recipes = [_recipe(options, path, datasets) for path, _ in parts]
    _check_chain(recipes)
    for dataset in (dataset for recipe in recipes for dataset in recipe.datasets):
        _check_objects(dataset)
    start = options.start
    for recipe, (_, output) in zip(recipes, parts, strict=True):
        part = _begin(options, recipe, start)
        if output.is_file():  # of several parts, one that was finished before
            _check_finished(part, output)
            terminal.complain(f"{shown(output)} is there already; going on with it.")
        else:
            _train(part, output, options.device, terminal)
        start = output


def _parts(recipes: Sequence[Path], output: Path) -> list[tuple[Path | None, Path]]:
    """Return what is trained one after the other: recipe, if there is one, and where its weights go."""
    if not recipes:
        return [(None, output)]
    between = [output.with_name(f"{output.stem}.part{n}.safetensors") for n in range(1, len(recipes))]
    return list(zip(recipes, [*between, output], strict=True))


def _train(recipe: "Recipe", output: Path, device: str, terminal: Terminal) -> None:
    from napari_masktrack.model.device import choose_device
    from napari_masktrack.training.offline import train

    chosen = choose_device(device)
    partial = partial_path(output)
    first = _check_unfinished(recipe, partial, terminal)
    try:
        steps = train(recipe, output, device=chosen)
        last = follow_training(steps, terminal, title="Training")
    except BaseException as error:
        with terminal.finishing():
            note = _kept(recipe, output, partial)
        if not isinstance(error, InputError):
            error.add_note(note)
        raise
    if last is None or not output.is_file():
        raise WorkError(f"The training ended without weights for {shown(output)}; report this.")
    terminal.say(
        f"Trained {last.step - first} steps in {duration(last.seconds)}; the weights are in {shown(output)}."
    )


def partial_path(output: Path) -> Path:
    """Return where `training.offline.train` keeps its checkpoints until it is done."""
    return output.with_name(f"{output.stem}.training.safetensors")


def _check_paths(options: Namespace) -> "tuple[Dataset, ...]":
    """Check what needs no network; give the data sets, none if a recipe names them."""
    from napari_masktrack.io.targets import check_new_file
    from napari_masktrack.training.datasets import Dataset, find_pairs

    if options.output.suffix.lower() != ".safetensors":
        raise OutputError(f"--output is {shown(options.output.name)}; choose a name ending in .safetensors.")
    check_new_file(options.output)
    images, masks = options.images, options.masks
    if options.recipe:
        if images or masks or options.instances or options.data is None:
            raise ConfigError("--recipe FILE needs --data DIR, and no --images, --masks or --instances.")
        return ()
    if not images or len(images) != len(masks) or options.data is not None:
        raise ConfigError(
            f"{len(images)} --images and {len(masks)} --masks are no pairs; give both equally often, "
            f"or --recipe FILE with --data DIR."
        )
    return tuple(
        Dataset(find_pairs(*folders), instances=options.instances)
        for folders in zip(images, masks, strict=True)
    )


def _recipe(options: Namespace, path: Path | None, datasets: "tuple[Dataset, ...]") -> "Recipe":
    from napari_masktrack.training.recipes import Recipe, read_recipe

    changes = given_settings(options, TrainConfig)
    if path is None:
        return Recipe(config=TrainConfig(**changes), datasets=datasets)
    return read_recipe(path, options.data).with_settings(**changes)


def _check_objects(dataset: "Dataset") -> None:
    """Refuse data in which there is nothing to learn; usually the first image settles it."""
    import numpy as np

    from napari_masktrack.training.datasets import read_scene

    rng = np.random.default_rng(0)
    if all(read_scene(dataset, index, rng) is None for index in range(len(dataset.pairs))):
        folder = dataset.pairs[0][1].parent
        raise InputError(f"No mask in {shown(folder)} holds an object; mark objects by values above 0.")


def _check_chain(recipes: "Sequence[Recipe]") -> None:
    """Refuse recipes of which one cannot begin with the weights of the one before, before hours of work."""
    for former, later in pairwise(recipes):
        for name in ("backbone", "matching"):
            there, here = getattr(former.config, name), getattr(later.config, name)
            if there and here and there != here:
                raise ConfigError(f"One recipe has {name} {there}, the next {here}; both must be the same.")


def _check_finished(recipe: "Recipe", output: Path) -> None:
    """Refuse a part that another training made."""
    steps = _steps_of(recipe, output)
    if steps != recipe.config.steps:
        raise CheckpointError(f"{shown(output)} had {steps} steps, not {recipe.config.steps}; move it away.")


def _check_unfinished(recipe: "Recipe", partial: Path, terminal: Terminal) -> int:
    """Say that an interrupted training goes on, or refuse to if there is nothing left; gives its steps."""
    if not partial.is_file():
        return 0
    done = _steps_of(recipe, partial)
    if done >= recipe.config.steps:
        raise ConfigError(f"{shown(partial)} has {done} steps already; give more --steps, or move it away.")
    terminal.complain(f"Going on from {shown(partial)}, which has {done} steps.")
    return done


def _steps_of(recipe: "Recipe", path: Path) -> int:
    """Return how many steps of this recipe made weights; refuse those of another training."""
    from napari_masktrack.model.checkpoint import load_checkpoint
    from napari_masktrack.training.recipes import steps_made

    return steps_made(recipe, shown(path), load_checkpoint(path).notes)


def _begin(options: Namespace, recipe: "Recipe", start: str | Path | None) -> "Recipe":
    """Take the weights to start from over, if there are some, in place of those that the recipe names."""
    from napari_masktrack.model.checkpoint import find_weights, load_checkpoint
    from napari_masktrack.model.registry import backbone_of

    if start is None:
        return recipe
    path = find_weights(start)
    if not _describes_network(path):
        return replace(recipe, pretrained=path, start=None)
    backbone = backbone_of(load_checkpoint(path).network.description)
    if backbone != getattr(options, "backbone", backbone):
        raise ConfigError(f"{shown(path)} has the backbone {backbone}; leave --backbone out.")
    recipe = replace(recipe, pretrained=None, start=path)
    return recipe if options.recipe else recipe.with_settings(backbone=backbone)  # a recipe says its own


def _describes_network(path: Path) -> bool:
    """Whether weights are a whole network of ours; what cannot be read is left to the loader to refuse."""
    from safetensors import SafetensorError, safe_open

    from napari_masktrack.model.checkpoint import FORMAT

    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return True


def _kept(recipe: "Recipe", output: Path, partial: Path) -> str:
    """Say what an interrupted training leaves."""
    if output.is_file():
        return f"It was finished: the weights are in {shown(output)}."
    if partial.is_file():
        steps = _steps_of(recipe, partial)
        return f"{shown(partial)} keeps its first {steps} steps; the same command goes on from there."
    return "It had not made its first step, so nothing of it is kept."
