"""Optical flow between frames: carry a mask along, or picture how much everything moves."""

from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, bounding_box
from napari_masktrack.errors import InputError

Image = NDArray[np.uint8]
Flow = NDArray[np.float32]
Field = TypeVar("Field", Image, Flow)
Preset = Literal["ultrafast", "fine", "finest", "medium"]

LONGEST_SIDE = 1024
"""Frames that are larger are reduced to this many pixels before the flow is computed."""
SMALLEST_SIDE = 64
"""Smaller images are padded: DIS crashes on images with a side below about 32 pixels."""
LIKE = 0.5
"""From this correlation on, the previous frame, carried along, clearly shows the same thing."""
LARGEST_DISAGREEMENT = 0.5
"""Below it, forward and backward flow must agree within this share of the motion plus one pixel."""
LARGEST_GROWTH = 4.0
"""A mask that grows or shrinks by more than this factor in one frame was torn, not moved."""


def optical_flow(first: Image, second: Image, *, preset: Preset | None = None) -> Flow:
    """Find where each pixel of one image lies in another (dense inverse search).

    Parameters
    ----------
    first, second : array, (Y, X) or (Y, X, 3), uint8
        Two images of the same size, grey or RGB.
    preset : {"ultrafast", "fine", "finest", "medium"}, optional
        Better is slower: about 6, 16, 64 and 45 ms for 480 x 854 pixels on one core; "medium" is the
        smoothest. None takes the best of the first three that needs about 10 ms or less.

    Returns
    -------
    array, (Y, X, 2), float32
        ``(dx, dy)`` in pixels, OpenCV's order: what is at ``(y, x)`` in `first` is at
        ``(y + dy, x + dx)`` in `second`.

    Raises
    ------
    InputError
        The images differ in size or are not uint8.

    References
    ----------
    Kroeger et al., Fast optical flow using dense inverse search, ECCV 2016.
    """
    grey = [_grey(image) for image in (first, second)]
    if grey[0].shape != grey[1].shape:
        raise InputError(f"Frames of {grey[0].shape} and {grey[1].shape} pixels; give two of the same size.")
    height, width = grey[0].shape
    missing = max(0, SMALLEST_SIDE - height), max(0, SMALLEST_SIDE - width)
    if any(missing):
        grey = [np.pad(image, ((0, missing[0]), (0, missing[1])), mode="edge") for image in grey]
    quality, finest_scale = PRESETS[preset or _affordable(height * width)]
    search = cv2().DISOpticalFlow_create(quality)
    search.setFinestScale(finest_scale)
    flow: Flow = search.calc(*grey, None)
    cv2().patchNaNs(flow, 0.0)
    return flow[:height, :width]


def warp_mask(mask: BoolImage, flow_current_to_previous: Flow) -> BoolImage:
    """Carry a mask from the previous frame to the current one, whatever the flow is worth.

    Parameters
    ----------
    mask : array, (Y, X), bool
        Mask on the previous frame.
    flow_current_to_previous : array, (Y, X, 2), float32
        ``optical_flow(current, previous)``.

    Returns
    -------
    array, (Y, X), bool

    Raises
    ------
    InputError
        Mask and flow differ in size.
    """
    flow = flow_current_to_previous
    if mask.shape != flow.shape[:2]:
        raise InputError(f"A mask of {mask.shape} pixels on frames of {flow.shape[:2]}; give the same size.")
    moved = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is None:
        return moved
    # What arrives comes from within the box, so it lies no farther from it than the longest step.
    step = int(min(np.ceil(cv2().norm(flow, cv2().NORM_INF)), max(mask.shape))) + 1
    y0, x0, y1, x1 = max(0, box[0] - step), max(0, box[1] - step), box[2] + step, box[3] + step
    source = np.ascontiguousarray(mask[box[0] : box[2], box[1] : box[3]]).view(np.uint8) * np.uint8(255)
    moved[y0:y1, x0:x1] = _fetch(source, flow[y0:y1, x0:x1], (y0 - box[0], x0 - box[1]), outside=0) > 127
    return moved


