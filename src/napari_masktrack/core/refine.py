"""A box or a scribble becomes a mask: ask the network, twice, guided by what it answered first."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.instances import Image, Probability, crop_image, paste, window_around
from napari_masktrack.core.region import Region

Segment = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.bool_]], npt.NDArray[np.float32]]
ROUNDS = 2


def refine(region: Region, image: Image, segment: Segment, config: PropagationConfig) -> tuple[Region, float]:
    """Return the mask of the object that a rough region means, and how sure the network is of it.

    Parameters
    ----------
    region : Region
        A filled box, a scribble, or any rough mask (paper, section 3.4: MaskTrack_Box).
    image : uint8 (Y, X, 3)
    segment : callable
        The network; see `propagation.Segmenter`.
    config : PropagationConfig

    Returns
    -------
    region : Region
        The mask; what was given if the network finds nothing there.
    confidence : float
        In [0, 1]; 0 if nothing was found.
    """
    confidence = 0.0
    for _ in range(ROUNDS):
        window = window_around(region.box, margin=config.margin)
        crop = crop_image(image, window, config.crop_size)
        answer = segment(crop[None], region.crop(window, config.crop_size)[None])[0]
        values, box = paste(answer, window, (image.shape[0], image.shape[1]))
        found = Region.of(values > config.threshold, corner=box[:2])
        if found is None:
            return region, 0.0
        region, confidence = found, expected_similarity(answer, config.threshold)
    return region, confidence


def expected_similarity(answer: Probability, threshold: float) -> float:
    """Return the J that the probabilities (S, S) themselves expect of the mask `answer > threshold`.

    Each pixel is taken as object with its probability: expected common part over expected union.
    0 when the mask is empty.
    """
    mask = answer > threshold
    count = int(np.count_nonzero(mask))
    if not count:
        return 0.0
    inside = float(answer[mask].sum())
    return min(1.0, inside / (count + float(answer.sum()) - inside))
