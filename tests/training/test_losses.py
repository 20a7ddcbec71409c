"""What the network is punished for."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_masktrack.training.losses import OUTLINE_WIDTH, mask_loss, outline


def square(size: int = 32, low: int = 10, high: int = 22) -> Tensor:
    target = torch.zeros(1, 1, size, size)
    target[..., low:high, low:high] = 1
    return target


def loss(score: Tensor, target: Tensor, known: Tensor | None = None) -> float:
    return float(mask_loss(score, target, torch.ones_like(target) if known is None else known))


def test_a_better_mask_costs_less() -> None:
    target = square()
    perfect = loss((target * 2 - 1) * 20, target)
    shifted = loss((square(low=12, high=24) * 2 - 1) * 20, target)
    inverted = loss((1 - target * 2) * 20, target)
    assert 0 <= perfect < 0.01
    assert perfect < loss(torch.zeros_like(target), target) < inverted
    assert perfect < shifted < inverted


def test_an_error_near_the_outline_costs_more_than_one_far_away() -> None:
    target = square()
    near, far = ((target * 2 - 1) * 10 for _ in range(2))
    near[..., 8, 15] = 10
    far[..., 0, 15] = 10
    assert loss(near, target) > 1.5 * loss(far, target)


def test_nothing_is_asked_where_the_truth_is_unknown() -> None:
    target, known = square(), torch.zeros(1, 1, 32, 32)
    known[..., :16, :] = 1
    score = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    other = torch.where(known > 0, score, -7 * score)
    assert loss(score, target, known) == pytest.approx(loss(other, target, known))
    score.requires_grad_()
    mask_loss(score, target, known).backward()
    assert score.grad is not None
    assert torch.equal(score.grad != 0, known > 0)
    assert loss(score.detach(), target, torch.zeros_like(known)) == pytest.approx(0)


def test_an_empty_truth_asks_for_an_empty_mask() -> None:
    empty = torch.zeros(1, 1, 32, 32)
    assert loss(empty - 20, empty) < 0.01 < loss(empty + 20, empty)


def test_the_loss_is_that_of_its_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    score, target = torch.randn(2, 1, 32, 32, generator=generator), square().repeat(2, 1, 1, 1)
    weight = 1 + 2 * outline(target)
    entropy = (
        functional.binary_cross_entropy_with_logits(score, target, weight=weight, reduction="sum")
    ) / weight.sum()
    p = score.sigmoid()
    common, total = (p * target).sum(dim=(1, 2, 3)), (p + target).sum(dim=(1, 2, 3))
    dice = (1 - (2 * common + 64) / (total + 64)).mean()
    assert loss(score, target) == pytest.approx(float(entropy + dice), rel=1e-5)


def test_the_outline_is_a_band_on_both_sides() -> None:
    band = outline(square())
    half = OUTLINE_WIDTH // 2
    assert band[0, 0, 16, 10 - half : 10 + half].all()
    assert not band[0, 0, 16, : 10 - half].any()
    assert not band[0, 0, 10 + half : 22 - half, 10 + half : 22 - half].any()
    assert not outline(torch.ones(1, 1, 32, 32)).any(), "the border of the crop is no outline"
