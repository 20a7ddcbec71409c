"""Label masks from files: a folder of pictures named like the frames, or a stack as long as the movie."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.annotation import LARGEST_LABEL, Annotation, Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError, MaskTrackWarning
from napari_masktrack.io.images import is_deep, natural_key, open_picture, read_deep
from napari_masktrack.io.refusal import refusing, shown
from napari_masktrack.io.soft_edges import warn_of_soft_edges
from napari_masktrack.io.tiff import TIFF_ENDINGS, read_tiff

MASK_ENDINGS = frozenset({".png", ".bmp"}) | TIFF_ENDINGS

_LOSSY_ENDINGS = frozenset({".jpg", ".jpeg", ".webp"})
_LOSSLESS_FORMATS = ("PNG", "BMP")
_NUMBERED = re.compile(r"(?:man_track|man_seg|mask)?([0-9]+)")


def read_mask_folder(folder: Path, movie: Movie) -> Annotations:
    """Read all label masks of a folder.

    Parameters
    ----------
    folder : Path
        PNG, BMP or TIFF files, each named like its frame's file or by the frame's index; other
        files are left out. Names as the Cell Tracking Challenge gives them (``man_track007.tif``)
        count as indices.
    movie : Movie
        What they belong to.

    Returns
    -------
    Annotations
        One mask per id and frame; masks that are all 0 say nothing.

    Raises
    ------
    AnnotationError
        There is no mask, one belongs to no frame, two belong to the same, or one does not fit.
    """
    with refusing(folder, AnnotationError):
        files = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_key)
    masks = [path for path in files if path.suffix.lower() in MASK_ENDINGS]
    if not masks:
        lossy = next((path for path in files if path.suffix.lower() in _LOSSY_ENDINGS), None)
        said = f"holds {shown(lossy.name)}, but no PNG" if lossy else "holds no label masks"
        raise AnnotationError(f"{shown(folder)} {said}; give PNG files whose values are ids of objects.")
    return read_mask_files(masks, movie)


def read_mask_files(paths: list[Path], movie: Movie) -> Annotations:
    """Read label masks whose names say their frames; see `read_mask_folder`."""
    by_frame: dict[int, Path] = {}
    for path in paths:
        frame = match_frame(path.stem, movie)
        if frame is None:
            raise AnnotationError(
                f"{shown(path)} belongs to none of the {len(movie)} frame(s) of {movie.name!r}; name it like "
                f"its frame's file, or 00000.png to {len(movie) - 1:05}.png."
            )
        if frame in by_frame:
            raise AnnotationError(
                f"{shown(path)} and {shown(by_frame[frame].name)} both belong to frame {frame}; keep one."
            )
        by_frame[frame] = path
    _warn_of_numbers(paths, movie)
    return Annotations(
        mask for frame, path in by_frame.items() for mask in _take(read_mask(path), frame, movie, shown(path))
    )


def match_frame(name: str, movie: Movie, *, named: bool = True) -> int | None:
    """Find the frame that a mask's name means.

    Parameters
    ----------
    name : str
        Name of the mask's file, without ending.
    movie : Movie
        Its `frame_names` come first; a number that none of them is means an index, counted from 0, or if
        there is none the frame named by that number in another width.
    named : bool
        Whether names of frames count; otherwise a number is always an index.

    Returns
    -------
    int or None
        Index of the frame; None if there is no such frame.
    """
    found = _possible_frames(name, movie, named=named)
    return found[0] if found else None


def _warn_of_numbers(paths: list[Path], movie: Movie) -> None:
    """Warn if numbers that frames have in their names are taken as indices and no 0 shows what is meant."""
    found = {path: _possible_frames(path.stem, movie) for path in paths}
    doubtful = [path for path, frames in found.items() if len(frames) > 1]
    if not doubtful or any(path.stem.strip("0") == "" and len(found[path]) == 1 for path in paths):
        return
    taken, named = (shown(movie.frame_names[frame]) for frame in found[doubtful[0]][:2])
    warnings.warn(
        f"{shown(doubtful[0].name)} is taken for the mask of frame {taken}, as numbers are counted from 0; "
        f"if frame {named} is meant, name it like that frame's file.",
        MaskTrackWarning,
        stacklevel=2,
    )


def _possible_frames(name: str, movie: Movie, *, named: bool = True) -> list[int]:
    """List the frames that a mask's name may mean, the one of this index first; see `match_frame`."""
    if named and name in movie.frame_names:
        return [movie.frame_names.index(name)]
    number = _NUMBERED.fullmatch(name)
    if number is None:
        return []
    index, digits = int(number[1]), number[1].lstrip("0")
    found = [index] if index < len(movie) else []
    if named:
        own = (frame for frame, text in enumerate(movie.frame_names) if text.lstrip("0") == digits)
        found += [frame for frame in own if frame != index]
    return found


