"""Zarr arrays of version 2 and 3, and OME-Zarr images at full resolution."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_masktrack.core.movie import LazyArray
from napari_masktrack.errors import MovieError
from napari_masktrack.io.refusal import refusing, shown

if TYPE_CHECKING:
    import zarr

_MARKERS = (".zarray", ".zgroup", "zarr.json")
_LETTERS = {letter: letter for letter in "tzcyx"}
_LETTERS |= {"time": "t", "frame": "t", "frames": "t", "depth": "z", "channel": "c", "channels": "c"}
_OLD_OME_AXES = "tczyx"


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    marked = path.suffix.lower() == ".zarr" or any((path / marker).is_file() for marker in _MARKERS)
    return marked and path.is_dir()


def open_zarr(path: Path) -> tuple[LazyArray, str | None]:
    """Open a Zarr array, or the array of a group at full resolution.

    Parameters
    ----------
    path : Path
        Folder of the array or group.

    Returns
    -------
    array : zarr.Array
        Nothing of it is read yet.
    axes : str or None
        One letter per dimension where the metadata name them; ``q`` is a name we do not know.

    Raises
    ------
    MovieError
        It is no Zarr, is damaged, or does not say which of several arrays is the movie.
    """
    import zarr

    with refusing(path, MovieError):
        node = zarr.open(path, mode="r")
        array, names = _from_group(node, path) if isinstance(node, zarr.Group) else (node, _names(node))
    letters = "".join(_LETTERS.get(str(name).lower(), "q") for name in names or ())
    return array, letters if {"y", "x"} <= set(letters) and len(letters) == len(array.shape) else None


def _names(array: "zarr.Array[Any]") -> Sequence[Any] | None:
    """Give the names of dimensions: of version 3, or as xarray writes them."""
    stored: Any = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return stored if isinstance(stored, Sequence) else None


def _from_group(group: "zarr.Group", path: Path) -> "tuple[zarr.Array[Any], Sequence[Any] | None]":
    import zarr

    attributes: dict[str, Any] = dict(group.attrs.asdict())
    ome = attributes.get("ome", attributes)
    if "multiscales" in ome:
        image = ome["multiscales"][0]
        array = group[image["datasets"][0]["path"]]
        if not isinstance(array, zarr.Array):
            raise MovieError(f"{shown(path)} lacks the array that its metadata name; export it again.")
        axes = image.get("axes", _OLD_OME_AXES[-len(array.shape) :])
        return array, [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
    with warnings.catch_warnings():
        # Files that are no part of a Zarr, such as OME/METADATA.ome.xml, are none of our business.
        warnings.simplefilter("ignore")
        members = {name: node for name, node in group.members() if name not in ("OME", "labels")}
    if len(members) == 1:
        node = next(iter(members.values()))
        return _from_group(node, path) if isinstance(node, zarr.Group) else (node, _names(node))
    listed = ", ".join(sorted(members)[:5]) or "nothing"
    raise MovieError(f"{shown(path)} is a Zarr group of {shown(listed)}; give the path of one array in it.")
