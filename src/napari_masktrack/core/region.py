"""A mask kept only where it is, so that work on one object does not cost a whole frame."""

from dataclasses import dataclass

import numpy as np

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, BoundingBox, Window, bounding_box


@dataclass(frozen=True, eq=False)
class Region:
    """An object's pixels within its bounding box.

    Attributes
    ----------
    box : (y0, x0, y1, x1)
        In pixels of the frame, end excluded.
    mask : bool (y1 - y0, x1 - x0)
    """

    box: BoundingBox
    mask: BoolImage

    @classmethod
    def of(cls, mask: BoolImage, corner: tuple[int, int] = (0, 0)) -> "Region | None":
        """Return the region of a mask (Y, X) whose first pixel lies at `corner`; None when it is empty."""
        box = bounding_box(mask)
        if box is None:
            return None
        y0, x0, y1, x1 = box
        y, x = corner
        return cls((y0 + y, x0 + x, y1 + y, x1 + x), np.ascontiguousarray(mask[y0:y1, x0:x1]))

    @property
    def area(self) -> int:
        """Pixels of the object."""
        return int(np.count_nonzero(self.mask))

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box as y, x."""
        y0, x0, y1, x1 = self.box
        return (y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2

    @property
    def longer_side(self) -> int:
        """Longer side of the box in pixels."""
        y0, x0, y1, x1 = self.box
        return max(y1 - y0, x1 - x0)

    def to_mask(self, shape: tuple[int, int]) -> BoolImage:
        """Return the whole mask, bool (Y, X)."""
        image = np.zeros(shape, bool)
        y0, x0, y1, x1 = self.box
        image[y0:y1, x0:x1] = self.mask
        return image

    def crop(self, window: Window, size: int) -> BoolImage:
        """Return the window's part as bool (size, size)."""
        matrix = window.matrix(size)
        matrix[:, 2] += matrix[:, :2] @ (self.box[1], self.box[0])
        # one pixel of background around, so that a mask cut at its box keeps its outline when enlarged
        padded = np.pad(self.mask.view(np.uint8) * np.uint8(255), 1)
        matrix[:, 2] -= matrix[:, :2] @ (1, 1)
        return np.asarray(cv2().warpAffine(padded, matrix, (size, size), flags=cv2().INTER_LINEAR) > 127)

    def overlap(self, other: "Region") -> float:
        """Return J (intersection over union) with another region."""
        common = int(np.count_nonzero(self.mask & other.part(self.box)))
        return common / (self.area + other.area - common)

    def share_within(self, other: "Region") -> float:
        """Return the share of this object's pixels that are the other's too."""
        return int(np.count_nonzero(self.mask & other.part(self.box))) / self.area

    def part(self, bounds: BoundingBox) -> BoolImage:
        """Return the mask within bounds (y0, x0, y1, x1) of the frame, bool of their size."""
        image = np.zeros((bounds[2] - bounds[0], bounds[3] - bounds[1]), bool)
        y0, x0 = (max(a, b) for a, b in zip(self.box[:2], bounds[:2], strict=True))
        y1, x1 = (min(a, b) for a, b in zip(self.box[2:], bounds[2:], strict=True))
        if y0 < y1 and x0 < x1:
            y, x = self.box[:2]
            image[y0 - bounds[0] : y1 - bounds[0], x0 - bounds[1] : x1 - bounds[1]] = self.mask[
                y0 - y : y1 - y, x0 - x : x1 - x
            ]
        return image
