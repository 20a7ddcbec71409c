"""Training samples: an image crop, the rough mask that goes in and the true mask that should come out.

A sample is a clip of one or two views of the same object. The network refines the first view's
guidance; its own hard answer, moved by `link`, is the guidance of the second view. So the network
learns to correct its own mistakes (method: roll-outs on synthetic steps), not only drawn ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import DeformationConfig
from napari_masktrack.core import deformation
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, Image, bounding_box
from napari_masktrack.training import scenes
from napari_masktrack.training.scenes import Scene

Matrix = npt.NDArray[np.float64]
WHOLLY = 0.15
"""Share of the strayed guidance that is on the other object alone."""
REFERENCE_MARGIN = (1.5, 2.4)
REFERENCE_MIRRORED = 0.25
"""Share of the references that are mirrored: things turn round."""


@dataclass(frozen=True)
class View:
    """A square crop of a scene.

    Attributes
    ----------
    image : uint8 (S, S, 3)
    target, known : bool (S, S)
    guidance : bool (S, S)
        The rough mask of the previous frame.
    """

    image: Image
    target: BoolImage
    known: BoolImage
    guidance: BoolImage


@dataclass(frozen=True)
class Clip:
    """Two views of the same object, and how a mask of the first appears in the second.

    Attributes
    ----------
    views : tuple of two View
    link : float32 (2, 3)
        Maps normalised (x, y) of the second view to those of the first, motion included;
        the form that `torch.nn.functional.affine_grid` takes.
    rollout : bool
        Whether the network's own answer to the first view guides it on the second; otherwise both
        views have drawn guidance.
    reference : View, optional
        The annotated frame, which the network may compare both views with.
    """

    views: tuple[View, View]
    link: npt.NDArray[np.float32]
    rollout: bool = True
    reference: View | None = None


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How hard samples are; ranges that robust training needs go beyond the paper's.

    Attributes
    ----------
    size : int
        Side of a crop in pixels.
    margin : (float, float)
        Side of the crop, in sizes of the guidance's box.
    empty : float
        Share of samples without guidance: the network has to find the object by what it learned of it.
    box : float
        Share of samples whose guidance is a box.
    lobe : float
        Share of samples with an ellipse cut off or added.
    paper : bool
        Guidance is deformed as in the paper and no other way: scale, shift, spline and a dilation of 5
        pixels of the crop (section 3.1); `empty`, `box` and `lobe` mean nothing.
    exact : bool
        Guidance is the true mask itself, also where it would be lost or hidden; nothing below applies.
    bend, dilation : bool
        Whether guidance is bent, and whether it is grown or shrunk; the ablations go without.
    rollout : bool
        Whether the network's own answer to the first view of a clip guides it on the second.
    reference : float
        Share of clips with a reference.
    stray : float
        Share of the samples with another object whose guidance strays onto that.
    """

    size: int = 256
    margin: tuple[float, float] = (1.3, 2.5)
    turn: float = 0.2
    empty: float = 0.03
    box: float = 0.1
    lobe: float = 0.2
    photometric: bool = True
    paper: bool = False
    exact: bool = False
    bend: bool = True
    dilation: bool = True
    rollout: bool = True
    reference: float = 0.0
    stray: float = 0.0


def rough_guidance(
    target: BoolImage, rng: np.random.Generator, config: SampleConfig, *, jump: float
) -> BoolImage:
    """Return the true mask spoilt as a tracker would have left it: moved, bent, eaten, swollen."""
    if config.exact:
        return target.copy()
    if config.paper:
        return _as_in_the_paper(target, rng, config)
    if rng.random() < config.empty:
        return np.zeros_like(target)
    hard = jump * (2.0 if rng.random() < 0.15 else 1.0)
    motion = deformation.random_motion(target, rng, scale=0.08 * hard, shift=0.10 * hard, angle=0.08 * hard)
    rough = deformation.move(target, motion)
    if config.bend:
        if rng.random() < 0.5:
            rough = deformation.bend(rough, rng, amount=0.08 * min(hard, 2.0))
        else:
            rough = deformation.wobble(rough, rng, amount=0.04 * min(hard, 2.0))
    if rng.random() < config.lobe:
        rough = deformation.lobe(rough, rng)
    if rng.random() < config.box:
        rough = deformation.as_box(rough)
    if not config.dilation:
        return rough
    return deformation.dilate(rough, rng.uniform(-2, 6) * _crop_pixel(rough, config))


def _as_in_the_paper(target: BoolImage, rng: np.random.Generator, config: SampleConfig) -> BoolImage:
    ranges = DeformationConfig()
    bend = ranges.bend if config.bend else 0.0
    moved = deformation.imitate_previous(target, rng, replace(ranges, bend=bend, dilation=0.0))
    if not config.dilation:
        return moved
    return deformation.dilate(moved, max(1.0, ranges.dilation * _crop_pixel(target, config)))


def _crop_pixel(mask: BoolImage, config: SampleConfig) -> float:
    """Return about how many pixels of the image a pixel of the network's crop will be."""
    _, size = deformation.centre_and_size(mask)
    return max(size) * 1.6 / config.size


