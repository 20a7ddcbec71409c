"""The networks of an ablation: each is trained once, briefly, and kept."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_masktrack.config import AblationConfig
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation.ablation_rows import Row
from napari_masktrack.evaluation.files import list_folders
from napari_masktrack.evaluation.origins import files_identity, weights_hash

if TYPE_CHECKING:
    from napari_masktrack.training.datasets import Dataset
    from napari_masktrack.training.recipes import Recipe

FEWER = 5000 / 11_282
"""Share of the images in the paper's reduced training."""
_KEEP_EVERY = 100


@dataclass(frozen=True)
class Trainings:
    """What networks may be trained on, and where they are kept.

    Attributes
    ----------
    recipe : Recipe or None
        Of the full system; None if there is nothing to train on.
    videos : tuple of Dataset
        Frames of videos, for the row that is trained on them.
    folder : Path
    device : str
    """

    recipe: "Recipe | None"
    videos: "tuple[Dataset, ...]"
    folder: Path
    device: str

    @classmethod
    def of(cls, options: AblationConfig, folder: Path, device: str) -> "Trainings":
        """Read what the options name.

        Raises
        ------
        InputError
            A folder is missing, the recipe makes no sense, or something of a training is given without
            anything to train on.
        """
        from napari_masktrack.training.datasets import Dataset, find_pairs

        recipe = _recipe(options)
        videos = list_folders(Path(options.video_data)) if options.video_data else []
        return cls(
            recipe,
            tuple(Dataset(find_pairs(each / "images", each / "labels"), instances=True) for each in videos),
            folder,
            device,
        )

    def lacks(self, row: Row) -> str:
        """Say what to give so that the row's network can be made; nothing where it can."""
        if self.recipe is None:
            return "--train-data to train it on" if row.retrains else ""
        if row.training == "none" and self.recipe.start is not None:
            return "a recipe with 'pretrained', the weights of the trunk alone, instead of 'start'"
        return "--video-data to train it on" if row.training == "video" and not self.videos else ""

    def refuse_impossible(self, rows: Mapping[str, Row]) -> None:
        """Refuse rows whose networks cannot be made.

        Raises
        ------
        ConfigError
            There is nothing to train one on, or no pretrained trunk where no more is wanted.
        """
        for name, row in rows.items():
            if lacking := self.lacks(row):
                raise ConfigError(f"The row {name!r} needs a network of its own; give {lacking}.")

    def path(self, row: Row) -> Path | None:
        """Return where the row's network is, or will be; None for the one that is there already.

        The file's name stands for all that the network is made from, so that other data, settings or
        weights to begin with make another network.

        Raises
        ------
        CheckpointError
            The weights to begin with are not there.
        """
        if self.recipe is None:
            return None
        recipe = self._recipe_of(row)
        begin = [weights_hash(str(each)) for each in (recipe.pretrained, recipe.start) if each is not None]
        data = [_identity(dataset) for dataset in recipe.datasets]
        known = f"{row.training} {recipe.config} {recipe.samples} {recipe.mean_with} {data} {begin}"
        return self.folder / f"{hashlib.sha256(known.encode()).hexdigest()[:12]}.safetensors"

    def missing(self, rows: Iterable[Row]) -> dict[Path, Row]:
        """List the networks that are still to be made, each with a row that needs it."""
        paths = {path: row for row in rows if (path := self.path(row)) is not None}
        return {path: row for path, row in paths.items() if not path.is_file()}

    def make(self, missing: Mapping[Path, Row]) -> Iterator[tuple[float, str]]:
        """Train networks one after the other; an interrupted training goes on from its last checkpoint.

        Yields
        ------
        share : float
            Of all that is missing.
        text : str
        """
        from napari_masktrack.model.device import choose_device
        from napari_masktrack.training.offline import train

        device = choose_device(self.device)
        for number, (path, row) in enumerate(missing.items()):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = f"training {number + 1} of {len(missing)}: {row.title}"
            if row.training == "none":
                self._save_untrained(path, row)
                continue
            for step in train(self._recipe_of(row), path, device=device, keep_every=_KEEP_EVERY):
                yield (number + step.step / step.steps) / len(missing), text

    def in_words(self) -> str:
        """Say how the networks were trained."""
        if self.recipe is None:
            return "Rows that need a training were left out, for want of --train-data."
        images = sum(len(dataset.pairs) for dataset in self.recipe.datasets)
        begin = self.recipe.pretrained or self.recipe.start
        start = f"from {begin.name}" if begin else "from random weights"
        return (
            f"Reduced schedule: networks were trained {start} for {self.recipe.config.steps} steps "
            f"of {self.recipe.config.batch} samples on {images} images."
        )

    def described(self) -> dict[str, Any]:
        """Return the settings of the trainings; empty where there are none."""
        if self.recipe is None:
            return {}
        images = sum(len(each.pairs) for each in self.recipe.datasets)
        return {**asdict(self.recipe.config), "mean_with": self.recipe.mean_with, "images": images}

    def _recipe_of(self, row: Row) -> "Recipe":
        assert self.recipe is not None, "rows without a recipe train nothing"
        recipe = replace(self.recipe, samples=replace(self.recipe.samples, **row.samples))
        if row.training == "fewer":
            return replace(recipe, datasets=tuple(fewer(each, FEWER) for each in recipe.datasets))
        if row.training == "none":
            return replace(recipe, start=None)
        return replace(recipe, datasets=self.videos) if row.training == "video" else recipe

    def _save_untrained(self, path: Path, row: Row) -> None:
        from napari_masktrack.model.checkpoint import save_checkpoint
        from napari_masktrack.training.offline import new_network

        save_checkpoint(path, new_network(self._recipe_of(row)), {"steps": "0"}, half=True)


def _identity(dataset: "Dataset") -> str:
    """Tell a data set from others, and from itself before its files were changed."""
    return f"{replace(dataset, pairs=())} {files_identity(path for pair in dataset.pairs for path in pair)}"


def fewer(dataset: "Dataset", share: float) -> "Dataset":
    """Return a data set with a share of its images, at least one; always the same ones."""
    count = max(1, round(share * len(dataset.pairs)))
    chosen = np.sort(np.random.default_rng(0).permutation(len(dataset.pairs))[:count])
    return replace(dataset, pairs=tuple(dataset.pairs[index] for index in chosen))


def _recipe(options: AblationConfig) -> "Recipe | None":
    from napari_masktrack.config import TrainConfig
    from napari_masktrack.training.datasets import Dataset, find_pairs
    from napari_masktrack.training.recipes import Recipe, read_recipe

    if not options.train_data:
        for name in ("recipe", "video_data", "train_steps"):
            if getattr(options, name) != getattr(AblationConfig(), name):
                raise ConfigError(
                    f"--{name.replace('_', '-')} belongs to --train-data; give both, or leave it out."
                )
        return None
    data = Path(options.train_data)
    if options.recipe:
        return read_recipe(Path(options.recipe), data).with_settings(steps=options.train_steps)
    pairs = find_pairs(data / "images", data / "masks")
    return Recipe(config=TrainConfig(steps=options.train_steps), datasets=(Dataset(pairs),))
