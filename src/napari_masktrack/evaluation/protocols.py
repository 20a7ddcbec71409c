"""The protocols by name: how a data set lies on disk, how a result is judged, and what the mean is over."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation import ctc, layouts
from napari_masktrack.evaluation.problems import Makers, OpenProblem, Problem, UnjudgedError, title_of
from napari_masktrack.evaluation.results import find_result, read_result
from napari_masktrack.evaluation.scores import ProblemScore, judge
from napari_masktrack.io.refusal import shown

Finder = Callable[[Path, EvaluationConfig], Makers]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one benchmark is run.

    Attributes
    ----------
    title : str
    find : callable
        Lists the problems of a data folder by name, without making them.
    check : callable
        Refuses a result folder that cannot be judged.
    judge : callable
        Judges a result folder.
    export : str
        In which format of `io.exporters` results are written.
    suffix : str
        What a result's folder is called beyond the problem's name.
    unit : str
        What a problem is.
    spares : bool
        Whether problems of which no frame would be judged are left out; elsewhere they are refused.
    """

    title: str
    find: Finder
    check: Callable[[OpenProblem, Path], object] = find_result
    judge: Callable[[OpenProblem, Path], ProblemScore]
    export: str = "png"
    suffix: str = ""
    unit: str = "sequences"
    spares: bool = False

    def folder(self, results: Path, problem: Problem) -> Path:
        """Return where the result of a problem lies."""
        return results / f"{problem.name}{self.suffix}"


def find_problems(
    name: str,
    data: Path,
    config: EvaluationConfig,
    wanted: Collection[str] = (),
    *,
    excluded: Collection[str] = (),
) -> list[Problem]:
    """List the problems of a data folder.

    Parameters
    ----------
    name : str
        A key of `PROTOCOLS`.
    data : Path
    config : EvaluationConfig
    wanted, excluded : collection of str
        Names, whole or their last part; by default all are wanted, and none is excluded. What is left
        out needs no files.

    Raises
    ------
    InputError
        The folder does not hold such a data set, or not a sequence that is named, or none is left.
    """
    if not data.is_dir():
        raise InputError(f"There is no folder {shown(data)}; check the path.")
    protocol = PROTOCOLS[name]
    makers = protocol.find(data, config)
    if not makers:
        raise InputError(f"{shown(data)} holds no sequences of {protocol.title}; check the data folder.")
    names = {each: {each, title_of(each)} for each in makers}
    unknown = sorted({*wanted, *excluded}.difference(*names.values()))
    if unknown:
        raise InputError(
            f"There is no sequence {shown(', '.join(unknown))} in {shown(data)}; check the name."
        )
    chosen = [each for each, known in names.items() if not wanted or not known.isdisjoint(wanted)]
    left = [each for each in chosen if names[each].isdisjoint(excluded)]
    if not left:
        raise InputError(f"No sequence of {shown(data)} is left; exclude fewer.")
    return [makers[each]() for each in left]


def leave_out_unjudged(name: str, problems: Iterable[Problem]) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """Open problems, and leave out those of which no frame would be judged.

    Parameters
    ----------
    name : str
        A key of `PROTOCOLS`.
    problems : iterable of Problem

    Returns
    -------
    tuple of Problem
        The others.
    tuple of str
        Names of those that are left out.

    Raises
    ------
    InputError
        There is such a problem, but the protocol does not leave any out, or none would be left; or files
        of a problem cannot be used.
    """
    left: list[Problem] = []
    refused: dict[str, UnjudgedError] = {}
    for problem in problems:
        try:
            problem.open()
        except UnjudgedError as error:
            refused[problem.name] = error
        else:
            left.append(problem)
    if not refused or (left and PROTOCOLS[name].spares):
        return tuple(left), tuple(refused)
    if len(refused) == 1:
        raise next(iter(refused.values()))
    names = [shown(each) for each in refused]
    advice = f"leave them out: --exclude {','.join(names)}" if left else "take longer sequences"
    raise UnjudgedError(
        f"No frame of {', '.join(names)} would be judged, as the first mask is given and no other one "
        f"counts; {advice}."
    )


def say_left_out(names: Collection[str]) -> str:
    """Name problems that were left out, in one line."""
    return f"Left out, as no frame would be judged: {shown(', '.join(names))}."


def pooled(protocol: str, config: EvaluationConfig) -> bool:
    """Say whether the mean is over the objects of all sequences, not over the sequences (DAVIS-2017)."""
    return protocol == "davis" and config.year == "2017"


def _judge_masks(opened: OpenProblem, folder: Path) -> ProblemScore:
    return judge(opened, read_result(opened, find_result(opened, folder)))


PROTOCOLS: dict[str, Protocol] = {
    "davis": Protocol(title="DAVIS", find=layouts.find_davis, judge=_judge_masks),
    "segtrack": Protocol(
        title="SegTrack-v2", find=layouts.find_segtrack, judge=_judge_masks, unit="objects"
    ),
    "youtube-objects": Protocol(
        title="YouTube-Objects", find=layouts.find_youtube_objects, judge=_judge_masks, unit="shots",
        spares=True,
    ),
    "ctc": Protocol(
        title="the Cell Tracking Challenge", find=ctc.find_ctc, check=ctc.check_result, judge=ctc.judge_ctc,
        export="ctc", suffix="_RES",
    ),
    "folder": Protocol(title="images and labels", find=layouts.find_folders, judge=_judge_masks),
}  # fmt: skip
