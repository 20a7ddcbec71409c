"""Change what a scene looks like: light, blur, noise, and other objects beside or before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, Image, bounding_box

_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Scene:
    """One image with one object.

    Attributes
    ----------
    image : uint8 (Y, X, 3)
    target : bool (Y, X)
        The true mask.
    known : bool (Y, X)
        Where the truth is known; elsewhere nothing is learned.
    jump : float
        How far such objects move between frames, in units of the usual range.
    trace : bool (Y, X), optional
        Where the object was before something came in front of it, or before it left; the target
        itself by default. Guidance is made from it.
    lost : bool
        The object was out of sight: there is no guidance.
    other : bool (Y, X), optional
        Another object beside this one, onto which guidance may stray.
    origin : Scene, optional
        The annotated frame of which this scene was made; itself by default.
    """

    image: Image
    target: BoolImage
    known: BoolImage
    jump: float = 1.0
    trace: BoolImage | None = None
    lost: bool = False
    other: BoolImage | None = None
    origin: "Scene | None" = None

    @property
    def past(self) -> BoolImage:
        """Where the object was on the frame before, as far as it did not move."""
        return self.target if self.trace is None else self.trace


def surroundings(scene: Scene) -> Scene:
    """Cut a large image down to five object sizes around the object, so that work on it stays cheap."""
    y0, x0, y1, x1 = bounding_box(scene.past) or (0, 0, *scene.target.shape)
    reach = 2 * max(y1 - y0, x1 - x0, 16)
    height, width = scene.target.shape
    region = (
        slice(max(0, y0 - reach), min(height, y1 + reach)),
        slice(max(0, x0 - reach), min(width, x1 + reach)),
    )
    image, target, known = scene.image[region].copy(), scene.target[region].copy(), scene.known[region].copy()
    trace = None if scene.trace is None else scene.trace[region].copy()
    return replace(scene, image=image, target=target, known=known, trace=trace)


def tone_curve(rng: np.random.Generator, *, strength: float = 1.0) -> npt.NDArray[np.uint8]:
    """Return a lookup table (256,) of a random gamma, contrast and brightness."""
    x = np.linspace(0, 1, 256)
    gamma = np.exp(rng.uniform(-0.4, 0.4) * strength)
    contrast = 1 + rng.uniform(-0.3, 0.3) * strength
    brightness = rng.uniform(-0.12, 0.12) * strength
    curve = (x**gamma - 0.5) * contrast + 0.5 + brightness
    return np.asarray(np.clip(curve * 255, 0, 255).astype(np.uint8))


def relight(images: Sequence[Image], rng: np.random.Generator) -> list[Image]:
    """Return images of one clip in a common new light, with shade, blur and noise drawn for each."""
    curve = tone_curve(rng)
    grey, inverted = rng.random() < 0.15, rng.random() < 0.06
    tint = rng.uniform(0.85, 1.15, 3) if rng.random() < 0.3 else None
    blurred, noisy, shaded = rng.random() < 0.3, rng.random() < 0.3, rng.random() < 0.2
    result = []
    for image in images:
        image = curve[image]
        if shaded:
            image = shade(image, rng)
        if grey:
            image = np.repeat((image @ _GREY)[..., None], 3, axis=-1).astype(np.uint8)
        if tint is not None:
            image = np.clip(image * tint, 0, 255).astype(np.uint8)
        if inverted:
            image = np.uint8(255) - image
        if blurred:
            image = blur(image, rng)
        if noisy:
            image = add_noise(image, rng)
        result.append(np.ascontiguousarray(image))
    return result


def shade(image: Image, rng: np.random.Generator) -> Image:
    """Return the image in uneven light: parts of it, and of the object, are much darker than others."""
    size = (int(rng.integers(2, 5)), int(rng.integers(2, 5)))
    light = np.exp(rng.uniform(-1.5, 0.0, size)).astype(np.float32)
    height, width = image.shape[:2]
    light = cv2().resize(light, (width, height), interpolation=cv2().INTER_CUBIC)
    return np.asarray((image * np.clip(light, 0.1, 1.0)[..., None]).astype(np.uint8))


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Return the image out of focus, or smeared by motion."""
    library = cv2()
    if rng.random() < 0.6:
        return np.asarray(library.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0)))
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    middle, angle = (length - 1) / 2, rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * middle
    ends = [(round(middle + s * step[0]), round(middle + s * step[1])) for s in (-1, 1)]
    library.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(library.filter2D(image, -1, kernel / kernel.sum()))


