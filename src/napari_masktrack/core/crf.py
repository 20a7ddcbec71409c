"""Sharpen masks with a fully connected CRF over a few frames (paper, section 5.3 and supplement D).

Pixels that look alike and lie near one another, in space and time, pull each other to one side. Two
kernels: appearance (colour and place) and smoothness (place within the frame). The energy is that of
Krähenbühl and Koltun, NIPS 2011, with each kernel normalised symmetrically and a pixel's weight on
itself kept, as in their published code.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from napari_masktrack.config import Checked
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.deformation import dilate
from napari_masktrack.core.instances import BoolImage, BoundingBox, Image, Probability, bounding_box
from napari_masktrack.core.lattice import Lattice, TooFarApartError
from napari_masktrack.errors import InputError, MaskTrackWarning

Floats = NDArray[np.float32]
Patch = tuple[Probability, BoundingBox]
"""Probabilities of an object on a box (y0, x0, y1, x1) of the frame; 0 elsewhere."""

CERTAIN = 1e-4
"""Probabilities nearer to 0 or 1 count as this: out of reach for the default weights."""
DOUBTFUL = (0.05, 0.95)
"""Pixels between these probabilities, and the mask's outline, are in doubt."""

FEW_POINTS = 1000
"""No work is done with fewer pixels than this, if there are more."""

UNSHARPENED = "An object is too large for the CRF; its masks stay as the network gave them."


@dataclass(frozen=True, kw_only=True)
class CrfConfig(Checked):
    """How the fully connected CRF sharpens the masks (paper, supplement D)."""

    appearance: float = field(
        default=5.0, metadata={"tooltip": "weight of the appearance kernel", "min": 0.0, "max": 1000.0}
    )
    colour: float = field(
        default=10.0,
        metadata={"tooltip": "appearance: std of red, green, blue", "min": 1.0, "max": 255.0},
    )
    distance: float = field(
        default=5.0,
        metadata={"tooltip": "appearance: std in pixels and frames", "min": 1.0, "max": 200.0},
    )
    smoothness: float = field(
        default=1.0, metadata={"tooltip": "weight of the smoothness kernel", "min": 0.0, "max": 1000.0}
    )
    radius: float = field(
        default=1.0,
        metadata={"tooltip": "smoothness: std in pixels", "min": 0.1, "max": 50.0},
    )
    iterations: int = field(default=10, metadata={"tooltip": "mean-field iterations", "min": 1, "max": 100})
    reach: float = field(
        default=2.0,
        metadata={
            "tooltip": "how near doubtful pixels others take part, in distances",
            "min": 0.0,
            "max": 10.0,
        },
    )
    points: int = field(
        default=150_000,
        metadata={
            "tooltip": "with more doubtful pixels, work is done reduced",
            "min": FEW_POINTS,
            "max": 10**7,
        },
    )


def fast_crf(share: float = 1.0) -> CrfConfig:
    """Return a CRF for every frame: about 10 ms for an object at 854x480 instead of 150.

    Pixels hear from farther away than in the paper, but only those beside the outline take part. The numbers
    were chosen on the development sequences (docs/benchmarks.md).

    Parameters
    ----------
    share : float
        Share of the pixels, in (0, 1]: less for each where many objects are sharpened.
    """
    points = max(FEW_POINTS, round(6_000 * share))
    return CrfConfig(distance=20.0, smoothness=0.0, iterations=2, reach=0.15, points=points)


