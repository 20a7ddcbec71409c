"""What an analysis shows: a table as JSON, CSV and Markdown, and curves as a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_masktrack.evaluation.methods import NETWORKS, Settings
from napari_masktrack.evaluation.plot import COLOURS, MISSING, can_plot, new_figure, save_figure
from napari_masktrack.evaluation.protocols import say_left_out
from napari_masktrack.evaluation.report import write_text
from napari_masktrack.io.exporters import save_metrics_csv
from napari_masktrack.io.session_files import write_json
from napari_masktrack.io.targets import saving

_MARKERS = "os^D"
_SHADES = 5


@dataclass(frozen=True)
class Curve:
    """A line of the figure.

    Attributes
    ----------
    title : str
    x, y : sequence of float
    dashed : bool
        For baselines.
    """

    title: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """An area of the figure between two lines; wider ones come first.

    Attributes
    ----------
    title : str
    x, low, high : sequence of float
    """

    title: str
    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """The result of an analysis.

    Attributes
    ----------
    rows : sequence of mapping
        Of the CSV file, and among the content of the JSON file.
    lines : list of str
        Of the Markdown file.
    content : mapping
        What else the JSON file holds.
    curves, bands : sequence of Curve and Band
        Of the figure; without curves there is none.
    axes : (str, str)
        What x and y are.
    goal : float or None
        A value of y to mark.
    left_out : tuple of str
        Names of problems of which no frame would be judged.
    """

    rows: Sequence[Mapping[str, Any]]
    lines: list[str]
    content: Mapping[str, Any]
    curves: Sequence[Curve] = ()
    bands: Sequence[Band] = ()
    axes: tuple[str, str] = ("", "J")
    goal: float | None = None
    left_out: tuple[str, ...] = ()

    def write(self, folder: Path, stem: str) -> list[str]:
        """Write the files; earlier ones are replaced.

        Parameters
        ----------
        folder : Path
        stem : str
            Name of the files without ending.

        Returns
        -------
        list of str
            The Markdown.

        Raises
        ------
        WorkError
            The disk refused.
        """
        rows = [dict(row) for row in self.rows]
        write_json(folder / f"{stem}.json", {**self.content, "left out": [*self.left_out], "rows": rows})
        save_metrics_csv(folder / f"{stem}.csv", self.rows)
        lines = [*self.lines, *(["", say_left_out(self.left_out)] if self.left_out else [])]
        if self.curves and can_plot():
            with saving(folder / f"{stem}.png"):
                self._draw(folder / f"{stem}.png")
        elif self.curves:
            lines += ["", MISSING]
        with saving(folder / f"{stem}.md"):
            write_text(folder / f"{stem}.md", lines)
        return lines

    def _draw(self, path: Path) -> None:
        figure, axes = new_figure()
        for number, band in enumerate(self.bands, start=1):
            grey = f"{1 - number / (len(self.bands) + _SHADES):.2f}"
            axes.fill_between(band.x, band.low, band.high, color=grey, linewidth=0, label=band.title)
        for number, curve in enumerate(self.curves):
            # later curves are thinner, so that none hides another that is the same
            axes.plot(
                curve.x, curve.y, "--" if curve.dashed else "-", color=COLOURS[number % len(COLOURS)],
                marker=_MARKERS[number % len(_MARKERS)], label=curve.title,
                linewidth=1.2 + 1.4 * (len(self.curves) - number - 1),
                markersize=4 + 2.5 * (len(self.curves) - number - 1),
            )  # fmt: skip
        if self.goal is not None:
            axes.axhline(self.goal, color="0.4", linestyle=":", label=f"goal {self.goal:g}")
        axes.set_xlabel(self.axes[0])
        axes.set_ylabel(self.axes[1])
        axes.set_ylim(0, 1)
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        save_figure(figure, path)


def in_words(settings: Settings) -> str:
    """Say in a few words how masks were made."""
    if settings.method not in NETWORKS:
        return f"method {settings.method}"
    return f"method {settings.method}, model {settings.model or 'default'}, {tuning_in_words(settings)}"


def tuning_in_words(settings: Settings) -> str:
    """Say whether and how the network was fine-tuned."""
    tuned = settings.finetune
    limit = "" if tuned is None or tuned.seconds is None else f" or {tuned.seconds:g} s"
    return "without fine-tuning" if tuned is None else f"fine-tuned for up to {tuned.steps} steps{limit}"
