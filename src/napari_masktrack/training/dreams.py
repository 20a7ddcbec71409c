"""Lucid dreams: plausible other frames of the same movie, made from one annotated frame.

The object is cut out, the hole filled, object and background move and change light on their own,
and the object is put back, hidden in part, or left out.
Source: Khoreva et al., "Lucid Data Dreaming for Video Object Segmentation", IJCV 2019.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_masktrack.core import deformation
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, Image
from napari_masktrack.training.scenes import Scene, tone_curve

_QUARTER = 4
GONE = 0.07
"""Share of dreams in which the object has just left."""
HIDDEN = 0.2
"""Share of dreams in which something stands in front of the object."""


@dataclass(frozen=True)
class Stage:
    """A scene taken apart: the object's soft mask and the background without it.

    Attributes
    ----------
    scene : Scene
    background : uint8 (Y, X, 3)
    alpha : float32 (Y, X)
    """

    scene: Scene
    background: Image
    alpha: npt.NDArray[np.float32]

    @classmethod
    def of(cls, scene: Scene) -> "Stage":
        """Cut the object out and fill the hole."""
        alpha = cv2().GaussianBlur(scene.target.astype(np.float32), (0, 0), 0.8)
        return cls(scene, fill_hole(scene.image, scene.target), np.asarray(alpha, np.float32))


def fill_hole(image: Image, hole: BoolImage) -> Image:
    """Return the image (Y, X, 3) with the hole painted over from its surroundings (Telea, 1/4 resolution)."""
    library = cv2()
    height, width = hole.shape
    wide = deformation.dilate(hole, max(2.0, 0.02 * max(hole.shape)))
    size = (max(1, width // _QUARTER), max(1, height // _QUARTER))
    small = library.resize(image, size, interpolation=library.INTER_AREA)
    small_hole = library.resize(wide.view(np.uint8), size, interpolation=library.INTER_NEAREST)
    if small_hole.all():
        return np.broadcast_to(np.median(image, axis=(0, 1)).astype(np.uint8), image.shape).copy()
    filled = library.inpaint(small, small_hole, 3, library.INPAINT_TELEA)
    large = library.resize(filled, (width, height), interpolation=library.INTER_LINEAR)
    return np.where(wide[..., None], large, image)


def dream(stage: Stage, rng: np.random.Generator, *, gone: float = GONE, hidden: float = HIDDEN) -> Scene:
    """Return another frame of the same movie, as it might be.

    Parameters
    ----------
    stage : Stage
    rng : numpy.random.Generator
    gone : float
        Share of the dreams without the object.
    hidden : float
        Share of the others in which a piece of background stands in front of it.
    """
    scene = stage.scene
    motion = deformation.random_motion(scene.target, rng, scale=0.2, shift=0.25 * scene.jump, angle=0.3)
    centre, _ = deformation.centre_and_size(scene.target)
    forward = motion.matrix(centre)
    if rng.random() < 0.3:
        forward = forward @ _mirror(centre[1])
    background = _light(_shake(stage.background, rng), rng)
    past = _warp(scene.target.astype(np.float32), forward) > 0.5
    if rng.random() < gone:
        return replace(
            scene, image=background, target=np.zeros_like(past), trace=past, known=np.ones_like(past)
        )
    alpha = _warp(stage.alpha, forward)
    colour = _light(_warp(scene.image, forward), rng)
    image = (background + (colour.astype(np.float32) - background) * alpha[..., None]).astype(np.uint8)
    dreamt = replace(scene, image=image, target=past, known=np.ones_like(past))
    return hide(dreamt, background, rng) if rng.random() < hidden else dreamt


def hide(scene: Scene, background: Image, rng: np.random.Generator) -> Scene:
    """Return the scene with a piece of background in front of the object, as a post or a wall would be."""
    centre, (height, width) = deformation.centre_and_size(scene.target)
    if not height:
        return scene
    library = cv2()
    cover = np.zeros(scene.target.shape, np.uint8)
    y, x = (c + rng.uniform(-0.5, 0.5) * n for c, n in zip(centre, (height, width), strict=True))
    if rng.random() < 0.5:
        axes = (max(2, round(width * rng.uniform(0.15, 0.5))), max(2, round(height * rng.uniform(0.15, 0.5))))
        library.ellipse(cover, (round(x), round(y)), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    else:
        half = max(2, round(width * rng.uniform(0.05, 0.35)))
        cover[:, max(0, round(x) - half) : round(x) + half] = 1
    far = np.array(
        [[1, 0, rng.uniform(-1.5, 1.5) * width], [0, 1, rng.uniform(-0.5, 0.5) * height], [0, 0, 1.0]]
    )
    texture = _light(_warp(background, far, edge=True), rng)
    hidden = cover > 0
    image = np.where(hidden[..., None], texture, scene.image)
    return replace(scene, image=image, target=scene.target & ~hidden, trace=scene.target)


def _light(image: Image, rng: np.random.Generator) -> Image:
    return np.asarray(tone_curve(rng, strength=0.4)[image])


def _shake(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    motion = deformation.Motion(
        scale=float(rng.uniform(0.95, 1.1)), angle=float(rng.uniform(-0.05, 0.05)),
        dy=float(rng.uniform(-0.04, 0.04) * height), dx=float(rng.uniform(-0.04, 0.04) * width),
    )  # fmt: skip
    return np.asarray(_warp(image, motion.matrix((height / 2, width / 2)), edge=True), np.uint8)


def _mirror(x: float) -> npt.NDArray[np.float64]:
    return np.array([[-1.0, 0, 2 * x], [0, 1, 0], [0, 0, 1]])


def _warp(
    array: npt.NDArray[Any], matrix: npt.NDArray[np.float64], *, edge: bool = False
) -> npt.NDArray[Any]:
    library = cv2()
    height, width = array.shape[:2]
    border = library.BORDER_REPLICATE if edge else library.BORDER_CONSTANT
    return np.asarray(
        library.warpAffine(array, matrix[:2], (width, height), flags=library.INTER_LINEAR, borderMode=border)
    )
