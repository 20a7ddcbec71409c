"""The networks by name: what a checkpoint may describe, and what a training may start from."""

from collections.abc import Callable, Mapping
from typing import Any

from napari_masktrack.config import Backbone
from napari_masktrack.model.backbone import BACKBONES
from napari_masktrack.model.network import GuidedNetwork, MaskNetwork
from napari_masktrack.model.vgg16 import DeepLabVGG16

NETWORKS: dict[str, Callable[..., GuidedNetwork]] = {
    "masknet": MaskNetwork,
    "vgg16": DeepLabVGG16,
}

TRAINABLE: dict[str, dict[str, Any]] = {
    **{name: {"network": "masknet", "backbone": name} for name in BACKBONES},
    "vgg16": {"network": "vgg16"},
}
"""What `config.Backbone` names, and the description of the network that it means."""


def backbone_of(description: Mapping[str, Any]) -> Backbone:
    """Return which of `config.Backbone` a network has, by its description."""
    name: Backbone = description.get("backbone", description["network"])
    return name
