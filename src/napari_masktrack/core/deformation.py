"""Imitate the mask of the previous frame by deforming the true one (paper, section 3.1)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import DeformationConfig
from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoolImage, bounding_box

Field = npt.NDArray[np.float32]
_GRID = 24
_RIDGE = 1e-2


@dataclass(frozen=True)
class Motion:
    """An affine motion of the object about the centre of its box.

    Attributes
    ----------
    scale : float
        Size after / size before.
    angle : float
        Radians.
    dy, dx : float
        Shift in pixels.
    """

    scale: float = 1.0
    angle: float = 0.0
    dy: float = 0.0
    dx: float = 0.0

    def matrix(self, centre: tuple[float, float]) -> npt.NDArray[np.float64]:
        """Return the (3, 3) map of (x, y, 1) for an object centred at `centre` (y, x)."""
        cos, sin = self.scale * np.cos(self.angle), self.scale * np.sin(self.angle)
        y, x = centre
        rows = [
            [cos, -sin, x + self.dx - cos * x + sin * y],
            [sin, cos, y + self.dy - sin * x - cos * y],
            [0, 0, 1],
        ]
        return np.array(rows)


def centre_and_size(mask: BoolImage) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return centre (y, x) and size (height, width) of the mask's box; zeros when it is empty."""
    box = bounding_box(mask)
    if box is None:
        return (0.0, 0.0), (0, 0)
    y0, x0, y1, x1 = box
    return ((y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2), (y1 - y0, x1 - x0)


def random_motion(
    mask: BoolImage, rng: np.random.Generator, *, scale: float, shift: float, angle: float = 0.0
) -> Motion:
    """Draw a motion: uniform size change, shift in units of the box's height and width, rotation."""
    _, (height, width) = centre_and_size(mask)
    return Motion(
        scale=float(1 + rng.uniform(-scale, scale)),
        angle=float(rng.uniform(-angle, angle)),
        dy=float(rng.uniform(-shift, shift) * height),
        dx=float(rng.uniform(-shift, shift) * width),
    )


def move(mask: BoolImage, motion: Motion) -> BoolImage:
    """Return the mask (Y, X) after the motion; what leaves the frame is cut off."""
    centre, size = centre_and_size(mask)
    if size == (0, 0):
        return mask.copy()
    height, width = mask.shape
    matrix = motion.matrix(centre)[:2]
    return np.asarray(cv2().warpAffine(mask.view(np.uint8) * np.uint8(255), matrix, (width, height)) > 127)


def bend(mask: BoolImage, rng: np.random.Generator, *, points: int = 5, amount: float = 0.1) -> BoolImage:
    """Return the mask bent by a thin-plate spline through random points of its outline.

    Parameters
    ----------
    mask : bool (Y, X)
    rng : numpy.random.Generator
    points : int
        Control points, drawn from the outer boundary.
    amount : float
        Largest shift of a point, as a share of the box's height and width.
    """
    _, (height, width) = centre_and_size(mask)
    outline = _outline(mask)
    if len(outline) < 3 or amount <= 0:
        return mask.copy()
    chosen = outline[rng.choice(len(outline), size=min(points, len(outline)), replace=False)]
    largest = np.array((amount * height, amount * width), np.float32)
    shifts = rng.uniform(-1, 1, chosen.shape) * largest
    field = _spline_field(chosen + shifts, -shifts, (mask.shape[0], mask.shape[1]))
    # far from its points, or where two of them lie close together, a spline may swing out widely
    return displace(mask, np.clip(field, -largest, largest))


def displace(mask: BoolImage, field: Field) -> BoolImage:
    """Return mask[y + field[..., 0], x + field[..., 1]] for a field (Y, X, 2) in pixels; outside is False."""
    height, width = mask.shape
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    values = cv2().remap(
        mask.view(np.uint8) * np.uint8(255),
        np.ascontiguousarray(columns + field[..., 1]),
        np.ascontiguousarray(rows + field[..., 0]),
        cv2().INTER_LINEAR,
    )
    return np.asarray(values > 127)


def dilate(mask: BoolImage, radius: float) -> BoolImage:
    """Return the mask grown by a disk of `radius` pixels; a negative radius shrinks it."""
    pixels = round(abs(radius))
    if pixels == 0:
        return mask.copy()
    library = cv2()
    disk = library.getStructuringElement(library.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    operation = library.dilate if radius > 0 else library.erode
    return np.asarray(operation(mask.view(np.uint8), disk) > 0)


def imitate_previous(mask: BoolImage, rng: np.random.Generator, config: DeformationConfig) -> BoolImage:
    """Return a mask as the previous frame would have given it: moved, bent, coarsened.

    Parameters
    ----------
    mask : bool (Y, X)
        The true mask.
    rng : numpy.random.Generator
    config : DeformationConfig
        Ranges; the defaults are those of the paper, section 3.1.
    """
    moved = move(mask, random_motion(mask, rng, scale=config.scale, shift=config.shift))
    bent = bend(moved, rng, points=config.points, amount=config.bend)
    return dilate(bent, config.dilation)


def wobble(mask: BoolImage, rng: np.random.Generator, *, amount: float) -> BoolImage:
    """Return the mask displaced by a smooth random field of up to `amount` of the object's size."""
    _, size = centre_and_size(mask)
    if size == (0, 0):
        return mask.copy()
    cells = int(rng.integers(3, 8))
    coarse = rng.uniform(-1, 1, (cells, cells, 2)).astype(np.float32) * np.float32(amount * max(size))
    height, width = mask.shape
    field = cv2().resize(coarse, (width, height), interpolation=cv2().INTER_CUBIC)
    return displace(mask, np.asarray(field, np.float32))


def lobe(mask: BoolImage, rng: np.random.Generator, *, share: float = 0.25) -> BoolImage:
    """Return the mask with an ellipse cut off or added at its outline.

    Parameters
    ----------
    mask : bool (Y, X)
    rng : numpy.random.Generator
    share : float
        Half axes of the ellipse, at most this share of the box's height and width.
    """
    outline = _outline(mask)
    if len(outline) == 0:
        return mask.copy()
    _, (height, width) = centre_and_size(mask)
    y, x = outline[rng.integers(len(outline))]
    axes = (
        max(1, round(width * share * rng.uniform(0.4, 1))),
        max(1, round(height * share * rng.uniform(0.4, 1))),
    )
    canvas = mask.astype(np.uint8)
    colour = int(rng.random() < 0.5)
    cv2().ellipse(canvas, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return canvas > 0 if canvas.any() else mask.copy()


def as_box(mask: BoolImage) -> BoolImage:
    """Return the mask's filled bounding box."""
    filled = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is not None:
        filled[box[0] : box[2], box[1] : box[3]] = True
    return filled


def _outline(mask: BoolImage) -> npt.NDArray[np.int64]:
    """Return the points (N, 2) in y, x of the outer boundaries."""
    library = cv2()
    found = library.findContours(mask.view(np.uint8), library.RETR_EXTERNAL, library.CHAIN_APPROX_NONE)
    if not found[0]:
        return np.zeros((0, 2), np.int64)
    return np.concatenate([np.asarray(c).reshape(-1, 2)[:, ::-1] for c in found[0]]).astype(np.int64)


def _spline_field(
    points: npt.NDArray[np.float64], shifts: npt.NDArray[np.float64], shape: tuple[int, int]
) -> Field:
    """Return the thin-plate spline (Y, X, 2) that takes the values `shifts` at `points`.

    The spline is solved exactly but evaluated on a coarse grid: it is smooth, and a full evaluation
    would cost more than the network's own step.
    """
    unit = float(max(shape))
    known = points / unit
    count = len(known)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(known, known) + _RIDGE * np.eye(count)
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :] = known
    system[count + 1 :, :count] = known.T
    right = np.zeros((count + 3, 2))
    right[:count] = shifts
    solution = np.linalg.lstsq(system, right, rcond=None)[0]
    rows, columns = np.meshgrid(*(np.linspace(0, (n - 1) / unit, _GRID) for n in shape), indexing="ij")
    grid = np.stack([rows.ravel(), columns.ravel()], axis=1)
    values = _kernel(grid, known) @ solution[:count] + solution[count] + grid @ solution[count + 1 :]
    coarse = values.reshape(_GRID, _GRID, 2).astype(np.float32)
    return _stretch(coarse, shape)


def _stretch(coarse: Field, shape: tuple[int, int]) -> Field:
    """Return a field on the corner-aligned coarse grid at every pixel of `shape`."""
    height, width = shape
    rows = np.linspace(0, _GRID - 1, height, dtype=np.float32)
    columns = np.linspace(0, _GRID - 1, width, dtype=np.float32)
    map_x, map_y = np.meshgrid(columns, rows)
    return np.asarray(cv2().remap(coarse, map_x, map_y, cv2().INTER_LINEAR), np.float32)


def _kernel(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
    return np.asarray(np.where(squared > 0, squared * np.log(np.maximum(squared, 1e-12)), 0) / 2)
