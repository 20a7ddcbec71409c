"""A synthetic microscopy movie with known truth, for the demonstration, the tests and the pictures.

Textured cells move, deform, pass in front of one another, leave the frame and come back. Image and
labels of frame t are a pure function of (config, t), so a movie of any length costs no memory.

The same config gives the same pixels on every platform and with every NumPy: random numbers are raw
bits of PCG64, and per-pixel arithmetic is restricted to operations that IEEE 754 defines exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import Checked
from napari_masktrack.errors import ConfigError, MovieError

Floats = npt.NDArray[np.float64]
Path = Literal["wander", "cross", "leave"]

EXTENT = 1.5  # no outline reaches farther from its cell's centre, in radii
EDGE = 1.2  # half width of the soft edge, in pixels
HARMONICS = {2: 0.13, 3: 0.07, 4: 0.045, 5: 0.025}


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig(Checked):
    """What the synthetic movie shows; every field is part of the movie's identity."""

    frames: int = field(default=40, metadata={"min": 1, "max": 10_000_000, "tooltip": "length of the movie"})
    shape: tuple[int, int] = field(default=(240, 320), metadata={"tooltip": "rows and columns, in pixels"})
    objects: int = field(
        default=4, metadata={"min": 1, "max": 500, "tooltip": "number of cells, ids 1, 2, ..."}
    )
    seed: int = field(
        default=0, metadata={"min": 0, "max": 2**31 - 1, "tooltip": "seed of all random numbers"}
    )
    noise: float = field(
        default=0.035, metadata={"min": 0.0, "max": 1.0, "tooltip": "noise, share of the brightness range"}
    )
    drift: float = field(
        default=0.2, metadata={"min": 0.0, "max": 0.9, "tooltip": "brightness lost and regained, as a share"}
    )
    period: int = field(
        default=40, metadata={"min": 2, "max": 1_000_000, "tooltip": "frames of one crossing or one absence"}
    )
    deform: bool = field(default=True, metadata={"tooltip": "outlines change with time"})
    cross: bool = field(default=True, metadata={"tooltip": "neighbours swap places, the higher id in front"})
    leave: bool = field(default=True, metadata={"tooltip": "the last cell leaves the frame and comes back"})
    dtype: Literal["uint8", "uint16"] = field(
        default="uint8", metadata={"choices": ("uint8", "uint16"), "tooltip": "8 bit, or 12 bit in 16 bit"}
    )

    def __post_init__(self) -> None:
        """Refuse values outside the limits, and frames too small to show a cell.

        Raises
        ------
        ConfigError
            A value lies outside its limits.
        """
        super().__post_init__()
        if len(self.shape) != 2 or min(self.shape) < 32:
            raise ConfigError(f"shape is {self.shape}; give rows and columns of at least 32 pixels each.")


class SyntheticFrame(NamedTuple):
    """One frame and its truth."""

    image: npt.NDArray[Any]
    """(Y, X), uint8 or uint16."""
    labels: npt.NDArray[np.uint16]
    """(Y, X), 0 where no cell is seen."""


def synthetic_movie(config: SyntheticConfig | None = None) -> "SyntheticMovie":
    """Give the movie that a config describes; nothing is rendered yet.

    Parameters
    ----------
    config : SyntheticConfig, optional
        Defaults: 40 frames of 240 x 320 pixels, four cells, of which 1 and 2 cross and 4 leaves.

    Returns
    -------
    SyntheticMovie
        ``.images``, ``.labels`` for whole arrays, ``.frame(t)`` or ``.lazy_images`` for one frame at a time.
    """
    return SyntheticMovie(config or SyntheticConfig())


