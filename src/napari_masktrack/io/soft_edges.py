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
    if len(ids) < MANY:
        return
    thin = np.setdiff1d(ids, _thick(image))
    if not _most(thin, ids) or not _most(_beside_others(image, thin), ids):
        return
    warnings.warn(
        f"Most of the {len(ids)} ids in {where} are rims or single pixels, as if a mask with soft edges was "
        "saved as a grey picture. Each is taken for an object; save masks whose values are ids of objects.",
        MaskTrackWarning,
        stacklevel=2,
    )


def _most(some: NDArray[Any], ids: NDArray[Any]) -> bool:
    return 2 * len(some) > len(ids)


def _thick(image: NDArray[Any]) -> NDArray[Any]:
    """Find the ids that somewhere fill a square of 3 pixels."""
    middle = image[:, 1:-1]
    row = (middle == image[:, :-2]) & (middle == image[:, 2:])
    centre = middle[1:-1]
    square = row[:-2] & row[1:-1] & row[2:] & (centre == middle[:-2]) & (centre == middle[2:])
    return np.unique(centre[square])


def _beside_others(image: NDArray[Any], ids: NDArray[Any]) -> NDArray[Any]:
    """Choose the ids that are specks, or lie mostly next to other ids."""
    from scipy.ndimage import maximum_filter, minimum_filter

    labels = image.astype(np.int32)
    objects = np.where(labels, labels, labels.max() + 1)  # the background is no neighbour
    touching = (maximum_filter(labels, 3) > labels) | (minimum_filter(objects, 3) < labels)
    size = np.bincount(labels.ravel())
    beside = np.bincount(labels[touching], minlength=len(size))
    chosen: NDArray[Any] = ids[(size[ids] <= SPECK) | (2 * beside[ids] > size[ids])]
    return chosen
