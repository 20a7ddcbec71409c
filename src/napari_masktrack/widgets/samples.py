"""The synthetic movie as sample data; the same pixels on every machine, nothing is downloaded."""

from typing import Any

from napari_masktrack.core.synthetic import synthetic_movie

LayerData = tuple[Any, dict[str, Any], str]

NAME = "cells"


def cells() -> list[LayerData]:
    """Give the movie."""
    return [(synthetic_movie().images, {"name": NAME, "axis_labels": ("t", "y", "x")}, "image")]


def annotated_cells() -> list[LayerData]:
    """Give the movie and its first frame annotated, ready to press the button."""
    import numpy as np

    truth = synthetic_movie()
    painted = np.zeros(truth.labels.shape, np.uint16)
    painted[0] = truth.frame(0).labels
    notes = {"masktrack": {"role": "masks", "movie": NAME}}
    about = {"name": f"{NAME} masks", "metadata": notes, "opacity": 0.6, "axis_labels": ("t", "y", "x")}
    return [*cells(), (painted, about, "labels")]
