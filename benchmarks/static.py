"""Weights compared on still images: rough masks in, J out; and what the network costs."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.documents import table
from benchmarks.options import add_common, add_device, publish
from benchmarks.origin import Origin, footer, short_name, use_threads
from napari_masktrack.config import DeformationConfig, PropagationConfig
from napari_masktrack.core.deformation import dilate, imitate_previous
from napari_masktrack.core.instances import (
    BoolImage,
    Image,
    bounding_box,
    crop_image,
    crop_mask,
    paste,
    window_around,
)
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.io.masks import read_mask
from napari_masktrack.io.readers import open_movie
from napari_masktrack.model.checkpoint import find_weights, load_checkpoint
from napari_masktrack.model.device import choose_device, place
from napari_masktrack.model.segmenter import NetworkSegmenter
from napari_masktrack.training.datasets import find_pairs

STEPS = (1, 3)
"""J is reported after so many steps, each on the answer to the one before."""


@dataclass
class Report:
    """What one network gave: J of the masks that went in, J after each step, seconds per crop."""

    before: list[float] = field(default_factory=list)
    after: dict[int, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})
    seconds: list[float] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder with 'images' and 'masks'")
    parser.add_argument("--weights", nargs="+", default=["default"], help="names or files (default)")
    parser.add_argument("--images", type=int, help="only the first so many")
    parser.add_argument("--size", type=int, default=PropagationConfig().crop_size, help="side of the crop")
    parser.add_argument("--seed", type=int, default=0, help="of the deformations (0)")
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Measure and write the table ``static``."""
    use_threads(chosen.threads)
    pairs = find_pairs(chosen.data / "images", chosen.data / "masks")[: chosen.images]
    rows, hashes = [], {}
    for weights in chosen.weights:
        checkpoint = load_checkpoint(weights)
        name = short_name(weights)
        hashes[name] = checkpoint.sha256
        network = place(checkpoint.network, choose_device(chosen.device))
        report = judge(NetworkSegmenter(network), pairs, size=chosen.size, seed=chosen.seed)
        rows.append([name, *_cost(network, chosen.size), _megabytes(weights), *_cells(report)])
        print(" ".join(rows[-1]), flush=True)
    header = ["weights", "parameters (M)", f"multiply-adds at {chosen.size} px (G)", "file (MB)", "J in"]
    header += [f"J after {step} step{'s' if step > 1 else ''}" for step in STEPS] + ["s/crop"]
    origins = [Origin.now(threads=chosen.threads, device=chosen.device).as_dict()]
    said = f"{len(pairs)} images."
    lines = [*table(header, rows), "", said, "", footer(origins, chosen.typed, hashes)]
    publish(chosen, "static", lines, trial=chosen.images is not None)


def judge(segment: NetworkSegmenter, pairs: Sequence[tuple[Path, Path]], *, size: int, seed: int) -> Report:
    """Refine one deformed mask per image, as the next frames of a movie that stands still would."""
    report = Report()
    for index, (image_path, mask_path) in enumerate(pairs):
        true = read_mask(mask_path) > 0
        if not true.any():
            continue
        image = open_movie(image_path).image(0)
        rough = imitate_previous(true, np.random.default_rng([seed, index]), DeformationConfig())
        report.before.append(region_similarity(true, rough))
        # The deformation has coarsened the first mask already (paper, section 3.1).
        mask, widening = rough, 0.0
        for step in range(1, max(STEPS) + 1):
            mask, seconds = refine_once(segment, image, mask, size=size, widening=widening)
            widening = PropagationConfig().dilation * size / PropagationConfig().crop_size
            report.seconds.append(seconds)
            if step in STEPS:
                report.after[step].append(region_similarity(true, mask))
    return report


def refine_once(
    segment: NetworkSegmenter, image: Image, mask: BoolImage, *, size: int, widening: float
) -> tuple[BoolImage, float]:
    """Return the network's mask for a rough one and the seconds it took; an empty mask stays empty."""
    box = bounding_box(mask)
    if box is None:
        return mask, 0.0
    window = window_around(box, margin=PropagationConfig().margin)
    guidance = dilate(crop_mask(mask, window, size), widening)
    crop = crop_image(image, window, size)
    start = time.perf_counter()
    answer = segment(crop[None], guidance[None])[0]
    seconds = time.perf_counter() - start
    shape = (mask.shape[0], mask.shape[1])
    values, (y0, x0, y1, x1) = paste(answer, window, shape)
    found = np.zeros_like(mask)
    found[y0:y1, x0:x1] = values > PropagationConfig().threshold
    return found, seconds


def multiply_adds(network: nn.Module, size: int) -> int:
    """Count the multiply-adds of convolutions and linear layers for one crop."""
    total = 0

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.get_parameter("weight")[0].numel()

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, kinds)]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 4, size, size, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return total


def _cost(network: nn.Module, size: int) -> list[str]:
    parameters = sum(p.numel() for p in network.parameters())
    return [f"{parameters / 1e6:.2f}", f"{multiply_adds(network, size) / 1e9:.2f}"]


def _megabytes(weights: str) -> str:
    return f"{find_weights(weights).stat().st_size / 1e6:.1f}"


def _cells(report: Report) -> list[str]:
    series = [report.before, *report.after.values()]
    known = [seconds for seconds in report.seconds if seconds]
    return [*(f"{100 * mean(values):.1f}" for values in series), f"{median(known):.3f}"]
