"""The Cell Tracking Challenge: its folders, and SEG, DET and TRA as py-ctcmetrics computes them."""

import io
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import AnnotationError, ConfigError
from napari_masktrack.evaluation.files import list_folders, list_masks
from napari_masktrack.evaluation.problems import OpenProblem, Problem, check_mask
from napari_masktrack.evaluation.scores import ProblemScore
from napari_masktrack.io.refusal import reason, shown

METRICS = ("SEG", "DET", "TRA")
_GOLD, _SILVER = "_GT", "_ST"


def find_ctc(data: Path, _: EvaluationConfig) -> list[Problem]:
    """Read ``01`` with its gold truth ``01_GT/SEG`` and ``01_GT/TRA``, directly or in folders per data set.

    The masks that are given are those of the first frame in ``SEG``, else in the silver truth
    ``01_ST/SEG``, with the ids of ``TRA``; markers of ``TRA`` where an object has no outline.
    """
    places = [data, *list_folders(data)]
    found = []
    for gold in (path for place in places for path in list_folders(place) if path.name.endswith(_GOLD)):
        name = gold.name.removesuffix(_GOLD)
        truth = list_masks(gold / "TRA")
        found.append(
            Problem(
                name=(gold.parent / name).relative_to(data).as_posix(),
                images=gold.parent / name, truth=truth, outlines=_outlines(gold, truth[0]),
            )
        )  # fmt: skip
    return found


def _outlines(gold: Path, first: Path) -> Path | None:
    silver = gold.with_name(gold.name.removesuffix(_GOLD) + _SILVER)
    name = first.name.replace("man_track", "man_seg")
    return next((path for folder in (gold, silver) if (path := folder / "SEG" / name).is_file()), None)


def check_library() -> None:
    """Refuse to begin without py-ctcmetrics.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    if find_spec("ctc_metrics") is None:
        raise ConfigError(
            'SEG, DET and TRA need py-ctcmetrics; install it: pip install "napari-masktrack[evaluate]".'
        )


def check_result(opened: OpenProblem, folder: Path) -> None:
    """Refuse a result that the metrics cannot be computed of.

    Parameters
    ----------
    opened : OpenProblem
    folder : Path
        With ``mask000.tif`` ... and ``res_track.txt``.

    Raises
    ------
    AnnotationError
        A file is missing, or a mask has another size.
    """
    masks = list_masks(folder)
    if not (folder / "res_track.txt").is_file():
        raise AnnotationError(f"There is no {shown(folder / 'res_track.txt')}; add the table of the tracks.")
    if len(masks) != len(opened.movie):
        raise AnnotationError(
            f"{shown(folder)} has {len(masks)} mask(s), but {shown(opened.problem.images)} has "
            f"{len(opened.movie)} frame(s); give one mask per frame, {masks[0].name} and so on."
        )
    for path in masks:
        check_mask(path, opened.movie)


def judge_ctc(opened: OpenProblem, folder: Path) -> ProblemScore:
    """Compute SEG, DET and TRA of a result.

    Raises
    ------
    AnnotationError
        The result breaks a rule of the challenge, for example a track without its mask.
    """
    from ctc_metrics import evaluate_sequence

    problem = opened.problem
    gold = problem.images.with_name(problem.images.name + _GOLD)
    wanted = [name for name in METRICS if name != "SEG" or (gold / "SEG").is_dir()]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = evaluate_sequence(str(folder), str(gold), ["Valid", *wanted], threads=1)
        except (AssertionError, IndexError, KeyError, ValueError) as error:
            raise AnnotationError(f"{shown(folder)} cannot be judged ({reason(error)}).") from error
    if not found["Valid"]:
        what = shown(" ".join(str(said[0].message).split())) if said else "see the rules of the challenge"
        raise AnnotationError(f"{shown(folder)} is no valid result ({what}); correct masks or res_track.txt.")
    return ProblemScore(problem.name, whole={name: float(found[name]) for name in wanted})
