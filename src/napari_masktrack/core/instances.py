"""Cut a square around one object, put the answer back, and settle who owns which pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_masktrack.core._opencv import cv2

BoolImage = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]
Probability = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint16]
BoundingBox = tuple[int, int, int, int]
BACKGROUND = 0.5
"""Probability of the background when objects compete for a pixel."""


@dataclass(frozen=True)
class Window:
    """A square region of the frame that the network looks at.

    Attributes
    ----------
    y, x : float
        Centre in pixels of the frame; the middle of pixel (0, 0) is (0, 0).
    side : float
        Length of the square's side in pixels of the frame. The square may reach beyond the frame.
    """

    y: float
    x: float
    side: float

    def matrix(self, size: int) -> npt.NDArray[np.float64]:
        """Return the (2, 3) affine map from frame (x, y) to pixels (x, y) of a crop of `size` px."""
        zoom = size / self.side
        middle = (size - 1) / 2
        return np.array([[zoom, 0, middle - zoom * self.x], [0, zoom, middle - zoom * self.y]])

    def bounds(self, shape: tuple[int, int]) -> BoundingBox:
        """Return the box (y0, x0, y1, x1), end excluded, of the pixels of the frame inside."""
        half = self.side / 2
        y0, x0 = (max(0, int(np.floor(c - half))) for c in (self.y, self.x))
        y1 = min(shape[0], int(np.ceil(self.y + half)) + 1)
        x1 = min(shape[1], int(np.ceil(self.x + half)) + 1)
        return min(y0, shape[0]), min(x0, shape[1]), max(y1, 0), max(x1, 0)

    def grown(self, share: float, shape: tuple[int, int]) -> "Window":
        """Return the window enlarged by `share`, at most to 1.2 times the frame's longer side."""
        return Window(self.y, self.x, min(self.side * (1 + share), 1.2 * max(shape)))


def bounding_box(mask: BoolImage) -> BoundingBox | None:
    """Return the box (y0, x0, y1, x1), end excluded, around the mask (Y, X); None when it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def meet(one: BoundingBox, other: BoundingBox) -> bool:
    """Tell whether two boxes (y0, x0, y1, x1), ends excluded, have a pixel in common."""
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])


def window_around(box: BoundingBox, *, margin: float, smallest: float = 24.0) -> Window:
    """Return the square around a box whose side is `margin` times the box's longer side.

    Parameters
    ----------
    box : (y0, x0, y1, x1)
        In pixels, end excluded.
    margin : float
        Side of the window in sizes of the box.
    smallest : float
        Least side in pixels, so that a speck keeps some surroundings.
    """
    y0, x0, y1, x1 = box
    side = max(smallest, margin * max(y1 - y0, x1 - x0))
    return Window((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2, float(side))


def crop_image(image: Image, window: Window, size: int) -> Image:
    """Return the window of an image (Y, X, 3) as a (size, size, 3) crop; outside is the edge repeated."""
    library = cv2()
    shrink = window.side > 1.5 * size
    flags = library.INTER_AREA if shrink else library.INTER_LINEAR
    if shrink:
        # warpAffine samples single pixels; a smaller copy first keeps fine patterns from aliasing.
        y0, x0, y1, x1 = window.bounds((image.shape[0], image.shape[1]))
        if y1 - y0 > 1 and x1 - x0 > 1:
            return _crop_reduced(image, window, size, (y0, x0, y1, x1))
        flags = library.INTER_LINEAR
    crop = library.warpAffine(
        image, window.matrix(size), (size, size), flags=flags, borderMode=library.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def _crop_reduced(image: Image, window: Window, size: int, bounds: BoundingBox) -> Image:
    library = cv2()
    y0, x0, y1, x1 = bounds
    zoom = size / window.side
    height, width = max(1, round((y1 - y0) * zoom)), max(1, round((x1 - x0) * zoom))
    small = library.resize(image[y0:y1, x0:x1], (width, height), interpolation=library.INTER_AREA)
    zoom_y, zoom_x = height / (y1 - y0), width / (x1 - x0)
    to_small = np.array(
        [[zoom_x, 0, (0.5 - x0) * zoom_x - 0.5], [0, zoom_y, (0.5 - y0) * zoom_y - 0.5], [0, 0, 1]]
    )
    to_crop = np.vstack([window.matrix(size), [0, 0, 1]])
    matrix = (to_crop @ np.linalg.inv(to_small))[:2]
    crop = library.warpAffine(
        small, matrix, (size, size), flags=library.INTER_LINEAR, borderMode=library.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def crop_mask(mask: BoolImage, window: Window, size: int) -> BoolImage:
    """Return the window of a mask (Y, X) as a (size, size) boolean crop; outside is False."""
    library = cv2()
    crop = library.warpAffine(
        mask.view(np.uint8) * np.uint8(255), window.matrix(size), (size, size), flags=library.INTER_LINEAR
    )
    return np.asarray(crop > 127)


def paste(crop: Probability, window: Window, shape: tuple[int, int]) -> tuple[Probability, BoundingBox]:
    """Return a crop's values on the pixels of the frame that its window covers.

    Parameters
    ----------
    crop : float32 (S, S)
    window : Window
    shape : (Y, X)
        Of the frame in pixels.

    Returns
    -------
    values : float32 (y1 - y0, x1 - x0)
        Zero where the crop does not reach.
    box : (y0, x0, y1, x1)
        Where the values lie in the frame; empty when the window lies outside.
    """
    library = cv2()
    y0, x0, y1, x1 = window.bounds(shape)
    if y1 <= y0 or x1 <= x0:
        return np.zeros((0, 0), np.float32), (0, 0, 0, 0)
    matrix = window.matrix(crop.shape[0])
    matrix[:, 2] += matrix[:, :2] @ (x0, y0)
    flags = library.INTER_LINEAR | library.WARP_INVERSE_MAP
    values = library.warpAffine(crop, matrix, (x1 - x0, y1 - y0), flags=flags)
    return np.asarray(values, np.float32), (y0, x0, y1, x1)


def merge(
    pieces: Mapping[int, tuple[Probability, BoundingBox]] | Sequence[tuple[int, Probability, BoundingBox]],
    shape: tuple[int, int],
    *,
    background: float = BACKGROUND,
) -> Labels:
    """Give every pixel to its most probable object; the background counts `background`.

    Parameters
    ----------
    pieces : mapping id -> (values, box), or sequence of (id, values, box)
        Probabilities of each object, float32, on its box of the frame; 0 elsewhere.
    shape : (Y, X)
    background : float
        Probability that an object has to exceed.

    Returns
    -------
    uint16 (Y, X)
        Object ids; 0 is background. Of equals the one given first wins.
    """
    triples = [(k, *v) for k, v in pieces.items()] if isinstance(pieces, Mapping) else pieces
    best = np.full(shape, background, np.float32)
    labels = np.zeros(shape, np.uint16)
    for label, values, (y0, x0, y1, x1) in triples:
        region = (slice(y0, y1), slice(x0, x1))
        wins = values > best[region]
        best[region][wins] = values[wins]
        labels[region][wins] = label
    return labels
