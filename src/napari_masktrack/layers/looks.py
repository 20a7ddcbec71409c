"""How the user chose to see the layers made here: opacity, blending, contour and more, as plain values."""

from collections.abc import Mapping
from typing import Any

from napari.layers import Layer

from napari_masktrack.layers.create import notes_of

LOOKS = ("opacity", "blending", "visible", "contour", "gamma", "interpolation2d")
"""Properties of layers, where they have them."""
RANGES = ("contrast_limits",)
"""Likewise, pairs of numbers."""


_ASIDE = "put aside"


def put_aside(layer: Layer, *, aside: bool) -> None:
    """Hide a layer for a while, or show it again; `look_of` takes no note of it."""
    notes_of(layer)[_ASIDE] = aside
    layer.visible = not aside


def look_of(layer: Layer) -> dict[str, Any]:
    """Give how a layer is shown, for `give_look`; plain values that JSON holds."""
    look: dict[str, Any] = {}
    for name in LOOKS:
        if hasattr(layer, name):
            value = getattr(layer, name)
            look[name] = value if isinstance(value, bool | int | float) else str(value)
    if notes_of(layer).get(_ASIDE):
        look["visible"] = True
    for name in RANGES:
        if hasattr(layer, name):
            look[name] = [float(end) for end in getattr(layer, name)]
    if hasattr(layer, "contrast_limits"):
        look["colormap"] = str(layer.colormap.name)
    return look


def give_look(layer: Layer, look: Mapping[str, Any]) -> None:
    """Show a layer as `look_of` said; what it does not have, or does not take, stays as it is."""
    for name in (*LOOKS, *RANGES, "colormap"):
        if name in look and hasattr(layer, name):
            try:
                setattr(layer, name, look[name])
            except (KeyError, TypeError, ValueError):  # of another version of napari, or edited by hand
                continue