def view_matrix(
    box: tuple[int, int, int, int], rng: np.random.Generator, config: SampleConfig, *, flip: bool
) -> Matrix:
    """Return the (3, 3) map from image (x, y) to a crop around `box`: zoomed, turned, mirrored."""
    y0, x0, y1, x1 = box
    longer = max(y1 - y0, x1 - x0, 12)
    zoom = config.size / (longer * rng.uniform(*config.margin))
    angle = rng.uniform(-config.turn, config.turn)
    shift = rng.uniform(-0.05, 0.05, 2) * longer
    y, x = (y0 + y1 - 1) / 2 + shift[0], (x0 + x1 - 1) / 2 + shift[1]
    cos, sin, middle = zoom * np.cos(angle), zoom * np.sin(angle), (config.size - 1) / 2
    rows = np.array(
        [[cos, -sin, middle - cos * x + sin * y], [sin, cos, middle - sin * x - cos * y], [0, 0, 1]]
    )
    if flip:
        rows[0] = [-rows[0, 0], -rows[0, 1], config.size - 1 - rows[0, 2]]
    return rows


def make_view(scene: Scene, guidance: BoolImage, matrix: Matrix, size: int) -> View:
    """Cut the view that `matrix` describes; outside the image its edge is repeated and nothing is known."""
    library = cv2()
    image = library.warpAffine(
        scene.image, matrix[:2], (size, size), flags=library.INTER_LINEAR, borderMode=library.BORDER_REPLICATE
    )
    planes = np.stack([scene.target, scene.known, guidance], axis=-1).view(np.uint8) * np.uint8(255)
    masks = library.warpAffine(planes, matrix[:2], (size, size), flags=library.INTER_LINEAR) > 127
    return View(image, masks[..., 0], masks[..., 1], masks[..., 2])


def make_clip(scene: Scene, rng: np.random.Generator, config: SampleConfig) -> Clip:
    """Return two views of a scene and the link between them."""
    flip = bool(rng.random() < 0.5)
    past = scene.target if config.exact else scene.past
    guidance = rough_guidance(past, rng, config, jump=scene.jump)
    if config.stray and not config.exact and scene.other is not None and rng.random() < config.stray:
        strayed = rough_guidance(scene.other, rng, config, jump=scene.jump)
        guidance = strayed if rng.random() < WHOLLY else guidance | strayed
    if scene.lost and not config.exact:
        guidance = np.zeros_like(past)
    box = bounding_box(guidance) or bounding_box(past) or (0, 0, *scene.target.shape)
    if not guidance.any():
        box = _roam(box, rng)
    first = view_matrix(box, rng, config, flip=flip)
    # the mask of the first view is where the object was: the second view is cut around that place
    hard = scene.jump * (2.0 if rng.random() < 0.2 else 1.0)
    motion = deformation.random_motion(past, rng, scale=0.06 * hard, shift=0.08 * hard, angle=0.06 * hard)
    centre, _ = deformation.centre_and_size(past)
    before = motion.matrix(centre)
    moved = bounding_box(deformation.move(past, motion)) or box
    second = view_matrix(moved, rng, config, flip=flip)
    views = [make_view(scene, guidance, matrix, config.size) for matrix in (first, second)]
    if config.reference and rng.random() < config.reference:
        views.append(_reference(scene.origin or scene, rng, config, flip=flip))
    if config.photometric:
        images = scenes.relight([view.image for view in views], rng)
        views = [replace(view, image=image) for view, image in zip(views, images, strict=True)]
    link = first @ np.linalg.inv(before) @ np.linalg.inv(second)
    reference = views[2] if len(views) > 2 else None
    return Clip((views[0], views[1]), _normalised(link, config.size), config.rollout, reference)


def _reference(origin: Scene, rng: np.random.Generator, config: SampleConfig, *, flip: bool) -> View:
    """Return the annotated frame, cut around the true mask, turned and in another light."""
    box = bounding_box(origin.target) or (0, 0, *origin.target.shape)
    turned = replace(config, turn=2 * config.turn, margin=REFERENCE_MARGIN)
    matrix = view_matrix(box, rng, turned, flip=flip != bool(rng.random() < REFERENCE_MIRRORED))
    view = make_view(origin, origin.target, matrix, config.size)
    return replace(view, image=scenes.tone_curve(rng, strength=0.5)[view.image])


def _roam(box: tuple[int, int, int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return a wider box around the object: without guidance, the search window is large and off-centre."""
    y0, x0, y1, x1 = box
    height, width = y1 - y0, x1 - x0
    grow = rng.uniform(0.0, 0.6) if rng.random() < 0.7 else rng.uniform(0.6, 2.0)
    dy, dx = rng.uniform(-0.3, 0.3) * height, rng.uniform(-0.3, 0.3) * width
    return (
        int(y0 - grow * height + dy), int(x0 - grow * width + dx),
        int(y1 + grow * height + dy), int(x1 + grow * width + dx),
    )  # fmt: skip


def _normalised(link: Matrix, size: int) -> npt.NDArray[np.float32]:
    """Return a pixel map (3, 3) as a (2, 3) map of coordinates in [-1, 1], pixel corners at the ends."""
    to_pixels = np.array([[size / 2, 0, (size - 1) / 2], [0, size / 2, (size - 1) / 2], [0, 0, 1]])
    return np.asarray((np.linalg.inv(to_pixels) @ link @ to_pixels)[:2], np.float32)


def clips(source: Iterator[Scene], rng: np.random.Generator, config: SampleConfig) -> Iterator[Clip]:
    """Yield a clip for each scene, for ever; scenes whose object is hardly there are passed over."""
    for scene in source:
        if np.count_nonzero(scene.past) >= 16:
            yield make_clip(scene, rng, config)
