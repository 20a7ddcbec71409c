"""One evaluation: compute the results that are missing, judge all, and summarise."""

import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.core.crf_search import SearchStep
from napari_masktrack.errors import InputError, OutputError, WorkError
from napari_masktrack.evaluation import ctc
from napari_masktrack.evaluation.given import annotate, frames_apart, refuse_oracles
from napari_masktrack.evaluation.jobs import Finished, Progress, spread
from napari_masktrack.evaluation.methods import NETWORKS, Answer, Loaded, Settings, carry, check_network
from napari_masktrack.evaluation.origins import data_of, describe, difference, weights_hash
from napari_masktrack.evaluation.problems import OpenProblem, Problem
from napari_masktrack.evaluation.protocols import PROTOCOLS, Protocol
from napari_masktrack.evaluation.results import RECORD, Record, filling, is_there, read_record
from napari_masktrack.evaluation.scores import ProblemScore
from napari_masktrack.io.exporters import open_writer
from napari_masktrack.io.refusal import shown
from napari_masktrack.io.session_files import write_json
from napari_masktrack.io.targets import check_folder

CRF_FOUND = "crf_found"
"""In the record of a result: the CRF's settings as a search found them, and J; None if it found none."""
_JUDGING = 0.05
"""Share of the time of a sequence that judging it is taken for."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is to be done.

    Attributes
    ----------
    protocol : str
        A key of `PROTOCOLS`.
    problems : tuple of Problem
    results : Path
        Folder of the results, one folder per problem.
    config : EvaluationConfig
        What the problems were chosen by.
    settings : Settings or None
        How missing results are computed; None to judge only.
    jobs : int
        Processes.
    left_out : tuple of str
        Names of problems of which no frame would be judged.
    """

    protocol: str
    problems: tuple[Problem, ...]
    results: Path
    config: EvaluationConfig = field(default_factory=EvaluationConfig)
    settings: Settings | None = None
    jobs: int = 1
    left_out: tuple[str, ...] = ()

    @property
    def rules(self) -> Protocol:
        """The protocol itself."""
        return PROTOCOLS[self.protocol]

    def folder(self, problem: Problem) -> Path:
        """Return where the result of a problem lies, or will lie."""
        return self.rules.folder(self.results, problem)


@dataclass(frozen=True)
class Judged:
    """A problem's scores, and how its result was made where that is known.

    Attributes
    ----------
    score : ProblemScore
    record : dict or None
    """

    score: ProblemScore
    record: Record | None


def prepare(evaluation: Evaluation) -> tuple[Problem, ...]:
    """Check data and results before any work.

    Returns
    -------
    tuple of Problem
        Those whose results are missing and will be computed.

    Raises
    ------
    InputError
        A file of the data or of a result is missing, damaged or does not fit; results are missing
        where nothing is to be computed, or were made in another way; or there is no such model or device.
    """
    if evaluation.protocol == "ctc":
        ctc.check_library()
    missing: list[Problem] = []
    foreign = False
    for problem in evaluation.problems:
        opened, folder = problem.open(), evaluation.folder(problem)
        if evaluation.protocol == "ctc":
            ctc.check_truth(opened)
        if not is_there(folder):
            missing.append(problem)
            continue
        evaluation.rules.check(opened, folder)
        foreign |= read_record(folder) is None
    if missing and (foreign or evaluation.settings is None):
        folder = evaluation.folder(missing[0])
        raise InputError(
            f"There is no result {shown(folder)} ({len(missing)} of {len(evaluation.problems)} missing); "
            "add it, or choose other --sequences, or a new folder to compute all."
        )
    if missing:
        assert evaluation.settings is not None, "asked above"
        if evaluation.settings.every:
            refuse_oracles(evaluation.settings)
        check_folder(evaluation.results)
        check_network(evaluation.settings)
        if found := made_otherwise(evaluation):
            raise OutputError(f"{found}; give the same, or another --results, or --score-only.")
    return tuple(missing)


def evaluate(evaluation: Evaluation, missing: tuple[Problem, ...]) -> Iterator[Progress | Finished[Judged]]:
    """Compute what is missing and judge everything.

    Parameters
    ----------
    evaluation : Evaluation
    missing : tuple of Problem
        As `prepare` returned it.

    Yields
    ------
    Progress or Finished
        The index is that of the problem. May be closed at any time: results that are complete stay,
        of others nothing is left, and the next run goes on from there.

    Raises
    ------
    InputError
        A result that was there before, or the truth, turned out to be damaged; new results are kept.
    WorkError
        Something failed on the way; complete results are kept.
    """
    names = frozenset(each.name for each in missing)
    weights = [len(each.truth) * (1.0 if each.name in names else _JUDGING) for each in evaluation.problems]
    work = partial(_work, evaluation, names)
    return spread(work, evaluation.problems, jobs=evaluation.jobs, weights=weights)


