"""How far the reported confidence can be trusted: J of the frames that were given it."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import RESULTS, Cache, Entry
from benchmarks.documents import decimals, percent, table
from benchmarks.measure import settings_hash
from benchmarks.options import add_common, add_device, publish
from benchmarks.origin import footer, short_name, weights_hash
from benchmarks.sequences import DAVIS, OTHERS
from napari_masktrack.config import FINETUNE, PropagationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.plot import COLOURS, can_plot, new_figure, save_figure
from napari_masktrack.tracker import finetune_config

BINS = 10
FEW = 5
"""Fewer masks than this in a bin make no point of the curve."""
Pairs = NDArray[np.float64]
"""(N, 2): confidence and J of one object on one frame."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file that `video` wrote")
    parser.add_argument("--model", default="default", help="name or file (default)")
    parser.add_argument("--mode", default="quick", choices=tuple(FINETUNE), help="fine-tuning mode (quick)")
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Write the table ``confidence``, and draw it beside the page; nothing is measured anew."""
    sha256 = weights_hash(chosen.model)
    entries = matching(Cache(chosen.out).entries.values(), chosen.mode, sha256, chosen.device)
    if not entries:
        raise InputError(
            f"{chosen.out} holds no result of {short_name(chosen.model)!r} with {chosen.mode!r} and today's "
            f"settings; run `python -m benchmarks video` first."
        )
    davis = [entry for entry in entries if entry["sequence"].startswith(f"{DAVIS}/")]
    others = [entry for entry in entries if entry not in davis]
    groups = {f"DAVIS ({len(davis)})": pairs(davis), f"others ({len(others)})": pairs(others)}
    lines = reliability_table(groups)
    line = footer((e["origin"] for e in entries), chosen.typed, {short_name(chosen.model): sha256})
    publish(chosen, "confidence", [*lines, "", line])
    if can_plot() and not chosen.print_only:
        draw(chosen.document.parent / "images" / "reliability.png", groups)


def matching(entries: Iterable[Entry], mode: str, sha256: str, device: str) -> list[Entry]:
    """Return the results of whole sequences with these weights and today's settings."""
    wanted = {
        "mode": mode,
        "sha256": sha256,
        "device": device,
        "settings": settings_hash(finetune_config(mode), PropagationConfig()),
    }
    return [
        entry
        for entry in entries
        if all(entry[key] == value for key, value in wanted.items())
        and entry["limit"] == OTHERS.get(entry["sequence"], {}).get("limit")
    ]


def pairs(entries: Iterable[Entry]) -> Pairs:
    """Return confidence and J of every object on every frame that counts."""
    found = [
        pair
        for entry in entries
        for columns in entry["objects"].values()
        for pair in zip(columns["confidence"], columns["J"], strict=True)
        if pair[0] is not None
    ]
    return np.array(found, np.float64).reshape(-1, 2)


def reliability_table(groups: Mapping[str, Pairs]) -> list[str]:
    """Return one row per bin of confidence, then mean distance and rank correlation with J."""
    header = ["confidence", *(f"{name}: {what}" for name in groups for what in ("masks", "mean J"))]
    rows = []
    for number in range(BINS):
        row = [f"{number / BINS:.1f} to {(number + 1) / BINS:.1f}"]
        for values in groups.values():
            here = within(values, number)[:, 1]
            row += [str(here.size), percent(here.mean() if here.size else None)]
        rows.append(row)
    for title, measure in (("mean distance to J", distance), ("rank correlation with J", correlation)):
        cells = [cell for values in groups.values() for cell in ("", decimals(measure(values), 3))]
        rows.append([title, *cells])
    return table(header, rows)


def within(values: Pairs, number: int) -> Pairs:
    """Return those of a bin; the last one holds 1, too."""
    return values[np.minimum((values[:, 0] * BINS).astype(int), BINS - 1) == number]


def draw(path: Path, groups: Mapping[str, Pairs]) -> None:
    """Draw mean J against mean confidence, a point per bin with `FEW` masks at least."""
    figure, axes = new_figure(4.6, 4.2)
    axes.plot((0, 100), (0, 100), color="0.6", linestyle="--", linewidth=1, label="as it says")
    for (name, values), colour in zip(groups.items(), COLOURS, strict=False):
        bins = [within(values, number) for number in range(BINS)]
        points = [100 * each.mean(axis=0) for each in bins if len(each) >= FEW]
        axes.plot(*np.reshape(points, (-1, 2)).T, color=colour, marker="o", label=name)
    axes.set_xlabel("confidence (%)")
    axes.set_ylabel("mean J (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)


def distance(values: Pairs) -> float | None:
    """Return the mean distance between confidence and J."""
    return float(np.abs(values[:, 0] - values[:, 1]).mean()) if len(values) else None


def correlation(values: Pairs) -> float | None:
    """Return Spearman's rank correlation; None where one side does not vary."""
    if len(values) < 3 or np.ptp(values, axis=0).min() == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(values[:, 0], values[:, 1]).statistic)
