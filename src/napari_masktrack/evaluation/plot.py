"""Scores as pictures, drawn by matplotlib, which the extra ``evaluate`` brings: napari does not need it."""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.evaluation.ctc import METRICS
from napari_masktrack.io.targets import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_masktrack.evaluation.summary import Summary

MISSING = "No plot was drawn, for want of matplotlib; install it: pip install matplotlib."
"""What to tell a user where `can_plot` is false."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Told apart by colour-blind people too (Okabe and Ito)."""


def can_plot() -> bool:
    """Say whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def new_figure(width: float = 7.0, height: float = 4.5) -> "tuple[Figure, Axes]":
    """Make a figure of so many inches with one set of axes; it needs no window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG file that appears whole or not at all."""
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)


def draw_all(summary: "Summary", scores: Path, attributes: Path) -> list[Path]:
    """Draw a bar per sequence and metric and, where attributes are known, per attribute (paper, figure 5).

    Returns
    -------
    list of Path
        What was drawn.
    """
    _draw_bars(scores, summary.sequences, summary.mean)
    if not summary.attributes:
        return [scores]
    rows = {f"{each.title} ({len(each.sequences)})": each.mean for each in summary.attributes}
    _draw_bars(attributes, rows, summary.mean)
    return [scores, attributes]


def _draw_bars(path: Path, rows: Mapping[str, Mapping[str, float]], means: Mapping[str, float]) -> None:
    """Draw bars, the best row on top, and the means as lines."""
    metrics = [name for name in means if name.endswith(" mean")]
    metrics = metrics or [name for name in METRICS if name in means]
    known = {name: [row.get(metric, math.nan) for metric in metrics] for name, row in rows.items()}
    order = sorted(known, key=lambda name: known[name][0])
    figure, axes = new_figure(height=max(2.5, 1.1 + 0.26 * len(order)))
    thickness = 0.8 / len(metrics)
    for index, metric in enumerate(metrics):
        colour, mean = COLOURS[index], 100 * means[metric]
        places = [place + 0.4 - (index + 0.5) * thickness for place in range(len(order))]
        values = [100 * known[name][index] for name in order]
        title = f"{metric.removesuffix(' mean')}, mean {mean:.1f}"
        axes.barh(places, values, height=thickness, color=colour, label=title)
        axes.axvline(mean, color=colour, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(0, 100)
    axes.set_xlabel("per cent")
    figure.legend(loc="outside upper center", ncols=len(metrics))  # beside the bars, never over them
    save_figure(figure, path)