def _work(
    evaluation: Evaluation, missing: frozenset[str], problem: Problem
) -> Generator[float, None, Judged]:
    opened, folder = problem.open(), evaluation.folder(problem)
    try:
        if problem.name in missing:
            assert evaluation.settings is not None, "what is missing is computed"
            for share in compute(opened, evaluation.settings, folder, export=evaluation.rules.export):
                yield share * (1 - _JUDGING)
        score = evaluation.rules.judge(opened, folder)
    except InputError as error:
        if problem.name not in missing:  # what was handed over cannot be judged
            raise
        raise WorkError(f"{problem.name}: {error}") from error
    yield 1.0
    return Judged(score, read_record(folder))


def compute(opened: OpenProblem, settings: Settings, folder: Path, *, export: str = "png") -> Iterator[float]:
    """Compute the result of a problem; its folder appears when it is complete.

    Parameters
    ----------
    opened : OpenProblem
    settings : Settings
    folder : Path
        New; receives the masks and ``run.json`` with settings and times.
    export : str
        A key of `io.exporters.EXPORTERS`.

    Yields
    ------
    float
        The share of the frames that is done, also after each step of the fine-tuning.
    """
    count, clock, made = len(opened.frames), _Clock(), {**describe(settings), "data": data_of(opened)}
    made |= {CRF_FOUND: None} if made.get("crf_search") else {}
    given = annotate(opened, frames_apart(opened, settings.every)) if settings.every else None
    with filling(folder) as part:
        frames = range(len(opened.movie)) if export == "ctc" else opened.frames
        with open_writer(
            part, frames=len(frames), shape=opened.movie.shape, labels_max=max(opened.labels),
            first=frames.start, kind=export,
        ) as writer:  # fmt: skip
            for event in carry(opened, settings, given):
                clock.took(event)
                if isinstance(event, Loaded):
                    made |= {"weights": event.weights, "weights_sha256": event.sha256}
                if isinstance(event, SearchStep):
                    made[CRF_FOUND] = {**asdict(event.config), "J": event.similarity}
                if isinstance(event, Answer):
                    writer.write(event.frame, event.labels)
                clock.go_on()
                yield clock.frames / count
        missing = [frame for frame in writer.missing if opened.counts(frame)]  # oracles need the truth
        if export == "png" and missing:
            raise WorkError(f"Frame {missing[0]} of {opened.problem.name!r} was not computed; report this.")
        write_json(part / RECORD, {**made, **clock.times()})


class _Clock:
    """Seconds of the computation, without those of loading weights and of writing."""

    def __init__(self) -> None:
        self.frames = self.steps = 0
        self._tuning = self._carrying = 0.0
        self._since = time.perf_counter()

    def took(self, event: object) -> None:
        spent = time.perf_counter() - self._since
        if isinstance(event, Answer):
            self.frames += 1
            self._carrying += spent
        elif not isinstance(event, Loaded):
            self.steps += not isinstance(event, SearchStep)
            self._tuning += spent

    def go_on(self) -> None:
        self._since = time.perf_counter()

    def times(self) -> Record:
        total = self._tuning + self._carrying
        return {
            "frames": self.frames,
            "seconds": round(total, 3),
            "seconds_per_frame": round(total / max(1, self.frames), 4),
            "finetuning_seconds": round(self._tuning, 3),
            "finetuning_steps": self.steps,
        }


def made_otherwise(evaluation: Evaluation) -> str:
    """Say which result that is there was made otherwise than it would be made now, if any was.

    Raises
    ------
    CheckpointError
        There is no such model.
    """
    settings = evaluation.settings
    there = {each: record for each in evaluation.problems if (record := read_record(evaluation.folder(each)))}
    if settings is None or not there:
        return ""
    weights = weights_hash(settings.model) if settings.method in NETWORKS else None
    for problem, record in there.items():
        if found := difference(record, settings, problem.open(), weights):
            return f"{shown(evaluation.folder(problem))} was made {found}"
    return ""