def mean_field(
    images: Image,
    probabilities: Probability,
    config: CrfConfig,
    *,
    active: BoolImage | None = None,
    zoom: float = 1.0,
) -> Probability:
    """Infer the probabilities under the fully connected CRF by mean-field iterations.

    Parameters
    ----------
    images : uint8 (T, Y, X, 3)
        Frames in a row.
    probabilities : float32 (T, Y, X)
        Of one object.
    config : CrfConfig
    active : bool (Y, X), optional
        Only these pixels take part, on every frame; all by default.
    zoom : float
        Pixels of the images per pixel of the frame, in which the lengths of the config are meant.

    Returns
    -------
    float32 (T, Y, X)
        As given outside `active`.

    Raises
    ------
    InputError
        The shapes do not fit, or the image is too large for such small standard deviations.
    """
    if active is None:
        active = np.ones(probabilities.shape[1:], bool)
    if images.shape != (*probabilities.shape, 3) or active.shape != probabilities.shape[1:]:
        raise InputError(
            f"Images of shape {images.shape}, probabilities {probabilities.shape}, active {active.shape}; "
            "give (T, Y, X, 3), (T, Y, X) and (Y, X)."
        )
    result = probabilities.astype(np.float32)
    if not active.any():
        return result
    given = logit(np.clip(result[:, active], CERTAIN, 1 - CERTAIN)).astype(np.float32)
    kernels: list[tuple[float, _Normalised]] = []
    if config.appearance:
        appearance = _Appearance(images, active, config, zoom)
        kernels.append((config.appearance, _Normalised(appearance, given.shape)))
    if config.smoothness:
        smoothness = _Smoothness(active, config.radius * zoom)
        kernels.append((config.smoothness, _Normalised(smoothness, given.shape)))
    state = given
    for _ in range(config.iterations):
        side = np.tanh(state / 2)
        state = given + sum(np.float32(weight) * kernel.message(side) for weight, kernel in kernels)
    result[:, active] = expit(state)
    return result


class _Appearance:
    """Gaussian of colour, place and time, summed over the active pixels of all frames."""

    def __init__(self, images: Image, active: BoolImage, config: CrfConfig, zoom: float) -> None:
        frames = len(images)
        colour = images[:, active].reshape(-1, 3).T / np.float32(config.colour)
        place = np.tile(np.stack(np.nonzero(active)), frames) / np.float32(config.distance * zoom)
        self._lattice = Lattice(np.concatenate([colour, place]).astype(np.float32))
        # Time needs no dimension of its own: its few values make a matrix of almost the lowest rank.
        when = np.arange(frames) / config.distance
        sizes, axes = np.linalg.eigh(np.exp(-0.5 * (when[:, None] - when) ** 2))
        kept = sizes > 1e-3 * sizes[-1]
        self._times = (axes[:, kept] * np.sqrt(sizes[kept])).astype(np.float32)[:, None]

    def filter(self, values: Floats) -> Floats:
        parts = values[..., None] * self._times
        filtered = self._lattice.filter(parts.reshape(-1, parts.shape[-1])).reshape(parts.shape)
        summed: Floats = (filtered * self._times).sum(axis=-1)
        return summed


class _Smoothness:
    """Gaussian of place, summed over the active pixels of the same frame."""

    def __init__(self, active: BoolImage, radius: float) -> None:
        taps = np.arange(-int(np.ceil(4 * radius)), int(np.ceil(4 * radius)) + 1)
        self._taps = np.exp(-0.5 * (taps / radius) ** 2).astype(np.float32)
        self._active = active

    def filter(self, values: Floats) -> Floats:
        plane = np.zeros(self._active.shape, np.float32)
        filtered = np.empty_like(values)
        for source, target in zip(values, filtered, strict=True):
            plane[self._active] = source
            sums = cv2().sepFilter2D(plane, -1, self._taps, self._taps, borderType=cv2().BORDER_CONSTANT)
            target[:] = sums[self._active]
        return filtered


class _Normalised:
    """A kernel divided by the root of its sums over both pixels."""

    def __init__(self, kernel: _Appearance | _Smoothness, shape: tuple[int, ...]) -> None:
        self._kernel = kernel
        sums = kernel.filter(np.ones(shape, np.float32))
        self._scale = np.maximum(sums, np.float32(1e-20)) ** np.float32(-0.5)

    def message(self, values: Floats) -> Floats:
        """Return what each active pixel (T, N) hears from the others, in [-1, 1] or little more."""
        message: Floats = self._scale * self._kernel.filter(self._scale * values)
        return message


