"""Every setting as a field of a frozen dataclass.

The form in the window and the options of the command line are built from these fields, so each
carries its limits, its unit and a tooltip.
"""

import sys
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal, get_args

from napari_masktrack.errors import ConfigError

Direction = Literal["both", "forward", "backward"]
FinetuneMode = Literal["off", "quick", "full"]
Backbone = Literal["mobilenet", "resnet50", "vgg16"]
Optimiser = Literal["adamw", "sgd"]
Drawing = Literal["segments", "boxes"]
Strategy = Literal["all", "suggested", "equal", "worst"]
DEVICES = ("auto", "cpu", "cuda", "mps")


_KINDS = {bool: "yes or no, True or False", int: "whole number", float: "number", str: "name"}


def _kind(each: "Field[Any]") -> type | None:
    """Give of which kind a field is, told by its default, or by its type where that is None."""
    kinds = get_args(each.type) if each.default is None else (type(each.default),)
    return next((kind for kind in kinds if kind in _KINDS), None)


def _is_kind(value: object, kind: type) -> bool:
    """Whether a value is of a kind, or can be made one without a loss."""
    if kind is bool:
        numpy = sys.modules.get("numpy")  # without it there are no values of its types
        return isinstance(value, bool) or (numpy is not None and isinstance(value, numpy.bool_))
    if kind is int:
        return isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer())
    return isinstance(value, Real if kind is float else kind)


def _setting(default: Any, tooltip: str, **limits: Any) -> Any:
    return field(default=default, metadata={"tooltip": tooltip, **limits})