class MaskWarp:
    """Carries masks from the previous frame to the current one; the flow is computed once for all.

    Parameters
    ----------
    previous, current : array, (Y, X) or (Y, X, 3), uint8
        The two frames.
    longest_side : int
        Larger frames are reduced to this many pixels before the flow is computed: faster, coarser.
    preset : {"ultrafast", "fine", "finest", "medium"}, optional
        As for `optical_flow`.

    Attributes
    ----------
    flow : array, (Y, X, 2), float32
        From the current frame to the previous one, at full resolution.

    Raises
    ------
    InputError
        The frames differ in size or are not uint8.
    """

    def __init__(
        self,
        previous: Image,
        current: Image,
        *,
        longest_side: int = LONGEST_SIDE,
        preset: Preset | None = None,
    ) -> None:
        small = [_reduce(_grey(image), longest_side) for image in (previous, current)]
        self._before, self._now = small
        self._preset = preset
        self._flow = optical_flow(self._now, self._before, preset=preset)
        self.flow = _resize_flow(self._flow, (current.shape[0], current.shape[1]))

    def warp(self, mask: BoolImage) -> tuple[BoolImage, bool]:
        """Carry a mask along, unless the flow cannot be trusted near this object.

        It is not when the previous frame, carried along, resembles the current one around the
        object less than it did in place; when it resembles it little, and the flow there does not
        lead back (a cut, a jump); or when the mask was torn or swallowed.

        Parameters
        ----------
        mask : array, (Y, X), bool
            Mask on the previous frame.

        Returns
        -------
        mask : array, (Y, X), bool
            The moved mask; the given one, as a copy, when the flow is not trusted.
        trusted : bool
            Whether the mask was moved. False for an empty mask.
        """
        moved = warp_mask(mask, self.flow)
        before, after = int(np.count_nonzero(mask)), int(np.count_nonzero(moved))
        if not before or not 1 / LARGEST_GROWTH <= after / before <= LARGEST_GROWTH:
            return mask.copy(), False
        place = self._surroundings(mask | moved)
        carried = _fetch(self._before, self._flow[place], (place[0].start, place[1].start))
        likeness = _correlation(carried, self._now[place])
        worse = likeness < _correlation(self._before[place], self._now[place])
        if worse or (likeness < LIKE and not self._leads_back(moved, place)):
            return mask.copy(), False
        return moved, True

    def _leads_back(self, moved: BoolImage, place: tuple[slice, slice]) -> bool:
        """Tell whether the flow forth and back ends near where it began, on most of the mask."""
        forth = self._flow[place]
        error = forth + _fetch(self._reverse, forth, (place[0].start, place[1].start))
        small = cv2().resize(moved.view(np.uint8), self._now.shape[::-1], interpolation=cv2().INTER_NEAREST)
        there = small[place] > 0
        if not there.any():
            return False
        length, distance = (np.median(np.linalg.norm(field[there], axis=1)) for field in (forth, error))
        return bool(distance <= LARGEST_DISAGREEMENT * (1 + length))

    @cached_property
    def _reverse(self) -> Flow:
        return optical_flow(self._before, self._now, preset=self._preset)

    def _surroundings(self, mask: BoolImage) -> tuple[slice, slice]:
        """Give the object's box, a tenth wider, in pixels of the reduced frames."""
        box = bounding_box(mask)
        assert box is not None, "an empty mask is never trusted"
        zoom = self._now.shape[0] / mask.shape[0], self._now.shape[1] / mask.shape[1]
        margin = 2 + int(0.1 * max(box[2] - box[0], box[3] - box[1]) * max(zoom))
        y0, x0 = max(0, int(box[0] * zoom[0]) - margin), max(0, int(box[1] * zoom[1]) - margin)
        y1, x1 = int(box[2] * zoom[0]) + margin + 1, int(box[3] * zoom[1]) + margin + 1
        return slice(y0, y1), slice(x0, x1)


def warp(
    mask: BoolImage,
    previous: Image,
    current: Image,
    *,
    longest_side: int = LONGEST_SIDE,
    preset: Preset | None = None,
) -> tuple[BoolImage, bool]:
    """Carry one mask from the previous frame to the current one; see `MaskWarp` for several.

    Parameters
    ----------
    mask : array, (Y, X), bool
        Mask on the previous frame.
    previous, current : array, (Y, X) or (Y, X, 3), uint8
        The two frames.
    longest_side : int
        Larger frames are reduced to this many pixels before the flow is computed.
    preset : {"ultrafast", "fine", "finest", "medium"}, optional
        As for `optical_flow`.

    Returns
    -------
    mask : array, (Y, X), bool
        The moved mask, or a copy of the given one when the flow is not trusted.
    trusted : bool
        Whether the mask was moved.
    """
    return MaskWarp(previous, current, longest_side=longest_side, preset=preset).warp(mask)


