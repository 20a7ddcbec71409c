"""Alike objects that touch or cross: who keeps which pixel."""

from collections.abc import Iterable, Mapping

import numpy as np

from napari_masktrack.core._opencv import cv2
from napari_masktrack.core.instances import BoundingBox, Labels, Probability, meet
from napari_masktrack.core.region import Region

TRESPASS = 0.6
"""Weight of a claim to pixels that were another object's on the frame before."""
DISPUTED = 0.5
"""A stray part goes to a rival that claims more than this share of it."""
Claim = tuple[int, Probability, BoundingBox]
"""An object's id, its probabilities, and the box (y0, x0, y1, x1) where they lie."""


def yield_to_owners(
    values: Probability, box: BoundingBox, label: int, owned: Mapping[int, Region]
) -> Probability:
    """Weaken an object's claim to pixels that were another's and not its own on the frame before.

    Alike objects that touch answer to each other's guidance too; who was there first keeps the pixel
    unless it left.

    Parameters
    ----------
    values : float32 (y1 - y0, x1 - x0)
    box : (y0, x0, y1, x1)
    label : int
    owned : mapping of label to Region
        Where each object was, moved to this frame.

    Returns
    -------
    float32, of the shape of `values`
    """
    near = [region for other, region in owned.items() if other != label and meet(region.box, box)]
    if not near:
        return values
    mine = owned[label].part(box)
    for region in near:
        values = np.where(region.part(box) & ~mine, values * np.float32(TRESPASS), values)
    return values


def give_up_strays(claim: Claim, labels: Labels, rivals: Iterable[Claim], *, threshold: float) -> Probability:
    """Return an object's claim without the stray parts that a rival claims as well.

    After two objects crossed, a piece of one may keep the other's id. It lies apart from its object's
    main part, and the true owner claims it: so it goes there.

    Parameters
    ----------
    claim : Claim
        Of the object.
    labels : uint16 (Y, X)
        Who won which pixel.
    rivals : iterable of Claim
        Of the other objects.
    threshold : float
        Probability from which a pixel counts as claimed.

    Returns
    -------
    float32, of the shape of the claim's values
    """
    label, values, (y0, x0, y1, x1) = claim
    won = np.ascontiguousarray(labels[y0:y1, x0:x1] == label).view(np.uint8)
    count, numbers, facts, _ = cv2().connectedComponentsWithStats(won, connectivity=8)
    if count <= 2:
        return values
    main = 1 + int(np.argmax(facts[1:, cv2().CC_STAT_AREA]))
    claimed = np.zeros(labels.shape, bool)
    for _, theirs, (top, left, bottom, right) in rivals:
        claimed[top:bottom, left:right] |= theirs > threshold
    disputed = claimed[y0:y1, x0:x1]
    for number in range(1, count):
        stray = numbers == number
        if number != main and disputed[stray].mean() > DISPUTED:
            values = np.where(stray, np.float32(0), values)
    return values
