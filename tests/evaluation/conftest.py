"""Tiny data sets on disk, in the folders in which the public ones come."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

SHAPE = (24, 32)
PALETTE = [(37 * entry + 90 * plane * (entry > 0)) % 256 for entry in range(256) for plane in range(3)]


def squares(*corners: tuple[int, int], label: int = 1, size: int = 8) -> NDArray[np.uint16]:
    """Return label images (T, Y, X) with a square at a corner (y, x) on each frame."""
    labels = np.zeros((len(corners), *SHAPE), np.uint16)
    for image, (y, x) in zip(labels, corners, strict=True):
        image[y : y + size, x : x + size] = label
    return labels


def write_frames(
    folder: Path, labels: NDArray[np.uint16], *, name: str = "{:05}", ending: str = ".jpg"
) -> None:
    """Write a picture per frame: bright where the objects are."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 40, (*labels.shape, 3))
    images = (noise + 180 * (labels > 0)[..., None]).astype(np.uint8)
    for frame, image in enumerate(images):
        path = folder / f"{name.format(frame)}{ending}"
        if ending == ".tif":
            tifffile.imwrite(path, image[..., 0])
        else:
            Image.fromarray(image).save(path)


def write_masks(
    folder: Path, labels: NDArray[np.uint16], *, name: str = "{:05}", kind: str = "grey", ending: str = ".png"
) -> None:
    """Write label images as 'grey', 'palette', 0 and 255 ('binary'), 'rgb' of that, or 16-bit ('deep')."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, image in enumerate(labels):
        picture = {
            "grey": lambda image: Image.fromarray(image.astype(np.uint8)),
            "palette": as_palette,
            "binary": lambda image: Image.fromarray((image > 0).astype(np.uint8) * 255),
            "rgb": lambda image: Image.fromarray((image > 0).astype(np.uint8) * 255).convert("RGB"),
            "deep": lambda image: Image.fromarray(image.astype(np.uint16)),
        }[kind](image)
        picture.save(folder / f"{name.format(frame)}{ending}")


def as_palette(image: NDArray[np.uint16]) -> Image.Image:
    """Return a picture whose values are ids and whose colours are others."""
    picture = Image.fromarray(image.astype(np.uint8), mode="P")
    picture.putpalette(PALETTE)
    return picture


@pytest.fixture
def moving() -> NDArray[np.uint16]:
    """Give six frames of a square of 8 x 8 that moves by 2 pixels per frame."""
    return squares(*((8, 4 + 2 * frame) for frame in range(6)))


@pytest.fixture
def davis(tmp_path: Path, moving: NDArray[np.uint16]) -> Path:
    """Write DAVIS-2016 with one sequence, `bear`, whose masks are 0 and 255."""
    return write_davis(tmp_path / "davis", {"bear": moving}, kind="binary")


def write_davis(
    folder: Path, sequences: dict[str, NDArray[np.uint16]], *, year: str = "2016", kind: str = "palette"
) -> Path:
    """Write DAVIS with the set `val`."""
    for name, labels in sequences.items():
        write_frames(folder / "JPEGImages" / "480p" / name, labels)
        write_masks(folder / "Annotations" / "480p" / name, labels, kind=kind)
    listing = folder / "ImageSets" / year / "val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("".join(f"{name}\n" for name in sequences))
    return folder


@pytest.fixture
def make() -> SimpleNamespace:
    """Give the functions above."""
    return SimpleNamespace(
        squares=squares,
        frames=write_frames,
        masks=write_masks,
        davis=write_davis,
        palette=as_palette,
        shape=SHAPE,
    )


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that has learnt nothing."""
    import torch

    from napari_masktrack.model.checkpoint import save_checkpoint
    from napari_masktrack.model.network import MaskNetwork

    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, MaskNetwork())
    return path
