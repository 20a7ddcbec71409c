"""A simulated user who annotates one frame after the other until the masks are good enough.

Each round annotates one more frame from the truth, goes on with the fine-tuning, and carries the
masks anew. Which frame is next is the difference: the one that the program suggests, the one
farthest from all annotated ones, or the truly worst one, which no user can know.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_masktrack.config import InteractionConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.crf import CrfConfig
from napari_masktrack.evaluation.exhibits import Curve, Exhibit, in_words
from napari_masktrack.evaluation.findings import Finding, Findings, Item, work_off
from napari_masktrack.evaluation.given import annotate, refuse_oracles
from napari_masktrack.evaluation.jobs import Progress
from napari_masktrack.evaluation.markdown import decimals, table
from napari_masktrack.evaluation.methods import Events, Settings, as_boxes, carry, tracked
from napari_masktrack.evaluation.origins import made_with
from napari_masktrack.evaluation.problems import OpenProblem
from napari_masktrack.evaluation.recorded import Recorded, record
from napari_masktrack.evaluation.scores import judge
from napari_masktrack.evaluation.strategies import STRATEGIES, Round
from napari_masktrack.evaluation.tasks import AnalysisTask

if TYPE_CHECKING:
    from napari_masktrack.tracker import Tracker

EQUAL = "equal"
"""The strategy that the others are compared with."""
COLUMNS = {
    "mean": "frames until mean J {goal}",
    "reach": "sequences that reach {goal}",
    "never": "that never do",
    "median": "frames of those that do, median",
    "all": "frames annotated in all",
    "saved": "fewer than equally spaced, %",
}
"""What is said of each strategy, and the titles of the columns."""
_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class User(Item):
    """One simulated user: a problem with a strategy.

    Attributes
    ----------
    strategy : str
        A key of `STRATEGIES`.
    options : InteractionConfig
    """

    strategy: str
    options: InteractionConfig

    @property
    def key(self) -> tuple[str, ...]:
        """Name the finding."""
        return self.strategy, self.problem.name

    @property
    def weights(self) -> Path:
        """Where the weights of the last finished round are, while rounds are missing."""
        return self.findings.path(*self.key, suffix=".safetensors")

    def rounds(self) -> list[Finding]:
        """Read the finished rounds, up to the one that reaches the goal."""
        rounds: list[Finding] = []
        for each in (self.found() or {"rounds": []})["rounds"]:
            if not self.complete(rounds):
                rounds.append(each)
        return rounds

    def complete(self, rounds: Sequence[Finding]) -> bool:
        """Say whether no further round is wanted."""
        if not rounds:
            return False
        last = rounds[-1]
        return len(rounds) >= self.options.most or last["J"] >= self.options.goal or last["next"] is None


class Correction:
    """The network and the CRF of one simulated session; both go on from round to round.

    Parameters
    ----------
    opened : OpenProblem
    settings : Settings
        Methods without a network have nothing to go on with.
    weights : Path
        Where the weights of the last round are kept, if there is any fine-tuning.
    crf : mapping, optional
        The fields of the CRF's settings as the last round found them.
    """

    def __init__(
        self, opened: OpenProblem, settings: Settings, weights: Path, crf: Mapping[str, Any] | None = None
    ) -> None:
        self.opened, self.settings, self.weights = opened, settings, weights
        self._crf = CrfConfig(**crf or {})
        self._tracker: Tracker | None = None

    def answers(self, annotations: Annotations) -> Events:
        """Fine-tune from the weights of the round before, and carry the masks."""
        if not self.settings.learns:
            return carry(self.opened, self.settings, annotations)
        if self._tracker is None:
            self._tracker = self._load()
        if self.settings.method == "box":
            annotations = as_boxes(annotations, self.opened.movie.shape)
        return tracked(self._tracker, self.opened, annotations, self.settings)

    def keep(self) -> dict[str, Any]:
        """Keep the weights for a session that goes on later; returns what else its finding has to hold."""
        if self._tracker is None:
            return {}
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        self._tracker.save(self.weights)
        return {"crf": asdict(self._tracker.crf)} if self.settings.crf_search else {}

    def forget(self) -> None:
        """Remove the weights: the session is over."""
        if self.settings.learns:
            from napari_masktrack.tracker import motion_path

            for path in (self.weights, motion_path(self.weights)):
                path.unlink(missing_ok=True)

    def _load(self) -> "Tracker":
        from napari_masktrack.model.checkpoint import DEFAULT_MODEL
        from napari_masktrack.tracker import Tracker

        start = self.weights if self.weights.is_file() else self.settings.model or DEFAULT_MODEL
        tracker = Tracker(start, device=self.settings.device)
        tracker.crf = self._crf
        return tracker


def correct(item: User) -> Generator[float, None, None]:
    """Annotate frame after frame, and keep the finding after each round; yields the share that is done."""
    opened, rounds = item.problem.open(), item.rounds()
    if item.settings.learns and not item.weights.is_file():
        rounds = []
    session = Correction(opened, item.settings, item.weights, rounds[-1].get("crf") if rounds else None)
    while not item.complete(rounds):
        annotated = (*rounds[-1]["annotated"], rounds[-1]["next"]) if rounds else (opened.given,)
        share = record(session.answers(annotate(opened, annotated)), len(opened.frames))
        recorded = yield from _part(share, len(rounds), item.options.most)
        now = Round(opened, annotated, recorded, judge(opened, recorded.pairs()))
        rounds.append(
            {
                "annotated": list(annotated),
                "J": round(now.score.columns()["J mean"], _DIGITS),
                "next": STRATEGIES[item.strategy](now),
            }
        )
        rounds[-1] |= session.keep()
        item.keep({"rounds": rounds, "of": len(opened.frames)})
    session.forget()


def _part(work: Generator[float, None, Recorded], done: int, rounds: int) -> Generator[float, None, Recorded]:
    """Run one round; yields the share of all rounds that is done."""
    while True:
        try:
            yield (done + next(work)) / rounds
        except StopIteration as end:
            recorded: Recorded = end.value
            return recorded


def analyse(task: AnalysisTask) -> Generator[Progress, None, list[str]]:
    """Simulate the users; see `tasks.Analysis`.

    The tables in Markdown also lie in the task's folder as ``interaction.md``, ``.csv``, ``.json`` and,
    with matplotlib, ``.png``.

    Raises
    ------
    ConfigError
        The method makes no use of annotations; before any work.
    """
    refuse_oracles(task.settings)
    return _analysed(task, task.chosen(InteractionConfig))


def _analysed(task: AnalysisTask, options: InteractionConfig) -> Generator[Progress, None, list[str]]:
    strategies = tuple(STRATEGIES) if options.strategy == "all" else (options.strategy,)
    places = [Findings.of(task.folder, task.settings, problem.open()) for problem in task.problems]
    items = [
        User(problem=problem, settings=task.settings, findings=place, strategy=name, options=options)
        for name in strategies
        for problem, place in zip(task.problems, places, strict=True)
    ]
    missing = [item for item in items if not item.complete(item.rounds())]
    yield from work_off(correct, missing, jobs=task.jobs)
    found = {name: [item.rounds() for item in items if item.strategy == name] for name in strategies}
    names = [problem.name for problem in task.problems]
    return exhibit(task, options, found, names).write(task.folder, "interaction")


def mean_curve(sequences: Sequence[Sequence[Finding]], most: int) -> list[float]:
    """Return the mean J over the sequences after 1, 2, ... annotated frames.

    A sequence that ended earlier, because it reached the goal or had no frame left, stays as good as
    it was.
    """
    return [
        float(np.mean([rounds[min(n, len(rounds)) - 1]["J"] for rounds in sequences]))
        for n in range(1, most + 1)
    ]


def needed(values: Sequence[float], goal: float) -> int | None:
    """Return after how many annotated frames a curve reaches the goal; None if it does not."""
    return next((count for count, value in enumerate(values, start=1) if value >= goal), None)


def exhibit(
    task: AnalysisTask,
    options: InteractionConfig,
    found: Mapping[str, Sequence[Sequence[Finding]]],
    names: Sequence[str],
) -> Exhibit:
    """Return tables and figure."""
    most = max(len(rounds) for sequences in found.values() for rounds in sequences)
    curves = {name: mean_curve(sequences, most) for name, sequences in found.items()}
    rows = [{"annotated": n + 1, **{name: curve[n] for name, curve in curves.items()}} for n in range(most)]
    cells = [[str(row["annotated"]), *(decimals(row[name], 3) for name in found)] for row in rows]
    summary = {name: _reached(sequences, curves[name], options) for name, sequences in found.items()}
    equal = summary.get(EQUAL, {}).get("all")
    goal, header = f"{options.goal:g}", ["next frame", *(text for text in COLUMNS.values())]
    header = [text.format(goal=goal) for text in header]
    for each in summary.values():
        each["saved"] = None if equal is None else 100 * (1 - each["all"] / equal)
    note = (
        f"Mean J over {len(names)} sequence(s) of {task.protocol}, {in_words(task.settings)} in each round; "
        f"annotated frames count; each sequence ends with J {goal}, {options.most} annotated frames, "
        "or no frame left, and goes into the mean with the J that it had then."
    )
    return Exhibit(
        rows=rows,
        lines=[
            *table(["annotated frames", *found], cells), "",
            *table(header, [[name, *_cells(each)] for name, each in summary.items()]), "", note,
        ],
        content={
            "made_with": {"protocol": task.protocol, **made_with(task.settings, task.problems[0])},
            "goal": options.goal,
            "sequences": {name: dict(zip(names, each, strict=True)) for name, each in found.items()},
            "reached": summary,
        },
        curves=[Curve(name, [row["annotated"] for row in rows], curve) for name, curve in curves.items()],
        axes=("annotated frames", "mean J"),
        goal=options.goal,
        left_out=task.left_out,
    )  # fmt: skip


def _reached(
    sequences: Sequence[Sequence[Finding]], curve: Sequence[float], options: InteractionConfig
) -> dict[str, Any]:
    """Count how many annotated frames the goal takes; see `COLUMNS`."""
    counts = [needed([each["J"] for each in rounds], options.goal) for rounds in sequences]
    known = [count for count in counts if count is not None]
    return {
        "mean": needed(curve, options.goal),
        "reach": len(known),
        "never": len(counts) - len(known),
        "median": float(np.median(known)) if known else None,
        "all": sum(map(len, sequences)),
        "saved": None,
    }


def _cells(summary: Mapping[str, Any]) -> list[str]:
    """Write the numbers of a strategy for the table."""
    mean = "never" if summary["mean"] is None else str(summary["mean"])
    counts = [str(summary[name]) for name in ("reach", "never")]
    median, saved = (decimals(summary[name]) for name in ("median", "saved"))
    return [mean, *counts, median, str(summary["all"]), saved]
