"""Images with masks on disk: an endless, shuffled stream of scenes for offline training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage
from napari_masktrack.core.intensity import Scale
from napari_masktrack.errors import InputError
from napari_masktrack.training import scenes
from napari_masktrack.training.dreams import Stage, dream
from napari_masktrack.training.scenes import Scene

_PATIENCE = 1000
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Dataset:
    """Image files with their mask files.

    Attributes
    ----------
    pairs : tuple of (image path, mask path)
    instances : bool
        Mask values are ids of separate objects; otherwise everything above 0 is one object.
    weight : float
        Share of the samples, relative to the other data sets.
    jump : float
        How far these objects move between frames, relative to natural video.
    """

    pairs: tuple[tuple[Path, Path], ...]
    instances: bool = False
    weight: float = 1.0
    jump: float = 1.0


def find_pairs(images: Path, masks: Path) -> tuple[tuple[Path, Path], ...]:
    """Return the images that have a mask of the same name, sorted by name.

    Raises
    ------
    InputError
        A folder is missing, or no image has a mask.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give the folders of images and masks.")
    by_stem = {p.stem: p for p in sorted(masks.iterdir()) if p.suffix.lower() in SUFFIXES}
    found = [p for p in sorted(images.iterdir()) if p.suffix.lower() in SUFFIXES and p.stem in by_stem]
    if not found:
        raise InputError(f"No image in {images} has a mask of the same name in {masks}; name them alike.")
    return tuple((p, by_stem[p.stem]) for p in found)


def read_scene(dataset: Dataset, index: int, rng: np.random.Generator) -> Scene | None:
    """Return one object of an image, cut with its surroundings; None when the mask holds no object.

    Raises
    ------
    InputError
        A file cannot be read, or image and mask differ in size.
    """
    library = cv2()
    image_path, mask_path = dataset.pairs[index]
    # an orientation in the file would turn the image, but not the mask beside it
    flags = library.IMREAD_COLOR | library.IMREAD_ANYDEPTH | library.IMREAD_IGNORE_ORIENTATION
    image = _decode(image_path, flags)
    if image.dtype != np.uint8:  # deeper ones are scaled as movies are
        image = Scale.fit(image).apply(image)
    mask = _one_plane(_decode(mask_path, library.IMREAD_UNCHANGED))
    if mask.shape != image.shape[:2]:
        raise InputError(
            f"{mask_path} is {mask.shape}, its image {image.shape[:2]}; both must be of one size."
        )
    target = _choose(mask, rng) if dataset.instances else mask > 0
    if target is None or not target.any():
        return None
    image = np.ascontiguousarray(image[..., ::-1])
    return scenes.surroundings(Scene(image, target, np.ones_like(target), dataset.jump))


def _decode(path: Path, flags: int) -> npt.NDArray[Any]:
    # not `imread`, which on Windows finds no file whose path has letters beyond the system's own
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        content = np.empty(0, np.uint8)
    image = cv2().imdecode(content, flags) if content.size else None
    if image is None:
        raise InputError(f"{path} cannot be read as an image; replace or remove it.")
    return np.asarray(image)


def _one_plane(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a mask of colours (Y, X, 3 or 4) with one number for each colour; alpha says nothing."""
    if mask.ndim == 2:
        return mask
    blue, green, red = (mask[..., plane].astype(np.uint64) for plane in range(3))
    return blue << np.uint64(32) | green << np.uint64(16) | red


def _choose(mask: npt.NDArray[Any], rng: np.random.Generator) -> BoolImage | None:
    ids = np.unique(mask)
    ids = ids[ids > 0]
    return np.asarray(mask == rng.choice(ids)) if ids.size else None


def stream(
    datasets: Sequence[Dataset], rng: np.random.Generator, *, others: float, dreams: float
) -> Iterator[Scene]:
    """Yield scenes for ever, data sets by their weight, images at random.

    Parameters
    ----------
    datasets : sequence of Dataset
    rng : numpy.random.Generator
    others : float
        Share of the scenes that get another object pasted beside their own.
    dreams : float
        Share of the scenes whose object is cut out and moved, hidden or left out.

    Raises
    ------
    InputError
        A file cannot be used, or hardly any mask shows an object.
    """
    weights = np.array([d.weight for d in datasets]) / sum(d.weight for d in datasets)
    recent: list[Scene] = []
    misses = 0
    while misses < _PATIENCE:
        dataset = datasets[rng.choice(len(datasets), p=weights)]
        scene = read_scene(dataset, int(rng.integers(len(dataset.pairs))), rng)
        if scene is None:
            misses += 1
            continue
        misses = 0
        recent = [*recent[-15:], scene]
        origin = scene
        if rng.random() < dreams:
            scene = dream(Stage.of(scene), rng)
        if scene.target.any() and rng.random() < others:
            twin = rng.random() < 0.3
            scene = scenes.add_other(scene, recent[-1] if twin else recent[rng.integers(len(recent))], rng)
            if twin:  # nothing tells it from its twin but the guidance, which must not stray then
                scene = replace(scene, other=None)
        yield replace(scene, origin=origin)
    raise InputError(f"{misses} masks in a row show no object; check the folders of masks.")