def read_mask(path: Path) -> NDArray[Any]:
    """Read one label mask.

    Parameters
    ----------
    path : Path
        PNG, BMP or TIFF; grey, palette or 1-bit. Three colour channels are taken if they are equal.

    Returns
    -------
    array, (Y, X), bool or integer
        Ids; for a palette the entries' numbers, not their colours.

    Raises
    ------
    AnnotationError
        The file cannot be read, is truncated, or shows colours or fractions instead of ids.
    """
    with refusing(path, AnnotationError):
        image = read_tiff(path)[0] if path.suffix.lower() in TIFF_ENDINGS else _read_picture(path)
    check_ids(image, shown(path))
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        if (image[..., :3] != image[..., :1]).any():
            raise AnnotationError(
                f"{shown(path)} shows colours; save it with one channel whose values are ids of objects."
            )
        image = image[..., 0]
    if image.ndim != 2:
        raise AnnotationError(f"{shown(path)} has shape {image.shape}; give one plane per file.")
    return image


def read_mask_stack(stack: Movie, movie: Movie, where: str) -> Annotations:
    """Take the painted frames of a stack of label masks as long as the movie.

    Parameters
    ----------
    stack : Movie
        Masks, (T, Y, X), integer or bool; read one frame at a time.
    movie : Movie
        What they belong to.
    where : str
        The stack in messages.

    Returns
    -------
    Annotations
        One mask per id and frame; frames that are all 0 are not annotated.

    Raises
    ------
    AnnotationError
        Length, size or type do not fit, or nothing is painted.
    """
    if len(stack) != len(movie):
        raise AnnotationError(
            f"{where} has {len(stack)} frame(s), but {movie.name!r} has {len(movie)}; "
            f"give one mask per frame, all 0 where nothing is annotated."
        )
    return Annotations(
        mask for frame in range(len(stack)) for mask in _take(stack.raw(frame), frame, movie, where)
    )


def check_ids(image: NDArray[Any], where: str) -> None:
    """Refuse an image whose values cannot be ids.

    Raises
    ------
    AnnotationError
        The values are fractions, negative, or above 65535.
    """
    if image.dtype.kind not in "bui":
        raise AnnotationError(
            f"{where} holds values of type {image.dtype}; save label masks as whole numbers, 8 or 16 bits."
        )
    if image.size and (image.min() < 0 or image.max() > LARGEST_LABEL):
        raise AnnotationError(
            f"{where} holds values from {image.min()} to {image.max()}; "
            f"use 0 for the background and 1 to {LARGEST_LABEL} for objects."
        )


def _take(image: NDArray[Any], frame: int, movie: Movie, where: str) -> tuple[Annotation, ...]:
    if image.shape != movie.shape:
        raise AnnotationError(
            f"{where} has {_size(image.shape)} pixels, but the frames of {movie.name!r} have "
            f"{_size(movie.shape)} (height x width); give masks of the frames' size."
        )
    check_ids(image, where)
    warn_of_soft_edges(image, where)
    return Annotations.from_labels({frame: image}).items


def _read_picture(path: Path) -> NDArray[Any]:
    with open_picture(path, _LOSSLESS_FORMATS) as picture:
        if is_deep(picture):
            return read_deep(path)
        return np.asarray(picture.getchannel(0) if picture.mode in ("LA", "PA") else picture)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