class Checked:
    """Base of the settings: values outside a field's limits are refused by name."""

    def __post_init__(self) -> None:
        """Compare each field with the limits in its metadata; 320.0 becomes 320 where whole numbers count.

        Raises
        ------
        ConfigError
            A value is below ``min``, above ``max``, not among ``choices``, a fraction where only whole
            numbers count, or of another kind than the field.
        """
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            low, high = each.metadata.get("min"), each.metadata.get("max")
            choices = each.metadata.get("choices")
            if value is None and type(None) in get_args(each.type):
                continue
            kind = _kind(each)
            if kind is not None and not _is_kind(value, kind):
                raise ConfigError(f"{each.name} is {value!r}; give a {_KINDS[kind]}.")
            if kind in (bool, int):
                object.__setattr__(self, each.name, kind(value))
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
    reference: bool = _setting(
        True, "compare with the annotated frame, so that the object is told from its like, if the model can"
    )
    warp: bool = _setting(True, "move the previous mask along the optical flow first")
    reach: float = _setting(
        40.0, "parts farther than this from the previous mask are dropped, in crop pixels", min=0.0, max=500.0
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
    flip: bool = _setting(False, "average with the mirrored crop: a little better, a third slower")
    flow: bool = _setting(False, "look at how everything moves, too (MaskTrack + Flow): twice as slow")
    crf: bool = _setting(
        False, "sharpen the masks with a fully connected CRF; each frame then waits for the next one"
    )
    edges: bool = _setting(
        True,
        "put outlines on the image's edges by a fast CRF, if painted masks, or those found in boxes, follow "
        "them, too; each frame then waits for the next one",
    )
    both_sides: bool = _setting(
        False,
        "between two annotated frames carry the masks from both, to see where they disagree (column "
        "agreement of the table of confidence); takes twice as long there, changes no mask, and needs both "
        "directions",
    )
    fill_annotated: bool = _setting(
        False,
        "on annotated frames, add the objects not annotated there (painted pixels stay as they are)",
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Checked):
    """How the network adapts to the annotated frames (paper, section 3.2)."""

    steps: int = _setting(200, "optimiser steps", min=1, max=10_000)
    seconds: float | None = _setting(
        None, "stop after this many seconds, if enough steps are made", min=0.1, max=100_000
    )
    least: int = _setting(0, "steps made in any case, however slow the computer is", min=0, max=10_000)
    batch: int = _setting(10, "samples per step", min=1, max=256)
    size: int = _setting(256, "side of a sample in pixels", min=64, max=1024)
    rate: float = _setting(4e-4, "learning rate at the start", min=1e-8, max=1.0, step=1e-5)
    dream: float = _setting(0.5, "share of lucid dreams among the samples", min=0.0, max=1.0)
    recall: float = _setting(
        1.0, "share of samples that are compared with the annotated frame, if the model can", min=0.0, max=1.0
    )
    blend: float = _setting(
        1.0, "share of the learned change that is kept; less is more cautious", min=0.0, max=1.0
    )
    seed: int = _setting(0, "seed of all random numbers", min=0, max=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Checked):
    """Offline training on images with masks (paper, section 3.1)."""

    backbone: Backbone = _setting(
        "mobilenet", "trunk of the network; vgg16 is the paper's network", choices=get_args(Backbone)
    )
    matching: int = _setting(
        0, "channels by which a crop is compared with the annotated frame; 0 leaves that out", min=0, max=1024
    )
    optimiser: Optimiser = _setting(
        "adamw",
        "adamw, the rate falls as a cosine; or sgd as in the paper: momentum 0.9, polynomial fall",
        choices=get_args(Optimiser),
    )
    steps: int = _setting(4000, "optimiser steps", min=1, max=10_000_000)
    batch: int = _setting(8, "samples per step", min=1, max=1024)
    size: int = _setting(256, "side of a crop in pixels; crops vary around it", min=64, max=1024)
    rate: float = _setting(2e-3, "learning rate of the new layers", min=1e-8, max=1.0, step=1e-5)
    trunk_rate: float = _setting(2e-4, "learning rate of the pretrained trunk", min=0.0, max=1.0, step=1e-5)
    average: float = _setting(
        0.998, "decay of the running average of the weights", min=0.0, max=0.99999, step=1e-5
    )
    blend: float = _setting(
        1.0, "share of the learned change that is kept; below 1 it needs a network to start from",
        min=0.0, max=1.0,
    )  # fmt: skip
    others: float = _setting(0.4, "share of samples with another object pasted beside", min=0.0, max=1.0)
    dream: float = _setting(
        0.2, "share of samples whose object is cut out and put elsewhere", min=0.0, max=1.0
    )
    seed: int = _setting(0, "seed of all random numbers", min=0, max=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Checked):
    """Which part of a data set is judged; each protocol has some of these settings."""

    year: Literal["2016", "2017"] = _setting(
        "2016", "whose lists and rules: one object per sequence, or several ids", choices=("2016", "2017")
    )
    set: str = _setting("val", "list of sequences, as val or train, or several: train,val")
    resolution: str = _setting("480p", "folder of the resolution, as 480p or Full-Resolution")
    skip_last: bool = _setting(False, "the last frame does not count")
    only_present: bool = _setting(False, "an object counts only on frames whose truth shows it")
    sparse: bool = _setting(False, "frames without a true mask are allowed, and do not count")
    limit: int = _setting(0, "only so many frames of each sequence, for a trial; 0 for all", min=0, max=10**9)


@dataclass(frozen=True, kw_only=True)
class DensityConfig(Checked):
    """How much annotating more frames helps (paper, section 5.4)."""

    annotate: Drawing = _setting(
        "segments", "what is drawn on the annotated frames", choices=get_args(Drawing)
    )
    densest: int = _setting(2, "annotate every n-th frame at most; the paper goes down to 2", min=2, max=1000)


@dataclass(frozen=True, kw_only=True)
class InteractionConfig(Checked):
    """How many frames have to be annotated, one after the other, until the masks are good enough."""

    strategy: Strategy = _setting(
        "all",
        "which frame is annotated next: the suggested one, the one farthest from annotated ones, the truly "
        "worst one, or each of these in turn",
        choices=get_args(Strategy),
    )
    most: int = _setting(10, "stop at this many annotated frames", min=1, max=100_000)
    goal: float = _setting(0.9, "stop at this mean J", min=0.0, max=1.0)


@dataclass(frozen=True, kw_only=True)
class AblationConfig(Checked):
    """Which ingredients of the method are left out (paper, table 1), and how networks are trained for it."""

    rows: str = _setting("all", "rows of the table by name, with commas between")
    recipe: str = _setting(
        "", "data and settings of the training in TOML; paths are relative to --train-data"
    )
    train_data: str = _setting("", "folder with 'images' and 'masks', or the one of the recipe's paths")
    video_data: str = _setting("", "folder of sequences with 'images' and 'labels', for the row 'video'")
    train_steps: int = _setting(300, "optimiser steps of each training", min=1, max=10_000_000)


def share_done(step: int, steps: int, *, seconds: float, limit: float | None, least: int) -> float:
    """Return the share of a training that is over, by steps or by time, whichever is more.

    Parameters
    ----------
    step, steps : int
        Steps made, steps in all.
    seconds : float
        Since the start.
    limit : float or None
        Seconds after which the training ends, but not before `least` steps.
    least : int
    """
    by_steps = step / steps
    if limit is None:
        return by_steps
    return max(by_steps, min(seconds / limit, step / least) if least else seconds / limit)


FINETUNE: dict[str, FinetuneConfig | None] = {
    "off": None,
    "quick": FinetuneConfig(steps=60, batch=4, rate=4e-4, seconds=19.0, least=30, blend=0.6),
    "full": FinetuneConfig(steps=200, batch=4, rate=2e-4, blend=0.6),
}
