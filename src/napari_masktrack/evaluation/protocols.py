"""The protocols by name: how a data set lies on disk, how a result is judged, and what the mean is over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation import ctc, layouts
from napari_masktrack.evaluation.problems import OpenProblem, Problem
from napari_masktrack.evaluation.results import find_result, read_result
from napari_masktrack.evaluation.scores import ProblemScore, judge
from napari_masktrack.io.refusal import shown

Finder = Callable[[Path, EvaluationConfig], list[Problem]]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one benchmark is run.

    Attributes
    ----------
    title : str
    find : callable
        Lists the problems of a data folder.
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
    """

    title: str
    find: Finder
    check: Callable[[OpenProblem, Path], object] = find_result
    judge: Callable[[OpenProblem, Path], ProblemScore]
    export: str = "png"
    suffix: str = ""
    unit: str = "sequences"

    def folder(self, results: Path, problem: Problem) -> Path:
        """Return where the result of a problem lies."""
        return results / f"{problem.name}{self.suffix}"


def find_problems(
    name: str, data: Path, config: EvaluationConfig, wanted: Sequence[str] = ()
) -> list[Problem]:
    """List the problems of a data folder.

    Parameters
    ----------
    name : str
        A key of `PROTOCOLS`.
    data : Path
    config : EvaluationConfig
    wanted : sequence of str
        Names, whole or their last part; all by default.

    Raises
    ------
    InputError
        The folder does not hold such a data set, or not a sequence that is wanted.
    """
    if not data.is_dir():
        raise InputError(f"There is no folder {shown(data)}; check the path.")
    protocol = PROTOCOLS[name]
    problems = protocol.find(data, config)
    if not problems:
        raise InputError(f"{shown(data)} holds no sequences of {protocol.title}; check the data folder.")
    unknown = sorted(set(wanted) - {known for each in problems for known in (each.name, each.title)})
    if unknown:
        raise InputError(
            f"There is no sequence {shown(', '.join(unknown))} in {shown(data)}; check the name."
        )
    return [each for each in problems if not wanted or {each.name, each.title} & set(wanted)]


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
        title="YouTube-Objects", find=layouts.find_youtube_objects, judge=_judge_masks, unit="shots"
    ),
    "ctc": Protocol(
        title="the Cell Tracking Challenge", find=ctc.find_ctc, check=ctc.check_result, judge=ctc.judge_ctc,
        export="ctc", suffix="_RES",
    ),
    "folder": Protocol(title="images and labels", find=layouts.find_folders, judge=_judge_masks),
}  # fmt: skip
