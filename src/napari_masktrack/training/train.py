"""One loop for offline training and online fine-tuning.

Each clip gives two optimiser steps: the first on drawn guidance, the second on the network's own
hard answer to the first. Samples are made in a background thread meanwhile.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_masktrack.config import Optimiser, share_done
from napari_masktrack.errors import WorkError
from napari_masktrack.model.device import half_precision
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.training.chance import Chance
from napari_masktrack.training.losses import mask_loss
from napari_masktrack.training.samples import Clip, View

USABLE = 0.3
"""Own answers below this J are replaced by drawn guidance: they teach nothing."""


@dataclass(frozen=True)
class TrainStep:
    """Progress of a training.

    Attributes
    ----------
    step, steps : int
        Steps done, steps in all.
    loss : float
        Of this step.
    seconds : float
        Since the start.
    """

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the optimiser goes about it.

    Attributes
    ----------
    steps : int
        Optimiser steps at most.
    seconds : float or None
        Stop after so long, and let the rate fall along the time that passes.
    least : int
        Steps that are made however long they take.
    rate, trunk_rate : float
        First rate of the new layers and of the trunk.
    optimiser : 'adamw' or 'sgd'
        'sgd' with momentum 0.9 as in the paper.
    decay : 'cosine' or 'poly'
        How the rate falls to zero; 'poly' with power 0.9 as in the paper.
    freeze_statistics : bool
        Keep the decoder's normalisation statistics as well as the trunk's.
    weight_decay : float
    warm_up : int
        Steps over which the rate rises at the start.
    first_step : int
        Steps that an earlier training made already.
    seed : int
        Of what the network draws itself, as dropout does.
    """

    steps: int
    seconds: float | None = None
    least: int = 0
    rate: float
    trunk_rate: float
    optimiser: Optimiser = "adamw"
    decay: Literal["cosine", "poly"] = "cosine"
    freeze_statistics: bool = False
    weight_decay: float = 1e-4
    warm_up: int = 0
    first_step: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Clips as tensors on the device: x (B, 3, H, W) in [0, 1]; masks (B, 1, H, W) in {0, 1}."""

    image: Tensor
    guidance: Tensor
    target: Tensor
    known: Tensor


def stack(views: Sequence[View], device: torch.device) -> Batch:
    """Return views as one batch on the device."""
    image = torch.from_numpy(np.stack([v.image for v in views])).to(device).permute(0, 3, 1, 2)
    masks = [
        torch.from_numpy(np.stack([getattr(v, name) for v in views])).to(device)[:, None].float()
        for name in ("guidance", "target", "known")
    ]
    return Batch(image.float().div(255), *masks)


def network_input(image: Tensor, guidance: Tensor) -> Tensor:
    """Return (B, 4, H, W): RGB in [0, 1], then the mask as -1 and 1, in the layout that is fastest."""
    x = torch.cat([image, guidance * 2 - 1], dim=1)
    return x.contiguous(memory_format=torch.channels_last)


def fit(
    network: GuidedNetwork,
    batches: Iterator[Sequence[Clip]],
    schedule: Schedule,
    *,
    averaged: AveragedModel | None = None,
) -> Iterator[TrainStep]:
    """Train the network in place, yielding after every step.

    Parameters
    ----------
    network : GuidedNetwork
        On the device where it should train. The iteration may be closed at any step; the weights
        of then stay in it.
    batches : iterator of sequences of Clip
        Without end; two optimiser steps are made of each.
    schedule : Schedule
    averaged : AveragedModel, optional
        Updated after every step; see `running_average`.

    Yields
    ------
    TrainStep

    Raises
    ------
    WorkError
        The loss is not a finite number.
    """
    device = next(network.parameters()).device
    optimiser = _optimiser(network, schedule)
    chance = Chance(schedule.seed + schedule.first_step, device)
    start = time.perf_counter()
    step = schedule.first_step
    try:
        for clips in batches:
            guidance: Tensor | None = None
            references = _references(clips, device) if network.recalls else None
            for index in (0, 1):
                _set_modes(network, schedule)
                done = _done(step, time.perf_counter() - start, schedule)
                if done >= 1:
                    return
                _set_rates(optimiser, schedule, done, step)
                batch = stack([clip.views[index] for clip in clips], device)
                with chance.drawn():
                    loss, score = _step(network, optimiser, batch, guidance=guidance, references=references)
                if averaged is not None:
                    averaged.update_parameters(network)
                if index == 0:
                    guidance = fed_back(score, clips, batch.target)
                step += 1
                yield TrainStep(step, schedule.steps, loss, time.perf_counter() - start)
    finally:
        network.eval()
        network.zero_grad(set_to_none=True)  # as large as the weights


def _step(
    network: GuidedNetwork,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    *,
    guidance: Tensor | None,
    references: Batch | None,
) -> tuple[float, Tensor]:
    """Make one step; guidance that is NaN for a sample leaves that sample its drawn one."""
    if guidance is not None:
        unusable = guidance.isnan().flatten(1).any(dim=1)[:, None, None, None]
        given = torch.where(unusable, batch.guidance, guidance)
    else:
        given = batch.guidance
    with half_precision(batch.image.device, training=True):
        planes = [network_input(batch.image, given)]
        if references is not None:
            memory = network.remember(references.image, references.target, references.known)
            planes.append(network.compare(batch.image, memory))
        score = network(*planes)
    score = score.float()
    loss = mask_loss(score, batch.target, batch.known)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise WorkError("The loss is no longer a number; lower the learning rate and start again.")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return value, score.detach()


def _references(clips: Sequence[Clip], device: torch.device) -> Batch | None:
    """Return the references of a batch; where one is missing nothing is known. None if all are."""
    if all(clip.reference is None for clip in clips):
        return None
    nothing = (replace(c.views[0], known=np.zeros_like(c.views[0].known)) for c in clips)
    return stack([c.reference or blank for c, blank in zip(clips, nothing, strict=True)], device)


def fed_back(score: Tensor, clips: Sequence[Clip], target: Tensor) -> Tensor:
    """Return the hard answer to the first view as guidance (B, 1, H, W) of the second.

    Samples whose answer is useless, or not to be fed back, are NaN.
    """
    mask = (score > 0).float()
    links = torch.from_numpy(np.stack([clip.link for clip in clips])).to(score.device)
    grid = functional.affine_grid(links, list(mask.shape), align_corners=False)
    moved = (functional.grid_sample(mask, grid, align_corners=False) > 0.5).float()
    common = (mask * target).sum(dim=(1, 2, 3))
    union = torch.maximum(mask, target).sum(dim=(1, 2, 3))
    drawn = torch.tensor([not clip.rollout for clip in clips], device=score.device)
    unusable = (common < USABLE * union) | drawn
    return moved.masked_fill(unusable[:, None, None, None], float("nan"))


def _optimiser(network: GuidedNetwork, schedule: Schedule) -> torch.optim.Optimizer:
    groups = [
        {"params": network.head_parameters(), "lr": schedule.rate, "base": schedule.rate},
        {"params": network.trunk_parameters(), "lr": schedule.trunk_rate, "base": schedule.trunk_rate},
    ]
    return OPTIMISERS[schedule.optimiser](groups, weight_decay=schedule.weight_decay)


def running_average(network: GuidedNetwork, decay: float) -> AveragedModel:
    """Return a copy of the network whose weights follow it as an exponential average."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


def _set_modes(network: GuidedNetwork, schedule: Schedule) -> None:
    """Train, but keep the trunk's normalisation statistics, and the decoder's if so asked."""
    network.train(not schedule.freeze_statistics)
    network.freeze_pretrained_statistics()


def _done(step: int, seconds: float, schedule: Schedule) -> float:
    return share_done(step, schedule.steps, seconds=seconds, limit=schedule.seconds, least=schedule.least)


def _set_rates(optimiser: torch.optim.Optimizer, schedule: Schedule, done: float, step: int) -> None:
    fall = (1 - done) ** 0.9 if schedule.decay == "poly" else 0.5 * (1 + math.cos(math.pi * done))
    rise = min(1.0, (step - schedule.first_step + 1) / schedule.warm_up) if schedule.warm_up else 1.0
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * fall * rise


OPTIMISERS: dict[Optimiser, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


def keep_share(network: GuidedNetwork, before: Mapping[str, Tensor], share: float) -> None:
    """Move the weights back towards those of before; `share` of the way that they went remains.

    What one frame taught stays, what it made the network forget comes back.
    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name], 1 - share)