def flow_magnitude_image(
    previous: Image | None, current: Image, following: Image | None, *, preset: Preset = "medium"
) -> Image:
    """Picture how much each pixel moves, for the second stream (paper, sections 3.3 and D).

    The median motion is subtracted from the flow to the frame before and to the frame after, the
    two magnitudes are averaged, and the result is scaled to 0-255.

    Parameters
    ----------
    previous, current, following : array, (Y, X) or (Y, X, 3), uint8
        Three frames in a row; None before the first and after the last one.
    preset : {"ultrafast", "fine", "finest", "medium"}
        As for `optical_flow`.

    Returns
    -------
    array, (Y, X, 3), uint8
        Three equal planes. Black where nothing moves, or when there is no other frame.
    """
    others = [image for image in (previous, following) if image is not None]
    magnitude = np.zeros(current.shape[:2], np.float32)
    for other in others:
        flow = optical_flow(current, other, preset=preset)
        magnitude += np.linalg.norm(flow - np.median(flow, axis=(0, 1)), axis=2) / len(others)
    # Below a tenth of a pixel there is no motion to show, only the noise of the estimate.
    brightest = max(float(magnitude.max()), 0.1)
    plane = np.round(magnitude * (255 / brightest)).astype(np.uint8)
    return np.repeat(plane[..., None], 3, axis=2)


def _affordable(pixels: int) -> Preset:
    if pixels <= 200 * 200:
        return "finest"
    return "fine" if pixels <= 512 * 512 else "ultrafast"


def _grey(image: Image) -> Image:
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise InputError(f"A frame of {image.dtype} and shape {image.shape}; give uint8 (Y, X) or (Y, X, 3).")
    grey: Image = image if image.ndim == 2 else cv2().cvtColor(image, cv2().COLOR_RGB2GRAY)
    return grey


def _reduce(image: Image, longest_side: int) -> Image:
    height, width = image.shape
    scale = longest_side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    reduced: Image = cv2().resize(image, size, interpolation=cv2().INTER_AREA)
    return reduced


def _resize_flow(flow: Flow, shape: tuple[int, int]) -> Flow:
    if flow.shape[:2] == shape:
        return flow
    stretch = np.array([shape[1] / flow.shape[1], shape[0] / flow.shape[0]], np.float32)
    resized: Flow = cv2().resize(flow, shape[::-1], interpolation=cv2().INTER_LINEAR)
    return resized * stretch


def _fetch(source: Field, flow: Flow, corner: tuple[int, int], *, outside: int | None = None) -> Field:
    """Give each pixel of the flow the value at its end; pixel (0, 0) lies at `corner` of the source."""
    places = flow.copy()
    places[..., 0] += np.arange(corner[1], corner[1] + flow.shape[1], dtype=np.float32)
    places[..., 1] += np.arange(corner[0], corner[0] + flow.shape[0], dtype=np.float32)[:, None]
    border = cv2().BORDER_REPLICATE if outside is None else cv2().BORDER_CONSTANT
    fetched: Field = cv2().remap(
        source, places, None, cv2().INTER_LINEAR, borderMode=border, borderValue=outside or 0
    )
    return fetched


def _correlation(first: Image, second: Image) -> float:
    """Pearson correlation of two images; 0 when one of them is flat."""
    (mean, spread), (other_mean, other_spread) = map(cv2().meanStdDev, (first, second))
    product = float(cv2().mean(cv2().multiply(first, second, dtype=cv2().CV_32F))[0])
    scale = float(spread.item() * other_spread.item())
    return (product - float(mean.item() * other_mean.item())) / scale if scale > 1e-6 else 0.0


PRESETS: dict[Preset, tuple[int, int]] = {
    "ultrafast": (0, 2),
    "fine": (0, 1),
    "finest": (0, 0),
    "medium": (2, 1),
}
"""OpenCV's number of the preset and the finest level of the pyramid (0 is full resolution)."""
