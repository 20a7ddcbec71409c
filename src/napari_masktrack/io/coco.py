"""Results as COCO annotations: one JSON file with run-length encoded masks.

Format: cocodataset.org, "Data format". Every object is of the one category "object"; ``track_id``
is the object's id and stays the same on all frames. Images are named as the files of the movie's frames,
by which other programs find them; frames that are no files are named by their index.
"""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import OutputError
from napari_masktrack.io.images import list_images
from napari_masktrack.io.targets import check_new_file, replacing
from napari_masktrack.io.writers import Labels, LabelWriter


class CocoWriter(LabelWriter):
    """One JSON file; frames that were not written are not listed among its images.

    It needs the optional package pycocotools. Encoded masks are kept until the end, a few hundred
    bytes for each object and frame.
    """

    images: Sequence[str] = ()
    """Names of the files of all frames of the movie; none where they are no files."""

    def _check(self) -> None:
        self._codec = _load_codec()
        check_new_file(self.path)
        self._found: dict[int, list[dict[str, Any]]] = {}

    def _write(self, frame: int, labels: Labels) -> None:
        ids = [int(label) for label in np.unique(labels) if label]
        self._found[frame] = [self._encode(labels == label) | {"track_id": label} for label in ids]

    def _finish(self) -> None:
        if not self._found:
            return
        height, width = self.layout.shape
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for frame in sorted(self._found):
            size = {"height": height, "width": width}
            images.append({"id": frame + 1, "file_name": self._name(frame), "frame_index": frame} | size)
            for found in self._found[frame]:
                head = {"id": len(annotations) + 1, "image_id": frame + 1, "category_id": 1, "iscrowd": 0}
                annotations.append(head | found)
        categories = [{"id": 1, "name": "object", "supercategory": "object"}]
        info = {"description": "object masks of a movie, one image per frame"}
        content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
        with replacing(self.path) as part, part.open("w", encoding="ascii") as stream:
            json.dump(content, stream)

    def _name(self, frame: int) -> str:
        known = self.layout.indices[-1] < len(self.images)
        return self.images[frame] if known else f"{self.layout.number(frame, 5)}.png"

    def _encode(self, mask: Labels) -> dict[str, Any]:
        rle = self._codec.encode(np.asfortranarray(mask, dtype=np.uint8))
        return {
            "segmentation": {
                "size": [int(side) for side in rle["size"]],
                "counts": rle["counts"].decode("ascii"),
            },
            "area": int(self._codec.area(rle)),
            "bbox": [float(side) for side in self._codec.toBbox(rle)],  # x, y, width, height
        }


def image_names(movie: Movie, place: Path) -> tuple[str, ...]:
    """Return the names of the files of a movie's frames, with their endings.

    Parameters
    ----------
    movie : Movie
    place : Path
        What it was opened from.

    Returns
    -------
    tuple of str
        One for each frame; none where frames are no files.

    Raises
    ------
    MovieError
        The folder cannot be read any more.
    """
    if not movie.frame_names:
        return ()
    files = list_images(place) if place.is_dir() else [place]
    fits = tuple(path.stem for path in files) == movie.frame_names
    return tuple(path.name for path in files) if fits else ()


def _load_codec() -> Any:
    try:
        return importlib.import_module("pycocotools.mask")
    except ImportError as error:
        raise OutputError(
            "COCO export needs pycocotools; install it: python -m pip install pycocotools"
        ) from error
