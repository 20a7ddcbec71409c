"""The rows of the paper's table 1: what each leaves out or adds, and the paper's number on DAVIS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_masktrack.config import FinetuneConfig
from napari_masktrack.core.deformation import as_box
from napari_masktrack.core.instances import BoolImage
from napari_masktrack.errors import ConfigError

FULL = "masktrack"
"""The row with which the others are compared."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system of the table.

    Attributes
    ----------
    aspect, title : str
        As in the paper.
    paper : float
        The paper's mean J, in per cent.
    base : str
        The row with which it is compared.
    samples : mapping
        Fields of `SampleConfig` that differ, in offline training and in fine-tuning.
    propagation : mapping
        Fields of `PropagationConfig` that differ.
    finetune : mapping or None
        Fields of `FinetuneConfig` that differ; None for no fine-tuning.
    search : bool
        Whether the CRF's settings are searched on the annotated frame.
    training : {"full", "none", "fewer", "video"}
        What the network learned before: all images; nothing but its pretrained trunk; the paper's
        share of the images; frames of videos.
    shown : str
        What of the rough mask the network is shown, a key of `SHOWN`.
    """

    aspect: str
    title: str
    paper: float
    base: str = FULL
    samples: Mapping[str, Any] = field(default_factory=dict)
    propagation: Mapping[str, Any] = field(default_factory=dict)
    finetune: Mapping[str, Any] | None = field(default_factory=dict)
    search: bool = False
    training: str = "full"
    shown: str = "mask"

    @property
    def retrains(self) -> bool:
        """Whether the network is another than that of the full system."""
        return self.training != "full" or bool(self.samples)

    def tuning(self, config: FinetuneConfig | None) -> FinetuneConfig | None:
        """Return how the row fine-tunes where the full system does it so; None for not at all."""
        return None if config is None or self.finetune is None else replace(config, **self.finetune)


def choose_rows(names: str) -> dict[str, Row]:
    """Return rows by name, in the order of the table.

    Parameters
    ----------
    names : str
        With commas between, or 'all'.

    Raises
    ------
    ConfigError
        There is no such row.
    """
    wanted = {name.strip() for name in names.split(",")}
    unknown = sorted(wanted - {*ROWS, "all"})
    if unknown:
        raise ConfigError(f"There is no row {unknown[0]!r}; choose of {', '.join(ROWS)}, or all.")
    return {name: row for name, row in ROWS.items() if name in wanted or "all" in wanted}


def _nothing(mask: BoolImage) -> BoolImage:
    return np.zeros_like(mask)


def _mask(mask: BoolImage) -> BoolImage:
    return mask


SHOWN: dict[str, Callable[[BoolImage], BoolImage]] = {"mask": _mask, "box": as_box, "nothing": _nothing}
_PURE = {"paper": False, "stray": 0.0, "rollout": False}
"""Guidance is what the row says: no other object, no own answers, nothing that a recipe asks for."""
_EXACT = {**_PURE, "exact": True, "empty": 0.0}
_BOXES = {**_PURE, "box": 1.0, "dilation": False, "turn": 0.0, "empty": 0.0}
_NO_MASK = {**_PURE, "empty": 1.0, "reference": 0.0}
ROWS: dict[str, Row] = {
    "flow-crf": Row(
        aspect="Add-ons", title="MaskTrack+Flow+CRF", paper=80.3, base="flow",
        propagation={"flow": True, "crf": True}, search=True,
    ),
    "flow": Row(aspect="Add-ons", title="MaskTrack+Flow", paper=78.4, propagation={"flow": True}),
    FULL: Row(aspect="", title="MaskTrack", paper=74.8),
    "no-finetuning": Row(aspect="Training", title="No online fine-tuning", paper=69.9, finetune=None),
    "no-offline": Row(aspect="Training", title="No offline training", paper=57.6, training="none"),
    "fewer-images": Row(aspect="Training", title="Reduced offline training", paper=73.2, training="fewer"),
    "video": Row(aspect="Training", title="Training on video", paper=72.0, training="video"),
    "no-dilation": Row(
        aspect="Mask deformation", title="No dilation", paper=72.4,
        samples={"dilation": False}, propagation={"dilation": 0.0},
    ),
    "no-deformation": Row(
        aspect="Mask deformation", title="No deformation", paper=17.1,
        samples=_EXACT, propagation={"dilation": 0.0},
    ),
    "no-nonrigid": Row(
        aspect="Mask deformation", title="No non-rigid deformation", paper=73.3,
        samples={"bend": False, "lobe": 0.0},
    ),
    "boxes": Row(aspect="Input channel", title="Boxes", paper=69.6, samples=_BOXES, shown="box"),
    "no-mask": Row(
        aspect="Input channel", title="No input", paper=72.5,
        samples=_NO_MASK, propagation={"reference": False}, finetune={"recall": 0.0}, shown="nothing",
    ),
}  # fmt: skip
