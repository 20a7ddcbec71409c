"""Clean a predicted mask: drop what came from nowhere, fill holes, remove specks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, bounding_box

Step = Callable[[BoolImage, BoolImage], BoolImage]


def keep_touching(mask: BoolImage, previous: BoolImage, *, reach: float = 12.0) -> BoolImage:
    """Drop the parts of a mask that lie too far from where the object was.

    Parameters
    ----------
    mask : array, (Y, X), bool
        The prediction.
    previous : array, (Y, X), bool
        The object's mask on the frame before. When it is empty nothing is dropped.
    reach : float
        A part is kept when its nearest pixel is at most this many pixels from `previous`.

    Returns
    -------
    array, (Y, X), bool
        Fresh. Parts are connected over edges and corners.
    """
    box = bounding_box(mask | previous)
    if box is None or not previous.any():
        return mask.copy()
    place = np.s_[box[0] : box[2], box[1] : box[3]]
    near = previous[place]
    count, parts, _ = _parts(mask[place], connectivity=8)
    kept = _present(parts, near, count)
    if not kept.all():
        kept = _present(parts, _within(near, reach), count)
    kept[0] = False
    cleaned = np.zeros_like(mask)
    cleaned[place] = kept[parts]
    return cleaned


def fill_holes(
    mask: BoolImage,
    previous: BoolImage | None = None,  # noqa: ARG001 (the signature that all steps share)
    *,
    share: float = 0.05,
) -> BoolImage:
    """Fill small holes; a notch that is open to the outside or to the frame's border is no hole.

    Parameters
    ----------
    mask : array, (Y, X), bool
        The prediction.
    previous : array, (Y, X), bool, optional
        Not used.
    share : float
        Holes of at most this share of the mask's area are filled.

    Returns
    -------
    array, (Y, X), bool
        Fresh. Holes are connected over edges only.
    """
    filled = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return filled
    part = mask[box[0] : box[2], box[1] : box[3]]
    _, gaps, areas = _parts(np.pad(~part, 1, constant_values=True), connectivity=4)
    small = areas <= share * np.count_nonzero(part)
    small[0] = small[gaps[0, 0]] = False
    filled[box[0] : box[2], box[1] : box[3]] |= small[gaps[1:-1, 1:-1]]
    return filled


def remove_specks(
    mask: BoolImage,
    previous: BoolImage | None = None,  # noqa: ARG001 (the signature that all steps share)
    *,
    share: float = 0.02,
) -> BoolImage:
    """Drop parts that are tiny beside the largest one.

    Parameters
    ----------
    mask : array, (Y, X), bool
        The prediction.
    previous : array, (Y, X), bool, optional
        Not used.
    share : float
        Parts below this share of the largest part's area are dropped.

    Returns
    -------
    array, (Y, X), bool
        Fresh. Parts are connected over edges and corners; the largest one always stays.
    """
    box = bounding_box(mask)
    cleaned = np.zeros_like(mask)
    if box is None:
        return cleaned
    place = np.s_[box[0] : box[2], box[1] : box[3]]
    _, parts, areas = _parts(mask[place], connectivity=8)
    kept = areas >= share * areas[1:].max()
    kept[0] = False
    cleaned[place] = kept[parts]
    return cleaned


def _parts(mask: BoolImage, *, connectivity: int) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    """Return count (background, part 0, included), numbers (Y, X) and areas of the connected parts."""
    library = cv2()
    image = np.ascontiguousarray(mask).view(np.uint8)
    count, numbers, measures, _ = library.connectedComponentsWithStats(image, connectivity=connectivity)
    return count, numbers, measures[:, library.CC_STAT_AREA]


def _within(mask: BoolImage, reach: float) -> BoolImage:
    """Mark the pixels at most `reach` pixels away from a mask that is not empty."""
    box = bounding_box(mask)
    assert box is not None, "the previous mask has pixels"
    step = int(reach)
    place = np.s_[max(0, box[0] - step) : box[2] + step, max(0, box[1] - step) : box[3] + step]
    library = cv2()
    away = np.ascontiguousarray(~mask[place]).view(np.uint8)
    within = np.zeros_like(mask)
    within[place] = library.distanceTransform(away, library.DIST_L2, library.DIST_MASK_PRECISE) <= reach
    return within


def _present(numbers: NDArray[np.int32], where: BoolImage, count: int) -> BoolImage:
    """Tell for each number up to `count` whether it occurs there; for 0 always."""
    present = np.zeros(count, bool)
    present[numbers[where]] = True
    present[0] = True
    return present


STEPS: dict[str, Step] = {
    "keep_touching": keep_touching,
    "fill_holes": fill_holes,
    "remove_specks": remove_specks,
}
