"""One object on its way through the movie: where it was, where to look for it, whether it is lost."""

from dataclasses import dataclass, replace

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.instances import Window, window_around
from napari_masktrack.core.region import Region

SMALLEST = 6
"""Fewer pixels than this are no object."""
VANISHED = 0.03
"""An object of less than this share of its usual area is lost."""
REMNANT = 0.2
"""What is left of an object that lost more than the rest of its usual area within a few frames may be
something else, in front of it."""
DOUBT = 10
"""For so many frames after that it is also searched for elsewhere: the mask may have grown onto that."""
_HABIT = 0.1
_STEER = 0.5
_SHRINK = 0.97
"""The window never becomes smaller faster than this per frame: a mask of which something hides half
comes back whole."""


@dataclass(frozen=True)
class Track:
    """What is remembered of an object from one frame to the next.

    Attributes
    ----------
    region : Region or None
        Where the object was on the frame before; None while it is lost.
    window : Window
        Where it was looked for last.
    area : float
        Its usual area in pixels.
    lost : int
        Frames since it was last seen; 0 while it is in sight.
    velocity : (dy, dx)
        Smoothed motion in pixels per frame.
    extent : float
        Longer side of its box in pixels, of late: it falls slowly.
    doubt : int
        Frames on which it is still searched for elsewhere, too.
    """

    region: Region | None
    window: Window
    area: float
    lost: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)
    extent: float = 0.0
    doubt: int = 0

    @classmethod
    def start(
        cls, region: Region | None, *, frame_shape: tuple[int, int], margin: float, area: float = 0.0
    ) -> "Track":
        """Return the track of an object that was annotated here; None says that it is absent.

        `area` is that of an absent object where it is painted; 0 if that is not known.
        """
        if region is None:
            y, x = (n / 2 for n in frame_shape)
            return cls(None, Window(y, x, float(max(frame_shape))), area=area, lost=1)
        window = window_around(region.box, margin=margin)
        return cls(region, window, float(region.area), extent=float(region.longer_side))

    def look(self, config: PropagationConfig, shape: tuple[int, int]) -> Window:
        """Return the window to look at on the next frame.

        Around the object while it is in sight, shrinking slowly; where it went out of sight, growing
        frame by frame, while it is lost.
        """
        if self.region is not None:
            window = window_around(self.region.box, margin=config.margin)
            return replace(window, side=max(window.side, config.margin * _SHRINK * self.extent))
        window = self.window.grown(config.growth, shape)
        y = min(max(window.y + self.velocity[0], 0), shape[0] - 1)
        x = min(max(window.x + self.velocity[1], 0), shape[1] - 1)
        return replace(window, y=y, x=x)

    def is_object(self, region: Region | None) -> bool:
        """Tell whether what was found is large enough to be this object."""
        return region is not None and region.area >= max(SMALLEST, VANISHED * self.area)

    @property
    def in_doubt(self) -> bool:
        """Whether the object may really be elsewhere: of late, so little of it was in sight."""
        return self.region is not None and self.doubt > 0

    def seen(self, region: Region, window: Window) -> "Track":
        """Return the track after the object was found."""
        velocity, area = (0.0, 0.0), self.area
        doubt = DOUBT if region.area < REMNANT * area else max(0, self.doubt - 1)
        extent = float(region.longer_side)
        if self.region is not None:
            extent = max(extent, _SHRINK * self.extent)
            step = [new - old for new, old in zip(region.centre, self.region.centre, strict=True)]
            velocity = tuple(_STEER * s + (1 - _STEER) * v for s, v in zip(step, self.velocity, strict=True))  # type: ignore[assignment]
            area = (1 - _HABIT) * self.area + _HABIT * region.area
        return Track(region, window, area or float(region.area), 0, velocity, extent, doubt)

    def missed(self, window: Window) -> "Track":
        """Return the track after the object was not found; its last motion goes on, ever slower."""
        velocity = (0.85 * self.velocity[0], 0.85 * self.velocity[1])
        return Track(None, window, self.area, self.lost + 1, velocity)
