"""Label masks as public data sets and other programs write them."""

from pathlib import Path

from napari_masktrack.core.instances import BoolImage
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
    ending = path.suffix.lower()
    if ending in LOSSY_ENDINGS:
        return
    if ending not in TIFF_ENDINGS:
        with refusing(path, AnnotationError), open_picture(path) as picture:
            if picture.mode == "P":
                return
    read_mask(path)


def read_any_object(path: Path) -> BoolImage:
    """Read a mask of one object, bool (Y, X).

    Parameters
    ----------
    path : Path
        Other than 0 is the object. Where the largest value is 255, and in JPEG files, whose values are
        not exact, it is what is brighter than half of the largest value.

    Raises
    ------
    AnnotationError
        The file cannot be read or shows colours.
    """
    if path.suffix.lower() not in LOSSY_ENDINGS:
        mask = read_mask(path)
        return mask > _WHITE // 2 if mask.size and mask.max() == _WHITE else mask > 0
    with refusing(path, AnnotationError):
        image = read_image(path)
    grey = image.max(axis=-1) if image.ndim == 3 else image
    largest = int(grey.max())
    return grey > max(largest // 2, _NOISE)
