"""How good masks get when more frames are annotated (paper, section 5.4 and figure 7).

Every 40th, 30th, ... 2nd frame is annotated from the truth; masks are carried both ways from the
nearest annotated frame, after fine-tuning on all of them. Annotated frames count, the first and the
last one do not. The baseline copies the nearest annotation.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from napari_masktrack.config import DensityConfig, Drawing
from napari_masktrack.core.metrics import PERCENTS, quantiles
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation.exhibits import Band, Curve, Exhibit, in_words
from napari_masktrack.evaluation.findings import Finding, Findings, Item, work_off
from napari_masktrack.evaluation.given import annotate, frames_apart, refuse_oracles
from napari_masktrack.evaluation.jobs import Progress
from napari_masktrack.evaluation.markdown import decimals, table
from napari_masktrack.evaluation.methods import Settings, carry
from napari_masktrack.evaluation.origins import made_with
from napari_masktrack.evaluation.protocols import leave_out_unjudged
from napari_masktrack.evaluation.recorded import record
from napari_masktrack.evaluation.scores import judge
from napari_masktrack.evaluation.tasks import AnalysisTask

EVERY: tuple[int | None, ...] = (None, 40, 30, 20, 10, 5, 3, 2)
"""The paper's densities: the first frame alone, then every n-th one."""
BANDS = tuple(zip(PERCENTS[: len(PERCENTS) // 2], PERCENTS[::-1], strict=False))
"""Pairs of quantiles between which the figure is shaded."""
ORDINALS = {2: "nd", 3: "rd"}
_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class Dose(Item):
    """One problem at one density.

    Attributes
    ----------
    frames : tuple of int
        The annotated ones.
    name : str
        Of the density.
    drawing : {"segments", "boxes"}
    """

    frames: tuple[int, ...]
    name: str
    drawing: Drawing

    @property
    def key(self) -> tuple[str, ...]:
        """Name the finding."""
        return self.drawing, self.name, self.problem.name


def analyse(task: AnalysisTask) -> Generator[Progress, None, list[str]]:
    """Measure the curve; see `tasks.Analysis`.

    The table in Markdown also lies in the task's folder as ``density-segments.md`` (or boxes), ``.csv``,
    ``.json`` and, with matplotlib, ``.png``.

    Raises
    ------
    ConfigError
        The method makes no use of annotations, or only of other ones than are drawn; before any work.
    InputError
        No frame of a sequence would be judged, as the last one is not; before any work.
    """
    refuse_oracles(task.settings)
    options = task.chosen(DensityConfig)
    if task.settings.method == "box" and options.annotate != "boxes":
        raise ConfigError("--method box belongs to --annotate boxes; give both, or leave it out.")
    judged, left_out = leave_out_unjudged(
        task.protocol, (replace(problem, without_last=True) for problem in task.problems)
    )
    return _analysed(replace(task, problems=judged, left_out=(*task.left_out, *left_out)), options)


def _analysed(task: AnalysisTask, options: DensityConfig) -> Generator[Progress, None, list[str]]:
    densities = [every for every in EVERY if every is None or every >= options.densest]
    copying = replace(task.settings, method="copy")
    ours, copies = (
        plan(task, densities, settings, options.annotate) for settings in (task.settings, copying)
    )
    items = {item.path: item for row in (*ours, *copies) for item in row}
    missing = [item for path, item in items.items() if not path.is_file()]
    yield from work_off(measure, missing, jobs=task.jobs)
    rows = [
        {"annotated": title(every), **summarise(row), "copy J": summarise(copied)["J"]}
        for every, row, copied in zip(densities, ours, copies, strict=True)
    ]
    return exhibit(task, rows, ours).write(task.folder, f"density-{options.annotate}")


def title(every: int | None) -> str:
    """Say which frames are annotated."""
    return "first frame" if every is None else f"every {every}{ORDINALS.get(every, 'th')}"


def plan(
    task: AnalysisTask, densities: Sequence[int | None], settings: Settings, drawing: Drawing
) -> list[list[Dose]]:
    """List for each density the items of all problems; of a short movie several may be the same."""
    rows: list[list[Dose]] = [[] for _ in densities]
    for problem in task.problems:
        opened, names = problem.open(), dict[tuple[int, ...], str]()
        findings = Findings.of(task.folder, settings, opened)
        item = partial(Dose, problem=problem, drawing=drawing, settings=settings, findings=findings)
        for row, every in zip(rows, densities, strict=True):
            frames = frames_apart(opened, every)
            name = names.setdefault(frames, "first" if every is None else f"every-{every}")
            row.append(item(frames=frames, name=name))
    return rows


def measure(item: Dose) -> Generator[float, None, None]:
    """Annotate, carry, judge, and keep the finding; yields the share that is done."""
    opened, start = item.problem.open(), time.perf_counter()
    annotations = annotate(opened, item.frames, item.drawing)
    recorded = yield from record(carry(opened, item.settings, annotations), len(opened.frames))
    seconds = time.perf_counter() - start
    score = judge(opened, recorded.pairs())
    objects = {
        str(each.label): {"frames": each.frames, "J": [round(value, _DIGITS) for value in each.values["J"]]}
        for each in score.objects
    }
    finding = {
        "annotated": list(item.frames),
        "of": len(opened.frames),
        "objects": objects,
        "seconds": round(seconds, 2),
    }
    item.keep(finding)


def summarise(items: Sequence[Dose]) -> dict[str, float]:
    """Return the numbers of one density: means over the sequences, quantiles over all frames."""
    findings = [item.found() for item in items]
    known = [finding for finding in findings if finding is not None]
    values = [value for finding in known for series in _series(finding) for value in series]
    means = [np.mean([np.mean(series) for series in _series(finding)]) for finding in known]
    return {
        "frames": float(np.mean([len(finding["annotated"]) for finding in known])),
        "percent": float(np.mean([100 * len(each["annotated"]) / each["of"] for each in known])),
        "J": float(np.mean(means)),
        **{f"q{percent}": value for percent, value in quantiles(values).items()},
    }


def exhibit(
    task: AnalysisTask, rows: Sequence[Mapping[str, Any]], items: Sequence[Sequence[Dose]]
) -> Exhibit:
    """Return table and figure."""
    first, known = items[0][0], [item for row in items for item in row]
    drawing, x = first.drawing, [row["percent"] for row in rows]
    columns = ("J", *(f"q{percent}" for percent in PERCENTS), "copy J")
    header = ["annotated", "% of frames", "J", *(f"{percent} %" for percent in PERCENTS), "copy J"]
    cells = [[row["annotated"], decimals(row["percent"])] for row in rows]
    for line, row in zip(cells, rows, strict=True):
        line += [decimals(row[name], 3) for name in columns]
    note = (
        f"{drawing.capitalize()}, {len(items[0])} sequence(s) of {task.protocol}, "
        f"{in_words(first.settings)}. J is the mean over the sequences; quantiles are over all frames; "
        "first and last frame left out."
    )
    curves = [
        Curve(f"{first.settings.method}, mean", x, [row["J"] for row in rows]),
        Curve("copy the nearest annotation, mean", x, [row["copy J"] for row in rows], dashed=True),
    ]
    return Exhibit(
        rows=rows,
        lines=[*table(header, cells), "", note],
        content={
            "made_with": {
                "protocol": task.protocol, "annotate": drawing, **made_with(first.settings, first.problem)
            },
            "sequences": {f"{each.problem.name} {each.name}": each.found() for each in known},
        },
        curves=curves if first.settings.method != "copy" else curves[1:],
        bands=[
            Band(
                f"quantiles {low} to {high} %", x, [row[f"q{low}"] for row in rows],
                [row[f"q{high}"] for row in rows],
            )
            for low, high in BANDS
        ],
        axes=("annotated frames in per cent", "J"),
        left_out=task.left_out,
    )  # fmt: skip


def _series(finding: Finding) -> Iterator[list[float]]:
    return (each["J"] for each in finding["objects"].values())
