"""Label masks from files: a folder of pictures named like the frames, or a stack as long as the movie."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    found = read_names([path.stem for path in paths], movie)
    for path, frame in zip(paths, found.taken, strict=True):
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
    _warn_of_numbers(paths, movie, found)
    return Annotations(
        mask for frame, path in by_frame.items() for mask in _take(read_mask(path), frame, movie, shown(path))
    )


@dataclass(frozen=True)
class Readings:
    """What the names of masks that lie together mean; see `read_names`.

    Attributes
    ----------
    named : list of int or None
        The frames with these names, or with these numbers as names.
    placed : list of int or None
        Where names are numbers, the frames with these indices.
    taken : list of int or None
        What counts; None for a name that means no frame.
    doubtful : list of int
        Positions in the lists where both readings are possible and differ.
    """

    named: list[int | None]
    placed: list[int | None]
    taken: list[int | None]
    doubtful: list[int]


def read_names(names: Sequence[str], movie: Movie) -> Readings:
    """Find the frames that the names of masks mean, which lie together and are named in one way.

    If one of them can only be an index, as 00000 is where the names of frames begin with 1, all numbers
    are; if one can only be a name, all are names. Where nothing shows what is meant, `match_frame` decides.

    Parameters
    ----------
    names : sequence of str
        Of the masks' files, without endings.
    movie : Movie
    """
    numbers = _numbers_of(movie)
    pairs = [(_named_frame(name, numbers), _placed_frame(name, movie, numbers)) for name in names]
    named, placed = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    only_placed = any(own is None and place is not None for own, place in pairs)
    only_named = any(own is not None and place is None for own, place in pairs)
    if only_placed != only_named:
        return Readings(named, placed, placed if only_placed else named, [])
    exact = set(movie.frame_names)
    taken = [
        own if name in exact or place is None else place
        for name, (own, place) in zip(names, pairs, strict=True)
    ]
    doubtful = [place for place, pair in enumerate(pairs) if None not in pair and pair[0] != pair[1]]
    return Readings(named, placed, taken, doubtful)


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
    if named and name in movie.frame_names:
        return movie.frame_names.index(name)
    number = _NUMBERED.fullmatch(name)
    if number is not None and int(number[1]) < len(movie):
        return int(number[1])
    return _named_frame(name, _numbers_of(movie)) if named else None


def _numbers_of(movie: Movie) -> dict[str, int]:
    """Give the frames by their names, and by those that are numbers without leading zeros."""
    names = list(enumerate(movie.frame_names))
    bare = {text.lstrip("0"): frame for frame, text in reversed(names) if text.isdecimal()}
    return bare | {text: frame for frame, text in names}


def _named_frame(name: str, numbers: Mapping[str, int]) -> int | None:
    """Find the frame of this name, or named by this number in another width."""
    number = _NUMBERED.fullmatch(name)
    return numbers.get(name, numbers.get(number[1].lstrip("0")) if number else None)


def _placed_frame(name: str, movie: Movie, numbers: Mapping[str, int]) -> int | None:
    """Find the frame of this index; of a name that is no number, the frame so called."""
    if _NUMBERED.fullmatch(name) is None:
        return _named_frame(name, numbers)
    return match_frame(name, movie, named=False)


def _warn_of_numbers(paths: list[Path], movie: Movie, found: Readings) -> None:
    """Warn if numbers that frames have in their names may be indices and nothing shows what is meant."""
    for place in found.doubtful[:1]:
        pair, why = (found.placed[place], found.named[place]), "as numbers are counted from 0"
        if found.taken[place] == found.named[place]:
            pair, why = pair[::-1], "as it has that name, but numbers in a result are counted from 0"
        taken, meant = (shown(movie.frame_names[frame]) for frame in pair if frame is not None)
        warnings.warn(
            f"{shown(paths[place].name)} is taken for the mask of frame {taken}, {why}; if frame {meant} is "
            "meant, name it like that frame's file.",
            MaskTrackWarning,
            stacklevel=2,
        )


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
