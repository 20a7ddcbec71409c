"""Recipes of offline trainings: data and settings; the weights in this package are made from some."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_masktrack import __version__
from napari_masktrack.config import TrainConfig
from napari_masktrack.errors import CheckpointError, ConfigError
from napari_masktrack.training.datasets import Dataset, find_pairs
from napari_masktrack.training.samples import SampleConfig

_STEPS = re.compile(r"\bsteps=\d+")
_KEYS = ("train", "samples", "data", "pretrained", "start", "mean_with")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Data and settings of one training.

    Attributes
    ----------
    config : TrainConfig
    datasets : tuple of Dataset
    pretrained : Path or None
        ImageNet weights of the trunk, safetensors.
    start : Path or None
        A whole network of ours to begin with, instead of `pretrained`.
    samples : SampleConfig
        What guidance is like; an ablation changes it. The size comes from `config`.
    mean_with : tuple of int
        The result is the mean of the weights at the end and after these steps ("model soup", Wortsman et
        al., ICML 2022).

    Raises
    ------
    ConfigError
        Both `pretrained` and `start` are given, or the training has not as many steps as `mean_with` says.
    """

    config: TrainConfig
    datasets: tuple[Dataset, ...]
    pretrained: Path | None = None
    start: Path | None = None
    samples: SampleConfig = field(default_factory=SampleConfig)
    mean_with: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two beginnings, and steps that never come."""
        if self.pretrained is not None and self.start is not None:
            raise ConfigError("A training begins with either pretrained or start; leave one of them out.")
        for step in self.mean_with:
            if type(step) is not int or not 0 < step < self.config.steps or self.mean_with.count(step) > 1:
                steps = self.config.steps
                raise ConfigError(
                    f"mean_with has {step!r}; give steps before the last of {steps}, each once."
                )

    def with_settings(self, **changes: Any) -> "Recipe":
        """Return the recipe with other fields of `config`, without what of `mean_with` never comes."""
        config = replace(self.config, **changes)
        mean_with = tuple(step for step in self.mean_with if step < config.steps)
        return replace(self, config=config, mean_with=mean_with)


def read_recipe(path: Path, data: Path) -> Recipe:
    """Read a recipe in TOML.

    Parameters
    ----------
    path : Path
        Has the tables ``[train]`` (fields of `TrainConfig`), ``[[data]]`` (images, masks, and
        optionally instances, weight, jump) and optionally ``[samples]`` (fields of `SampleConfig`),
        ``pretrained`` or ``start``, and ``mean_with``.
    data : Path
        Folder to which the paths inside are relative.

    Raises
    ------
    ConfigError
        The file cannot be read, or a field is unknown.
    InputError
        A folder is missing, or images and masks do not pair up.
    """
    try:
        content = tomllib.loads(path.read_text())
        if unknown := sorted(content.keys() - set(_KEYS)):
            raise ConfigError(f"{unknown[0]!r} means nothing outside a table; there are {', '.join(_KEYS)}.")
        datasets = tuple(_dataset(entry, data) for entry in content["data"])
        if not sum(dataset.weight for dataset in datasets):
            raise ConfigError("no data is named; give a table [[data]] with a weight above 0.")
        return Recipe(
            config=TrainConfig(**content.get("train", {})),
            samples=SampleConfig(**content.get("samples", {})),
            datasets=datasets,
            mean_with=tuple(content.get("mean_with", ())),
            **{name: data / content[name] for name in ("pretrained", "start") if content.get(name)},
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no recipe ({error}); see docs/model-card.md for one.") from error


def _dataset(entry: Mapping[str, Any], data: Path) -> Dataset:
    options = dict(entry)
    pairs = find_pairs(data / options.pop("images"), data / options.pop("masks"))
    dataset = Dataset(pairs, **options)
    if dataset.weight < 0:
        raise ConfigError(f"a weight is {dataset.weight}; give one above 0.")
    return dataset


def training_notes(recipe: Recipe, steps: int) -> dict[str, str]:
    """Return what is written down beside weights that a recipe made in so many steps."""
    folders = [(len(each.pairs), each.pairs[0][0].absolute().parent.parent) for each in recipe.datasets]
    data = ", ".join(f"{count} images of {folder.name}" for count, folder in folders)
    changed = {k: v for k, v in asdict(recipe.samples).items() if v != getattr(SampleConfig(), k)}
    mean = {"mean_with": list(recipe.mean_with)} if recipe.mean_with else {}
    settings = ", ".join(f"{k}={v}" for k, v in {**asdict(recipe.config), **changed, **mean}.items())
    begun = recipe.start or recipe.pretrained
    start = begun.name if begun else "random"
    return {"steps": str(steps), "data": data, "settings": settings, "start": start, "version": __version__}


def difference_to(recipe: Recipe, written: Mapping[str, str]) -> str:
    """Say what the notes of weights tell of another training than by this recipe; the steps may differ.

    Returns
    -------
    str
        Empty if there is nothing.
    """
    wanted = training_notes(recipe, 0)
    for name in ("start", "data", "settings"):
        there, here = (_STEPS.sub("", each.get(name, "")).split(", ") for each in (written, wanted))
        if there != here:
            other = [part for part in there if part not in here] or ["fewer settings"]
            return f"{name}: {', '.join(other) or 'unknown'}"
    return ""


def steps_made(recipe: Recipe, name: str, written: Mapping[str, str], *, within: range | None = None) -> int:
    """Return how many steps of this recipe made weights, by their notes.

    Parameters
    ----------
    recipe : Recipe
    name : str
        The file, for the message.
    written : mapping of str to str
        Its notes.
    within : range, optional
        The steps that there may be.

    Raises
    ------
    CheckpointError
        Another training made them, or other steps.
    """
    made, difference = written.get("steps", ""), difference_to(recipe, written)
    if not made.isdecimal() or (within is not None and int(made) not in within):
        difference = f"{made or 'unknown'} steps"
    if difference:
        raise CheckpointError(f"{name} is left from another training ({difference}); move it away.")
    return int(made)
