"""Readers and writers that napari calls: folders of label masks in, label layers out."""

import re
from collections.abc import Callable, Sequence
from copy import copy
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError, OutputError
from napari_masktrack.io.exporters import EXPORTERS
from napari_masktrack.io.frames import View
from napari_masktrack.io.images import natural_key
from napari_masktrack.io.readers import open_movie
from napari_masktrack.layers.create import SPARSE_FROM
from napari_masktrack.layers.frames import FrameArray, SparseFrames
from napari_masktrack.layers.movie import LayerMovie, Layout

LayerData = tuple[Any, dict[str, Any], str]


MASK_FOLDERS = ("masks", "annotations")
"""How the names of folders end that this plugin writes, in the window and in the terminal."""
LONGEST = 10**6
"""Frames of a movie, at most; a larger number in a file's name is none of a frame."""


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Give the reader of a session, or of a folder of label masks; None for anything else.

    napari knows no patterns for folders: it offers each to every plugin that takes any. So this is where
    folders of others are left alone.

    Parameters
    ----------
    path : str or list of str
        What was dropped on napari: for a session its folder, or ``session.json`` in it.
    """
    from napari_masktrack.layers.reader import get_reader as get_session_reader

    return get_session_reader(path) or get_mask_reader(path)


def get_mask_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Give the reader of a folder of PNG masks whose name ends in one of `MASK_FOLDERS`; else None."""
    if not isinstance(path, str) or not Path(path).name.lower().endswith(MASK_FOLDERS):
        return None
    return read_masks if any(Path(path).glob("*.png")) else None


def read_masks(path: str | PathLike[str]) -> list[LayerData]:
    """Read a folder of PNG label masks as a label layer; the files' order is that of their names.

    If all names are an index, or the same word and an index, each goes on the frame of its index, so that
    a few annotated frames keep their places.

    Raises
    ------
    InputError
        A file is no label mask, or sizes differ.
    """
    from napari_masktrack.io.masks import read_mask

    files = sorted(Path(path).glob("*.png"), key=natural_key)
    images = [read_mask(file) for file in files]
    if len({image.shape for image in images}) != 1:
        raise InputError(f"The masks in {path} differ in size; give masks of one movie.")
    frames = indices_of([file.stem for file in files]) or range(len(files))
    stack = SparseFrames(images[0].shape)
    for frame, image in zip(frames, images, strict=True):
        stack.write(frame, image)
    data = FrameArray(Layout((max(frames) + 1, *images[0].shape), 0, 1, 2), stack)
    is_long = data.size * data.dtype.itemsize > SPARSE_FROM
    return [(data if is_long else np.asarray(data), {"name": Path(path).name}, "labels")]


def indices_of(names: Sequence[str]) -> list[int] | None:
    """Give the frames that names of files without endings mean; None if they mean none.

    Dates, and names with several numbers, are no indices.
    """
    found = [re.fullmatch(r"([^0-9]*)([0-9]+)", name) for name in names]
    words = {each and each[1] for each in found}
    indices = [int(each[2]) for each in found if each]
    fits = len(words) == 1 and len(set(indices)) == len(names) and max(indices) < LONGEST
    return indices if fits else None


def with_frame_names(view: LayerMovie) -> Movie:
    """Give a layer's movie with the names of its frames' files, if napari opened a folder of images."""
    path = view.layer.source.path
    if path is None or not Path(path).is_dir():
        return view.movie
    try:
        names = open_movie(path).frame_names
    except InputError:
        return view.movie
    if len(names) != len(view.movie):
        return view.movie
    named = copy(view.movie)
    named.data = View(named.data, range(len(named.data.shape)))
    named.data.frame_names = names
    return named


def write_png(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a label layer as a folder of PNG files."""
    return _write(path, data, attributes, "png")


def write_tif(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a label layer as a TIFF stack."""
    return _write(path, data, attributes, "tif")


def write_zarr(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a label layer as a Zarr array."""
    return _write(path, data, attributes, "zarr")


def write_coco(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a label layer as COCO annotations."""
    return _write(path, data, attributes, "coco")


def _write(path: str, data: Any, attributes: dict[str, Any], kind: str) -> list[str]:
    array = data[0] if isinstance(data, list | tuple) else data
    long = [axis for axis, size in enumerate(array.shape[:-2]) if size > 1]
    if len(long) > 1:
        name = attributes.get("name", "the layer")
        raise OutputError(
            f"{name!r} has shape {tuple(array.shape)}; save one with frames, height and width only."
        )
    axis = long[0] if long else None
    frames = 1 if axis is None else array.shape[axis]
    lead = array.ndim - 2
    largest = int(max(np.asarray(array[_key(lead, axis, frame)]).max() for frame in range(frames)))
    masks = ((frame, np.asarray(array[_key(lead, axis, frame)])) for frame in range(frames))
    EXPORTERS[kind](path, masks, frames=frames, shape=tuple(array.shape[-2:]), labels_max=max(largest, 1))
    return [path]


def _key(lead: int, axis: int | None, frame: int) -> tuple[int, ...]:
    return tuple(frame if each == axis else 0 for each in range(lead))
