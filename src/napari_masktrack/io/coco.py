"""Results as COCO annotations: one JSON file with run-length encoded masks.

Format: cocodataset.org, "Data format". Every object is of the one category "object"; ``track_id``
is the object's id and stays the same on all frames.
"""

import importlib
import json
from typing import Any

import numpy as np

from napari_masktrack.errors import OutputError
from napari_masktrack.io.targets import check_new_file, replacing
from napari_masktrack.io.writers import Labels, LabelWriter


class CocoWriter(LabelWriter):
    """One JSON file; frames that were not written are not listed among its images.

    It needs the optional package pycocotools. Encoded masks are kept until the end, a few hundred
    bytes for each object and frame.
    """

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
            name = f"{self.layout.number(frame, 5)}.png"
            size = {"height": height, "width": width}
            images.append({"id": frame + 1, "file_name": name, "frame_index": frame} | size)
            for found in self._found[frame]:
                head = {"id": len(annotations) + 1, "image_id": frame + 1, "category_id": 1, "iscrowd": 0}
                annotations.append(head | found)
        categories = [{"id": 1, "name": "object", "supercategory": "object"}]
        info = {"description": "object masks of a movie, one image per frame"}
        content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
        with replacing(self.path) as part, part.open("w", encoding="ascii") as stream:
            json.dump(content, stream)

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


def _load_codec() -> Any:
    try:
        return importlib.import_module("pycocotools.mask")
    except ImportError as error:
        raise OutputError(
            "COCO export needs pycocotools; install it: python -m pip install pycocotools"
        ) from error