@dataclass(frozen=True)
class SyntheticMovie:
    """A movie of textured cells with known labels, rendered frame by frame on demand."""

    config: SyntheticConfig

    def __len__(self) -> int:
        """Give the number of frames."""
        return self.config.frames

    def frame(self, frame: int) -> SyntheticFrame:
        """Render one frame.

        Parameters
        ----------
        frame : int
            Index from 0.

        Returns
        -------
        SyntheticFrame
            ``image`` (Y, X) of the config's dtype and ``labels`` (Y, X) uint16.

        Raises
        ------
        MovieError
            The movie has no such frame.
        """
        if not 0 <= frame < len(self):
            raise MovieError(
                f"Frame {frame} is outside the synthetic movie; give a frame from 0 to {len(self) - 1}."
            )
        canvas, labels = self._background.copy(), np.zeros(self.config.shape, np.uint16)
        for cell in self._cells:
            cell.draw(frame, canvas, labels)
        return SyntheticFrame(_expose(canvas, self.config, frame), labels)

    @cached_property
    def images(self) -> npt.NDArray[Any]:
        """All images, (T, Y, X), uint8 or uint16; rendered at first use and kept."""
        return self._rendered[0]

    @cached_property
    def labels(self) -> npt.NDArray[np.uint16]:
        """All label images, (T, Y, X), uint16; rendered at first use and kept."""
        return self._rendered[1]

    @property
    def lazy_images(self) -> "LazyFrames":
        """The images as an array-like that renders a frame whenever it is asked for one."""
        return LazyFrames(self, "image")

    @property
    def lazy_labels(self) -> "LazyFrames":
        """The labels as an array-like that renders a frame whenever it is asked for one."""
        return LazyFrames(self, "labels")

    @cached_property
    def _rendered(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint16]]:
        images = np.empty((len(self), *self.config.shape), self.config.dtype)
        labels = np.empty(images.shape, np.uint16)
        for index in range(len(self)):
            images[index], labels[index] = self.frame(index)
        return images, labels

    @cached_property
    def _background(self) -> Floats:
        rows, columns = self.config.shape
        y = np.arange(rows, dtype=float)[:, None] / rows
        x = np.arange(columns, dtype=float)[None, :] / columns
        octaves = ((4, 0.05), (11, 0.03), (31, 0.022))
        clouds = [
            share * _clouds(_uniform(self.config.seed, 2, n, size=(n, n)), y * (n - 1), x * (n - 1))
            for n, share in octaves
        ]
        vignette = 0.05 * ((y - 0.45) * (y - 0.45) + (x - 0.55) * (x - 0.55))
        return np.asarray(0.2 + clouds[0] + clouds[1] + clouds[2] - vignette)

    @cached_property
    def _cells(self) -> tuple["_Cell", ...]:
        return tuple(_Cell(self.config, index) for index in range(self.config.objects))


