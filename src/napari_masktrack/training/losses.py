"""What the network is punished for: cross-entropy, more near the outline, and soft Dice."""

import torch
from torch import Tensor
from torch.nn import functional

OUTLINE_WEIGHT = 2.0
OUTLINE_WIDTH = 9


def mask_loss(score: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return the mean loss of a batch.

    Parameters
    ----------
    score : float32 (B, 1, H, W)
        Log odds of the object.
    target : float32 (B, 1, H, W)
        1 on the object, 0 elsewhere.
    known : float32 (B, 1, H, W)
        1 where the target is known; elsewhere nothing is asked.

    Returns
    -------
    float32 scalar
    """
    return _weighted_entropy(score, target, known) + _dice(score, target, known)


def _weighted_entropy(score: Tensor, target: Tensor, known: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    weight = known * (1 + OUTLINE_WEIGHT * outline(target))
    return (entropy * weight).sum() / weight.sum().clamp_min(1)


def _dice(score: Tensor, target: Tensor, known: Tensor) -> Tensor:
    probability = torch.sigmoid(score) * known
    truth = target * known
    common = (probability * truth).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))
    # smoothed by 8 x 8 pixels: an empty truth still asks for an empty answer, but gently
    return (1 - (2 * common + 64) / (total + 64)).mean()


def outline(target: Tensor, *, width: int = OUTLINE_WIDTH) -> Tensor:
    """Return 1 within `width` / 2 pixels of the outline of a mask (B, 1, H, W), 0 elsewhere."""
    return _grown(target, width) + _grown(-target, width)


def _grown(plane: Tensor, width: int) -> Tensor:
    """Return the largest value in a square around each pixel: along one side, then along the other."""
    columns = functional.max_pool2d(plane, (width, 1), 1, (width // 2, 0))
    return functional.max_pool2d(columns, (1, width), 1, (0, width // 2))
