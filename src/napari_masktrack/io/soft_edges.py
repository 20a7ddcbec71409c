"""Tell a mask with soft edges, saved as a grey picture, from a mask of many objects."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.errors import MaskTrackWarning

MANY = 10
"""Fewer ids on a frame are taken as they are."""
SPECK = 2
"""Pixels of an id that is hardly an object, whatever lies beside it."""


def warn_of_soft_edges(image: NDArray[Any], where: str) -> None:
    """Warn of a label image of which most ids are rims or specks.

    Parameters
    ----------
    image : array, (Y, X), bool or integer
        0 is background.
    where : str
        The image in the warning.

    Warns
    -----
    MaskTrackWarning
        It looks like a mask with soft edges.
    """
    ids = np.unique(image[image != 0])
    if len(ids) < MANY or not 2 * len(_rims(image)) > len(ids):
        return
    warnings.warn(
        f"Most of the {len(ids)} ids in {where} are rims or single pixels, as if a mask with soft edges was "
        "saved as a grey picture. Each is taken for an object; save masks whose values are ids of objects.",
        MaskTrackWarning,
        stacklevel=2,
    )


def _rims(image: NDArray[Any]) -> NDArray[np.integer[Any]]:
    """Find the ids that are nowhere 3 pixels thick, and specks or mostly next to other ids."""
    from scipy.ndimage import maximum_filter, minimum_filter

    labels = image.astype(np.int32)
    highest, lowest = maximum_filter(labels, 3), minimum_filter(labels, 3)
    objects = np.where(labels, labels, labels.max() + 1)  # the background is no neighbour
    touching = (highest > labels) | (minimum_filter(objects, 3) < labels)
    size = np.bincount(labels.ravel())
    thick = np.bincount(labels[highest == lowest], minlength=len(size)) > 0
    beside = np.bincount(labels[touching], minlength=len(size)) > size / 2
    rims = np.flatnonzero((size > 0) & ~thick & (beside | (size <= SPECK)))
    return rims[rims > 0]
