"""How a movie's layer is placed and shown, as plain values that a session keeps; and such a layer again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Image

from napari_masktrack.layers.movie import LayerMovie


def describe_layer(view: LayerMovie) -> dict[str, Any]:
    """Give how a movie's layer is placed and shown, as plain values for a session."""
    layer = view.layer
    return {
        "ndim": layer.ndim,
        "scale": np.asarray(layer.scale, float).tolist(),
        "translate": np.asarray(layer.translate, float).tolist(),
        "rotate": np.asarray(layer.rotate, float).tolist(),
        "shear": np.asarray(layer.shear, float).tolist(),
        "affine": np.asarray(layer.affine.affine_matrix, float).tolist(),
        "units": [str(unit) for unit in layer.units],
        "axis_labels": list(layer.axis_labels),
        "rgb": bool(layer.rgb),
        "contrast_limits": None if layer.rgb else [float(limit) for limit in layer.contrast_limits],
    }


def image_layer(data: Any, description: Mapping[str, Any], *, name: str, rgb: bool) -> Image:
    """Make an image layer as `describe_layer` described it, as far as it fits the data.

    Parameters
    ----------
    data : array-like
    description : mapping
        Plain values; may be empty.
    name : str
    rgb : bool
        Whether the last dimension is colour.
    """
    ndim = len(data.shape) - rgb
    kept: dict[str, Any] = {}
    if description.get("ndim") == ndim:
        names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        kept = {each: description[each] for each in names if description.get(each) is not None}
    if not rgb and description.get("contrast_limits"):
        kept["contrast_limits"] = description["contrast_limits"]
    return Image(data, name=name, rgb=rgb, **kept)