def sharpen(
    images: Sequence[Image], patches: Sequence[Patch], middle: int, config: CrfConfig | None = None
) -> Patch:
    """Sharpen the mask of one object on one frame, with the frames around it.

    Parameters
    ----------
    images : sequence of uint8 (Y, X, 3)
        The frame and its neighbours, in the order of time: three for the paper's window.
    patches : sequence of (float32 (y1 - y0, x1 - x0), (y0, x0, y1, x1))
        The object's probabilities on each of them.
    middle : int
        Which of them is sharpened.
    config : CrfConfig, optional
        Lengths are in pixels of the frame.

    Returns
    -------
    patch
        On the same box. The given one where nothing is in doubt, or a user painted it (above 1); and,
        with a warning, where the object is too large for such small standard deviations.

    Warns
    -----
    MaskTrackWarning
    """
    config = config or CrfConfig()
    values, box = patches[middle]
    if values.size == 0 or values.max() > 1:
        return values, box
    band = dilate(_doubtful(values), config.reach * config.distance)
    around = bounding_box(band)
    if around is None:
        return values, box
    here = np.s_[around[0] : around[2], around[1] : around[3]]
    corner = box[0] + around[0], box[1] + around[1]
    bounds = (*corner, box[0] + around[2], box[1] + around[3])
    frames = [image[bounds[0] : bounds[2], bounds[1] : bounds[3], :3] for image in images]
    given = [_part(patch, bounds) for patch in patches]
    try:
        inferred = _within_budget(frames, given, middle, band=band[here], config=config)
    except TooFarApartError:
        warnings.warn(UNSHARPENED, MaskTrackWarning, stacklevel=1)
        return values, box
    sharpened = values.astype(np.float32)
    sharpened[here][band[here]] = inferred[band[here]]
    return sharpened, box


def _doubtful(values: Probability) -> BoolImage:
    """Return the pixels that are neither clearly object nor clearly background, and the outline."""
    low, high = DOUBTFUL
    mask = (values > 0.5).view(np.uint8)
    outline = cv2().morphologyEx(mask, cv2().MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return np.asarray(outline | ((values > low) & (values < high)))


def _part(patch: Patch, bounds: BoundingBox) -> Probability:
    """Return a patch's values within bounds of the frame; 0 where it does not reach."""
    values, box = patch
    part = np.zeros((bounds[2] - bounds[0], bounds[3] - bounds[1]), np.float32)
    y0, x0 = max(box[0], bounds[0]), max(box[1], bounds[1])
    y1, x1 = min(box[2], bounds[2]), min(box[3], bounds[3])
    if y0 < y1 and x0 < x1:
        inside = values[y0 - box[0] : y1 - box[0], x0 - box[1] : x1 - box[1]]
        part[y0 - bounds[0] : y1 - bounds[0], x0 - bounds[1] : x1 - bounds[1]] = inside
    return part


def _within_budget(
    images: Sequence[Image], given: Sequence[Probability], middle: int, *, band: BoolImage, config: CrfConfig
) -> Probability:
    """Infer one frame's probabilities, at a resolution at which about `points` pixels take part, or fewer."""
    count = len(images) * int(np.count_nonzero(band))
    if count <= config.points:
        whole: Probability = mean_field(np.stack(images), np.stack(given), config, active=band)[middle]
        return whole
    zoom = float(np.sqrt(config.points / count))
    height, width = band.shape
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    inferred = mean_field(
        np.stack([cv2().resize(image, size) for image in images]),
        np.stack([cv2().resize(plane, size) for plane in given]),
        config,
        active=cv2().resize(band.view(np.uint8), size, interpolation=cv2().INTER_NEAREST) > 0,
        zoom=zoom,
    )
    enlarged: Probability = cv2().resize(inferred[middle], (width, height))
    return enlarged
