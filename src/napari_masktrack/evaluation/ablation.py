"""What each ingredient of the method is worth (paper, section 5.2 and table 1).

One ingredient at a time is left out. Rows that need another network train one, briefly; so that the
comparison is fair, the full system is trained as briefly, whenever there are images to train on.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_masktrack.config import AblationConfig
from napari_masktrack.core.segmenter import Recalling, Segmenter
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation.ablation_rows import FULL, ROWS, SHOWN, Row, choose_rows
from napari_masktrack.evaluation.ablation_training import Trainings
from napari_masktrack.evaluation.exhibits import Exhibit, tuning_in_words
from napari_masktrack.evaluation.findings import Finding, Findings, Item, work_off
from napari_masktrack.evaluation.jobs import Progress
from napari_masktrack.evaluation.markdown import NOTHING, decimals, table
from napari_masktrack.evaluation.methods import Events, Settings, tracked
from napari_masktrack.evaluation.problems import OpenProblem
from napari_masktrack.evaluation.recorded import record
from napari_masktrack.evaluation.scores import judge
from napari_masktrack.evaluation.tasks import AnalysisTask

_DIGITS = 5
_TRAINING = 0.5
"""Share of the time that trainings are taken for, where there are any."""


@dataclass(frozen=True, kw_only=True)
class Cell(Item):
    """One row on one problem; the model of its settings is that of the row.

    Attributes
    ----------
    name : str
        A key of `ROWS`.
    """

    name: str

    @property
    def row(self) -> Row:
        """What is left out."""
        return ROWS[self.name]

    @property
    def key(self) -> tuple[str, ...]:
        """Name the finding."""
        return self.name, self.problem.name


@dataclass(frozen=True)
class Shown:
    """A segmenter that is shown another guidance than there is: its box, or nothing.

    Parameters
    ----------
    segment : callable
        See `Segmenter`.
    shown : str
        A key of `SHOWN`.
    """

    segment: Segmenter
    shown: str

    def __call__(
        self, images: npt.NDArray[np.uint8], guidance: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Segment crops, uint8 (B, S, S, 3) with guidance (B, S, S); return probabilities (B, S, S)."""
        return self.segment(images, np.stack([SHOWN[self.shown](mask) for mask in guidance]))

    def remember(self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Any:
        """Return what the segmenter remembers of an annotated object; None if it cannot."""
        return self.segment.remember(image, mask) if isinstance(self.segment, Recalling) else None

    def recalling(self, memories: Sequence[Sequence[Any]]) -> "Shown":
        """Return the same around the segmenter of crops whose objects are remembered."""
        assert isinstance(self.segment, Recalling), "something was remembered"
        return replace(self, segment=self.segment.recalling(memories))


def analyse(task: AnalysisTask) -> Generator[Progress, None, list[str]]:
    """Train, run and compare; see `tasks.Analysis`.

    The table in Markdown also lies in the task's folder as ``ablation.md``, ``.csv`` and ``.json``, and
    the networks in ``weights``.

    Raises
    ------
    InputError
        There is no such row, or a row's network cannot be made; before any work.
    """
    options = task.chosen(AblationConfig)
    if task.settings.method != "masktrack":
        raise ConfigError(
            f"An ablation is of masktrack, not of {task.settings.method!r}; leave --method out."
        )
    if options.train_data and task.settings.model is not None:
        raise ConfigError("With --train-data each row has a network trained for it; leave --model out.")
    trainings = Trainings.of(options, task.folder / "weights", task.settings.device)
    rows = choose_rows(options.rows)
    if options.rows != "all":
        trainings.refuse_impossible(rows)
    possible = {name: row for name, row in rows.items() if not trainings.lacks(row)}
    return _analysed(task, trainings, rows, trainings.missing(possible.values()))


def _analysed(
    task: AnalysisTask, trainings: Trainings, rows: Mapping[str, Row], missing: Mapping[Path, Row]
) -> Generator[Progress, None, list[str]]:
    for share, text in trainings.make(missing):
        yield Progress(_TRAINING * share, text)
    possible = [name for name, row in rows.items() if not trainings.lacks(row)]
    items = cells(task, trainings, possible)
    waiting = [item for item in items if item.found() is None]
    done = _TRAINING if missing else 0.0
    for progress in work_off(measure, waiting, jobs=task.jobs):
        yield replace(progress, share=done + (1 - done) * progress.share)
    found = {name: [item.found() for item in items if item.name == name] for name in possible}
    return exhibit(task, rows, found, trainings).write(task.folder, "ablation")


def cells(task: AnalysisTask, trainings: Trainings, names: Sequence[str]) -> list[Cell]:
    """List what is to be measured: each row on each problem, row by row."""
    opened = [problem.open() for problem in task.problems]
    items = []
    for name in names:
        row, settings = ROWS[name], _settings(ROWS[name], task.settings, trainings)
        for each in opened:
            findings = Findings.of(task.folder, settings, each, samples={**row.samples}, shown=row.shown)
            items.append(Cell(name=name, problem=each.problem, settings=settings, findings=findings))
    return items


def _settings(row: Row, settings: Settings, trainings: Trainings) -> Settings:
    """Return the settings of a row: those of the full system, with what it leaves out or adds."""
    weights = trainings.path(row)
    return replace(
        settings,
        model=settings.model if weights is None else str(weights),
        finetune=row.tuning(settings.finetune),
        crf_search=settings.crf_search or row.search,
        propagation=replace(settings.propagation, **row.propagation),
    )


def measure(item: Cell) -> Generator[float, None, None]:
    """Fine-tune, carry, judge, and keep the finding; yields the share that is done."""
    opened = item.problem.open()
    recorded = yield from record(ablated(opened, item.settings, item.row), len(opened.frames))
    columns = judge(opened, recorded.pairs()).columns()
    item.keep({name: round(value, _DIGITS) for name, value in columns.items()})


def ablated(opened: OpenProblem, settings: Settings, row: Row) -> Events:
    """Compute the masks of a problem without an ingredient; see `methods.carry`."""
    from napari_masktrack.model.checkpoint import DEFAULT_MODEL
    from napari_masktrack.tracker import Tracker

    tracker = Tracker(settings.model or DEFAULT_MODEL, device=settings.device)
    tracker.samples = replace(tracker.samples, **row.samples)
    tracker.around = partial(Shown, shown=row.shown)
    return tracked(tracker, opened, opened.annotations, settings)


def exhibit(
    task: AnalysisTask,
    rows: Mapping[str, Row],
    found: Mapping[str, Sequence[Finding | None]],
    trainings: Trainings,
) -> Exhibit:
    """Return the table in the paper's layout, beside the paper's numbers."""
    ours = {
        name: 100 * float(np.mean([each["J mean"] for each in known if each]))
        for name, known in found.items()
    }
    lines: list[dict[str, Any]] = []
    for name, row in rows.items():
        delta = None if name == FULL else row.paper - ROWS[row.base].paper
        change = ours[name] - ours[row.base] if name != FULL and {name, row.base} <= ours.keys() else None
        lines.append(
            {
                "name": name, "aspect": row.aspect, "system": row.title,
                "paper": row.paper, "paper change": delta, "J": ours.get(name), "change": change,
            }
        )  # fmt: skip
    header = ["aspect", "system variant", "row", "paper J", "paper change", "J", "change"]
    cells = [
        [
            each["aspect"] or NOTHING, each["system"], f"`{each['name']}`", decimals(each["paper"]),
            _signed(each["paper change"]), decimals(each["J"]), _signed(each["change"]),
        ]
        for each in lines
    ]  # fmt: skip
    note = (
        f"Mean J in per cent, {len(task.problems)} sequence(s) of {task.protocol}, "
        f"{tuning_in_words(task.settings)}. {trainings.in_words()} {_left_out(rows, trainings)}"
        "The paper's numbers: DAVIS, 50 sequences, 20,000 steps on 11,282 images."
    )
    content = {"protocol": task.protocol, "training": trainings.described(), "sequences": {**found}}
    return Exhibit(
        rows=lines, lines=[*table(header, cells), "", note], content=content, left_out=task.left_out
    )


def _left_out(rows: Mapping[str, Row], trainings: Trainings) -> str:
    """Say which rows are missing, and what they would need."""
    lacking = {name: lacks for name, row in rows.items() if (lacks := trainings.lacks(row))}
    parts = [f"{name} needs {lacks}" for name, lacks in lacking.items()]
    return f"Left out: {'; '.join(parts)}. " if parts and trainings.recipe is not None else ""


def _signed(value: float | None) -> str:
    return decimals(value) if value is None else f"{value:+.1f}"
