"""Every setting as a field of a frozen dataclass.

The form in the window and the options of the command line are built from these fields, so each
carries its limits, its unit and a tooltip.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from napari_masktrack.errors import ConfigError

Direction = Literal["both", "forward", "backward"]
FinetuneMode = Literal["off", "quick", "full"]


def _setting(default: Any, tooltip: str, **limits: Any) -> Any:
    return field(default=default, metadata={"tooltip": tooltip, **limits})


class Checked:
    """Base of the settings: values outside a field's limits are refused by name."""

    def __post_init__(self) -> None:
        """Compare each field with the limits in its metadata.

        Raises
        ------
        ConfigError
            A value is below ``min``, above ``max`` or not among ``choices``.
        """
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            low, high = each.metadata.get("min"), each.metadata.get("max")
            choices = each.metadata.get("choices")
            if value is None:
                continue
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                raise ConfigError(f"{each.name} is {value}; give a value from {low} to {high}.")
            if choices is not None and value not in choices:
                raise ConfigError(f"{each.name} is {value!r}; choose one of {', '.join(choices)}.")


@dataclass(frozen=True, kw_only=True)
class DeformationConfig(Checked):
    """How last frame's mask is imitated from the true one (paper, section 3.1)."""

    scale: float = _setting(0.05, "size change, share of the object's size", min=0.0, max=1.0)
    shift: float = _setting(0.10, "shift, share of the object's box", min=0.0, max=2.0)
    bend: float = _setting(0.10, "thin-plate spline: shift of the points, share of the box", min=0.0, max=1.0)
    points: int = _setting(5, "thin-plate spline: points on the outline", min=3, max=50)
    dilation: float = _setting(5.0, "coarsening: radius of the dilation in pixels", min=0.0, max=100.0)


@dataclass(frozen=True, kw_only=True)
class PropagationConfig(Checked):
    """How masks are carried from frame to frame (paper, section 3.3)."""

    direction: Direction = _setting(
        "both", "carry the masks forwards, backwards or both", choices=("both", "forward", "backward")
    )
    crop_size: int = _setting(320, "side of the square the network sees, in pixels", min=64, max=1024)
    margin: float = _setting(2.0, "side of the crop, in sizes of the object's box", min=1.0, max=4.0)
    dilation: float = _setting(
        3.0, "widening of the previous mask, in pixels of the crop", min=0.0, max=100.0
    )
    threshold: float = _setting(0.5, "probability from which a pixel is object", min=0.05, max=0.95)
    warp: bool = _setting(True, "move the previous mask along the optical flow first")
    reach: float = _setting(
        12.0, "parts farther than this from the previous mask are dropped, in crop pixels", min=0.0, max=500.0
    )
    growth: float = _setting(
        0.15, "growth of the search window per frame while an object is lost", min=0.0, max=2.0
    )
    crowd: float = _setting(
        6.0,
        "many objects: crops shrink so that together they cost at most this many full ones",
        min=1.0,
        max=1000.0,
    )
    flip: bool = _setting(True, "average with the mirrored crop: a little better, half as fast")
    fill_annotated: bool = _setting(
        False,
        "on annotated frames, add the objects not annotated there (painted pixels stay as they are)",
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Checked):
    """How the network adapts to the annotated frames (paper, section 3.2)."""

    steps: int = _setting(200, "optimiser steps", min=1, max=10_000)
    seconds: float | None = _setting(None, "stop after this many seconds", min=0.1, max=100_000)
    batch: int = _setting(10, "samples per step", min=1, max=256)
    size: int = _setting(256, "side of a sample in pixels", min=64, max=1024)
    rate: float = _setting(4e-4, "learning rate at the start", min=1e-8, max=1.0, step=1e-5)
    dream: float = _setting(0.5, "share of lucid dreams among the samples", min=0.0, max=1.0)
    blend: float = _setting(
        1.0, "share of the learned change that is kept; less is more cautious", min=0.0, max=1.0
    )
    seed: int = _setting(0, "seed of all random numbers", min=0, max=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Checked):
    """Offline training on images with masks (paper, section 3.1)."""

    backbone: str = _setting("mobilenet", "pretrained trunk of the network")
    steps: int = _setting(4000, "optimiser steps", min=1, max=10_000_000)
    batch: int = _setting(8, "samples per step", min=1, max=1024)
    size: int = _setting(256, "side of a crop in pixels; crops vary around it", min=64, max=1024)
    rate: float = _setting(2e-3, "learning rate of the new layers", min=1e-8, max=1.0, step=1e-5)
    trunk_rate: float = _setting(2e-4, "learning rate of the pretrained trunk", min=0.0, max=1.0, step=1e-5)
    average: float = _setting(
        0.998, "decay of the running average of the weights", min=0.0, max=0.99999, step=1e-5
    )
    others: float = _setting(0.4, "share of samples with another object pasted beside", min=0.0, max=1.0)
    dream: float = _setting(
        0.2, "share of samples whose object is cut out and put elsewhere", min=0.0, max=1.0
    )
    seed: int = _setting(0, "seed of all random numbers", min=0, max=2**31 - 1)


FINETUNE: dict[str, FinetuneConfig | None] = {
    "off": None,
    "quick": FinetuneConfig(steps=60, batch=4, rate=4e-4, seconds=22.0),
    "full": FinetuneConfig(steps=200, batch=10, rate=2e-4),
}