def add_noise(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with gaussian noise, fine or coarse, the same or not in each colour."""
    height, width = image.shape[:2]
    planes = 3 if rng.random() < 0.5 else 1
    coarse = int(rng.choice([1, 1, 2]))
    noise = rng.standard_normal((-(-height // coarse), -(-width // coarse), planes), np.float32)
    noise *= np.float32(rng.uniform(2, 18) if rng.random() < 0.75 else rng.uniform(18, 45))
    if coarse > 1:
        noise = cv2().resize(noise, (width, height)).reshape(height, width, planes)
    return np.asarray(np.clip(image + noise, 0, 255).astype(np.uint8))


def add_other(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene with another object pasted beside, behind or in front of its own.

    The network must follow the guidance, not whatever stands out.
    """
    cut = _cut_out(other, rng, longest=_longer_side(scene.target) * rng.uniform(0.35, 1.2))
    if cut is None:
        return scene
    patch, alpha = cut
    place = _beside(scene.target, alpha.shape[:2], rng)
    region, inner = _overlap(place, alpha.shape[:2], scene.target.shape[:2])
    cover = np.zeros(scene.target.shape, np.float32)
    colour = np.zeros_like(scene.image)
    cover[region], colour[region] = alpha[inner], patch[inner]
    if rng.random() < 0.5:
        cover *= 1 - cv2().GaussianBlur(scene.target.astype(np.float32), (0, 0), 0.7)
        hidden = np.zeros_like(scene.target)
    else:
        hidden = cover > 0.5
        if (hidden & scene.target).sum() > 0.6 * scene.target.sum():
            return scene
    image = scene.image + (colour.astype(np.float32) - scene.image) * cover[..., None]
    trace = scene.past if rng.random() < 0.5 else None
    stands = (cover > 0.5) & ~(scene.target & ~hidden)
    return replace(
        scene, image=image.astype(np.uint8), target=scene.target & ~hidden, trace=trace, other=stands
    )


def _longer_side(mask: BoolImage) -> int:
    y0, x0, y1, x1 = bounding_box(mask) or (0, 0, 1, 1)
    return max(y1 - y0, x1 - x0)


def _cut_out(
    scene: Scene, rng: np.random.Generator, *, longest: float
) -> tuple[Image, npt.NDArray[np.float32]] | None:
    """Return the object's pixels and soft mask, its longer side scaled to `longest` pixels."""
    box = bounding_box(scene.target)
    if box is None or longest < 4:
        return None
    library = cv2()
    y0, x0, y1, x1 = box
    zoom = longest / max(y1 - y0, x1 - x0)
    size = (max(2, round((x1 - x0) * zoom)), max(2, round((y1 - y0) * zoom)))
    flags = library.INTER_AREA if zoom < 1 else library.INTER_LINEAR
    patch = library.resize(scene.image[y0:y1, x0:x1], size, interpolation=flags)
    alpha = library.resize(scene.target[y0:y1, x0:x1].astype(np.float32), size, interpolation=flags)
    if rng.random() < 0.5:
        patch, alpha = patch[:, ::-1], alpha[:, ::-1]
    return np.ascontiguousarray(patch), np.ascontiguousarray(alpha)


def _beside(target: BoolImage, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """Return the corner (y, x) that puts a patch of `size` next to the target, partly over it."""
    y0, x0, y1, x1 = bounding_box(target) or (0, 0, 1, 1)
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 1.1)
    reach_y, reach_x = (y1 - y0 + size[0]) / 2, (x1 - x0 + size[1]) / 2
    y = (y0 + y1) / 2 + np.sin(angle) * far * reach_y - size[0] / 2
    x = (x0 + x1) / 2 + np.cos(angle) * far * reach_x - size[1] / 2
    return round(y), round(x)


def _overlap(
    corner: tuple[int, int], size: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a patch at `corner` lies in the frame, and which part of it that is."""
    outer, inner = [], []
    for start, length, limit in zip(corner, size, shape, strict=True):
        low, high = max(0, start), max(0, min(limit, start + length))
        low = min(low, high)
        outer.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    return (outer[0], outer[1]), (inner[0], inner[1])