@dataclass(frozen=True)
class LazyFrames:
    """An array-like (T, Y, X) over a synthetic movie that holds no pixels."""

    movie: SyntheticMovie
    part: Literal["image", "labels"]
    ndim: int = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (len(self.movie), *self.movie.config.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 for labels, the config's dtype for images."""
        return np.dtype(self.movie.config.dtype if self.part == "image" else np.uint16)

    def __len__(self) -> int:
        """Give the number of frames."""
        return len(self.movie)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Render the frames asked for, an index or a slice; what follows it picks rows and columns."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        if isinstance(first, slice):
            frames = [self._read(index) for index in range(*first.indices(len(self)))]
            stack = np.stack(frames) if frames else np.empty((0, *self.shape[1:]), self.dtype)
            return np.asarray(stack[(slice(None), *rest)])
        index = range(len(self))[int(first)]  # counts from the end where negative, IndexError outside
        return np.asarray(self._read(index)[tuple(rest)])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Render all frames."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, index: int) -> npt.NDArray[Any]:
        frame = self.movie.frame(index)
        return frame.image if self.part == "image" else frame.labels


class _Cell:
    """One cell: a path, an outline and a texture that moves, turns and deforms with it."""

    def __init__(self, config: SyntheticConfig, index: int) -> None:
        self.label, self.config = index + 1, config
        self.random = _uniform(config.seed, 1, index, size=64)
        self.home, self.goal, self.radius, self.path = _place(config, index)
        self.radius *= 0.88 + 0.24 * ((0.382 * index + 0.4 * self.random[0]) % 1.0)
        self.brightness = 0.36 + 0.3 * ((0.618 * index + 0.2 * self.random[1]) % 1.0)
        self.grains = (
            _uniform(config.seed, 3, index, size=(9, 9)),
            _uniform(config.seed, 4, index, size=(23, 23)),
        )
        self.spots = _uniform(config.seed, 5, index, size=(9, 4))

    def centre(self, frame: int) -> tuple[float, float]:
        """Give the centre (y, x) in pixels at one frame."""
        turns = frame / self.config.period
        share = {"wander": 0.0, "cross": _rise(turns / 2), "leave": _rise(turns)}[self.path]
        sway = self.radius * (0.6 if self.path == "wander" else 0.2)
        y, x = (start + share * (end - start) for start, end in zip(self.home, self.goal, strict=True))
        speed, phase = 0.5 + 0.5 * self.random[2:4], self.random[4:6]
        return y + sway * _wave(speed[0] * turns + phase[0]), x + sway * _wave(speed[1] * turns + phase[1])

    def draw(self, frame: int, canvas: Floats, labels: npt.NDArray[np.uint16]) -> None:
        """Lay the cell over a canvas (brightness, 0-1) and over the labels, both (Y, X), in place."""
        y, x = self.centre(frame)
        reach = EXTENT * self.radius + 2
        (top, bottom), (left, right) = (
            (max(0, math.floor(at - reach)), min(size, math.ceil(at + reach)))
            for at, size in zip((y, x), canvas.shape, strict=True)
        )
        if top >= bottom or left >= right:
            return
        window = slice(top, bottom), slice(left, right)
        across = (
            (np.arange(top, bottom)[:, None] - y) / self.radius,
            (np.arange(left, right)[None, :] - x) / self.radius,
        )
        v, u, depth = self._body(frame, *across)
        soft = _step(0.5 + (1.0 - depth) * (self.radius / (2 * EDGE)))
        shade = 1.0 - 0.22 * _step((EXTENT - 0.15 - depth) / 0.35)
        canvas[window] = canvas[window] * shade * (1 - soft) + self._texture(v, u, depth) * soft
        labels[window][depth < 1.0] = self.label

    def _body(self, frame: int, dy: Floats, dx: Floats) -> tuple[Floats, Floats, Floats]:
        """Turn pixels into the cell's own coordinates (v, u) and depth: 0 at the centre, 1 on the outline."""
        turns = frame / self.config.period if self.config.deform else 0.0
        angle = self.random[6] + 0.12 * _wave(0.7 * turns + self.random[7])
        cosine, sine = _wave(angle + 0.25), _wave(angle)
        v, u = cosine * dy - sine * dx, sine * dy + cosine * dx
        distance = np.sqrt(v * v + u * u)
        safe = np.maximum(distance, 1e-9)
        base_c, base_s = u / safe, v / safe
        c, s, outline = base_c, base_s, np.ones_like(distance)
        for order, size in HARMONICS.items():
            c, s = c * base_c - s * base_s, s * base_c + c * base_s  # cosine and sine of order * angle
            speed, swell, shift, level = self.random[4 * order : 4 * order + 4]
            height = size * (0.7 + 0.6 * level) * (0.6 + 0.4 * _wave((0.4 + 0.5 * speed) * turns + swell))
            turn = shift + 0.1 * _wave((0.3 + 0.4 * speed) * turns + level)
            outline = outline + height * (c * _wave(turn + 0.25) - s * _wave(turn))
        return v / outline, u / outline, distance / outline

    def _texture(self, v: Floats, u: Floats, depth: Floats) -> Floats:
        """Give the brightness inside: a dome with grains, vesicles, a nucleus with a nucleolus and a rim."""
        level, dots = self.brightness, self.random[40:]
        coarse, fine = (
            _clouds(grid, (v + EXTENT) * step, (u + EXTENT) * step)
            for grid, step in zip(self.grains, (2.6, 7.2), strict=True)
        )
        inside = level * (0.72 + 0.36 * (1 - depth * depth)) * (0.55 + 0.5 * coarse + 0.4 * fine)
        inside = inside + 0.09 * _blob(v, u, (0.0, 0.0, 3.0)) + 0.14 * _step(1 - np.abs(depth - 0.93) / 0.12)
        for y, x, size, strength in self.spots:
            inside = inside + (0.15 + 0.25 * strength) * _blob(
                v, u, (1.4 * y - 0.7, 1.4 * x - 0.7, 0.07 + 0.07 * size)
            )
        y, x, size = 0.4 * dots[0] - 0.2, 0.4 * dots[1] - 0.2, 0.36 + 0.1 * dots[2]
        away = np.sqrt((v - y) * (v - y) + (u - x) * (u - x)) / size
        nucleus = _step((1.1 - away) / 0.2)
        content = level * (0.62 if self.label % 2 else 1.45) * (0.85 + 0.3 * fine)
        content = content + 0.2 * _blob(v, u, (y + 0.12, x - 0.1, 0.15)) * (1 if self.label % 2 else -1)
        return np.asarray(inside * (1 - 0.85 * nucleus) + 0.85 * content * nucleus)


def _place(
    config: SyntheticConfig, index: int
) -> tuple[tuple[float, float], tuple[float, float], float, Path]:
    """Give a cell's home and goal (y, x), its radius in pixels, and the kind of path between them."""
    (height, width), count = config.shape, config.objects
    columns = min(count, max(2, round(math.sqrt(count * width / height))))
    tall, wide = height / -(-count // columns), width / columns
    radius = 0.235 * min(tall, wide)
    row, column = divmod(index, columns)
    wide = width / min(columns, count - row * columns)  # a last row that is not full is spread out
    y, x = (row + 0.5) * tall, (column + 0.5) * wide
    partner = index + (-1 if index % 4 else 1)  # the first two of every four swap places
    if config.cross and index % 4 < 2 and partner < count and partner // columns == row:
        y += (0.36 if index % 4 else -0.36) * radius
        return (y, x), (y, (partner % columns + 0.5) * wide), radius, "cross"
    if config.leave and index == count - 1:
        return (height - 1.7 * radius, x), (height + 1.7 * radius, x + 0.5 * radius), radius, "leave"
    jitter = 0.16 * _uniform(config.seed, 7, index, size=2) - 0.08
    home = y + tall * float(jitter[0]), x + wide * float(jitter[1])
    return home, home, radius, "wander"


def _expose(canvas: Floats, config: SyntheticConfig, frame: int) -> npt.NDArray[Any]:
    """Turn brightness (0-1) into camera counts: drift, then shot and read-out noise."""
    signal = canvas * (1 - config.drift * _rise(0.5 * frame / config.period))
    bits = np.random.PCG64(np.random.SeedSequence((config.seed, 6, frame))).random_raw(canvas.size)
    total = sum((bits >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
    # the sum of four even numbers is bell-shaped: mean 2 * 65535, variance 4 * 65536**2 / 12
    normal = (np.asarray(total, float).reshape(canvas.shape) - 131070.0) / 37837.0
    signal = signal + config.noise * np.sqrt(0.15 + 1.5 * np.maximum(signal, 0)) * normal
    scale, offset, top = (255.0, 0.0, 255) if config.dtype == "uint8" else (3800.0, 180.0, 4095)
    return np.clip(np.rint(offset + scale * signal), 0, top).astype(config.dtype)


def _uniform(*key: int, size: int | Sequence[int]) -> Floats:
    """Give numbers in [0, 1) from the key alone; raw PCG64, which NumPy promises never to change."""
    bits = np.random.PCG64(np.random.SeedSequence(key)).random_raw(int(np.prod(size)))
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53).reshape(size)


def _wave(turns: float) -> float:
    """Give the sine of an angle in turns, rounded so that every platform's sine gives the same."""
    return round(math.sin(2 * math.pi * (turns % 1.0)) * 2**30) / 2**30


def _rise(turns: float) -> float:
    """Go smoothly from 0 to 1 in half a turn, and back in the other half."""
    return (1 - _wave(turns + 0.25)) / 2


def _step(x: Floats) -> Floats:
    """Go smoothly from 0 at 0 to 1 at 1."""
    x = np.minimum(np.maximum(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _blob(v: Floats, u: Floats, place: tuple[float, float, float]) -> Floats:
    """Give a soft dot of height 1 at place (v, u, radius)."""
    dv, du = (v - place[0]) / place[2], (u - place[1]) / place[2]
    rest = np.maximum(1 - dv * dv - du * du, 0.0)
    return rest * rest


def _clouds(lattice: Floats, y: Floats, x: Floats) -> Floats:
    """Interpolate a lattice of random numbers smoothly at (y, x), in lattice steps."""
    rows, columns = lattice.shape
    row = np.clip(np.floor(y).astype(np.intp), 0, rows - 2)
    column = np.clip(np.floor(x).astype(np.intp), 0, columns - 2)
    down, right = _step(y - row), _step(x - column)
    upper = lattice[row, column] * (1 - right) + lattice[row, column + 1] * right
    lower = lattice[row + 1, column] * (1 - right) + lattice[row + 1, column + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)
