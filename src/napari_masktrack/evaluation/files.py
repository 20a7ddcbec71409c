"""Label masks as public data sets and other programs write them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from napari_masktrack.core.instances import BoolImage, Labels
from napari_masktrack.errors import AnnotationError, InputError
from napari_masktrack.io.images import natural_key, open_picture, read_image
from napari_masktrack.io.masks import MASK_ENDINGS, read_mask
from napari_masktrack.io.refusal import refusing, shown
from napari_masktrack.io.tiff import TIFF_ENDINGS

LOSSY_ENDINGS = frozenset({".jpg", ".jpeg"})
_WHITE = 255
_NOISE = 15
"""Up to this value a JPEG file may show where there is nothing."""


def list_masks(folder: Path, *, lossy: bool = False) -> tuple[Path, ...]:
    """List the masks of a folder in natural order; hidden and other files are left out.

    Parameters
    ----------
    folder : Path
    lossy : bool
        Whether JPEG files count as masks.

    Raises
    ------
    AnnotationError
        There is no such folder, or no mask in it.
    """
    endings = MASK_ENDINGS | (LOSSY_ENDINGS if lossy else frozenset())
    if not folder.is_dir():
        raise AnnotationError(f"There is no folder {shown(folder)}; check the data folder and its layout.")
    with refusing(folder, AnnotationError):
        files = [path for path in folder.iterdir() if path.suffix.lower() in endings]
    found = sorted((path for path in files if not path.name.startswith(".")), key=natural_key)
    if not found:
        raise AnnotationError(f"{shown(folder)} holds no masks; check that the data set is complete.")
    return tuple(found)


def list_folders(folder: Path) -> list[Path]:
    """List the folders in a folder in natural order; hidden ones are left out.

    Raises
    ------
    InputError
        There is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {shown(folder)}; check the data folder and its layout.")
    with refusing(folder, InputError):
        found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=natural_key)


def check_colours(path: Path) -> None:
    """Refuse a mask whose channels differ; palettes have one channel, and JPEG files are never exact.

    Raises
    ------
    AnnotationError
        So it is, or the file cannot be read.
    """
    if path.suffix.lower() not in LOSSY_ENDINGS and not _is_palette(path):
        read_mask(path)


def brightest_background(paths: Iterable[Path]) -> int:
    """Find the value up to which a pixel is background in masks of one object, for a whole folder.

    Parameters
    ----------
    paths : iterable of Path
        Masks of one folder; all are read.

    Returns
    -------
    int
        0: everything else is the object, as in palettes, where values are numbers of entries. Half of
        255 where the brightest grey value is that, and an image has more than two values: outlines are
        smoothed. With JPEG files, whose values are not exact, half of the brightest value.

    Raises
    ------
    AnnotationError
        A file cannot be read or shows colours.
    """
    largest, smoothed, lossy = 0, False, False
    for path in paths:
        if _is_palette(path):
            return 0
        grey = _read_grey(path)
        largest = max(largest, int(grey.max(initial=0)))
        smoothed |= bool(np.count_nonzero(np.bincount(grey.astype(np.uint16).ravel())) > 2)
        lossy |= path.suffix.lower() in LOSSY_ENDINGS
    if lossy:
        return max(largest // 2, _NOISE)
    return _WHITE // 2 if smoothed and largest == _WHITE else 0


def read_any_object(path: Path, background: int = 0) -> BoolImage:
    """Read a mask of one object, bool (Y, X).

    Parameters
    ----------
    path : Path
    background : int
        See `brightest_background`.

    Raises
    ------
    AnnotationError
        The file cannot be read or shows colours.
    """
    return np.asarray(_read_grey(path) > background)


def enlarged(labels: Labels, shape: tuple[int, int]) -> Labels:
    """Return a label image at another size, (height, width); each pixel has the id of the nearest one."""
    if labels.shape == shape:
        return labels
    return np.asarray(Image.fromarray(labels).resize(shape[::-1], Image.Resampling.NEAREST))


def reduced(mask: BoolImage, shape: tuple[int, int]) -> BoolImage:
    """Return a mask at another size, (height, width): object is what is mostly object."""
    if mask.shape == shape:
        return mask
    grey = Image.fromarray(mask.astype(np.uint8) * np.uint8(_WHITE))
    return np.asarray(grey.resize(shape[::-1], Image.Resampling.BOX)) > _WHITE // 2


def _read_grey(path: Path) -> Labels:
    if path.suffix.lower() not in LOSSY_ENDINGS:
        return read_mask(path)
    with refusing(path, AnnotationError):
        image = read_image(path)
    return image.max(axis=-1) if image.ndim == 3 else image


def _is_palette(path: Path) -> bool:
    if path.suffix.lower() in TIFF_ENDINGS:
        return False
    with refusing(path, AnnotationError), open_picture(path) as picture:
        return picture.mode == "P"
