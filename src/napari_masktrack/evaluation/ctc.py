"""The Cell Tracking Challenge: its folders, and SEG, DET and TRA as py-ctcmetrics computes them."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import AnnotationError, ConfigError
from napari_masktrack.evaluation.files import list_folders, list_masks
from napari_masktrack.evaluation.problems import Makers, OpenProblem, Problem, check_mask
from napari_masktrack.evaluation.scores import ProblemScore
from napari_masktrack.io.refusal import reason, refusing, shown

METRICS = ("SEG", "DET", "TRA")
_GOLD, _SILVER = "_GT", "_ST"
_COLUMNS = 4
"""Of the table of the tracks: label, first and last frame, label of the parent or 0."""
_ADVICE = "correct masks or the table of the tracks"


def find_ctc(data: Path, _: EvaluationConfig) -> Makers:
    """Read ``01`` with its gold truth ``01_GT/SEG`` and ``01_GT/TRA``, directly or in folders per data set.

    The masks that are given are those of the first frame in ``SEG``, of objects without one there those
    in the silver truth ``01_ST/SEG``, with the ids of ``TRA``; else the markers of ``TRA``.
    """
    places = [data, *list_folders(data)]
    found = (path for place in places for path in list_folders(place) if path.name.endswith(_GOLD))
    images = {gold.with_name(gold.name.removesuffix(_GOLD)): gold for gold in found}
    names = {folder.relative_to(data).as_posix(): folder for folder in images}
    return {name: partial(_problem, name, folder, images[folder]) for name, folder in names.items()}


def _problem(name: str, images: Path, gold: Path) -> Problem:
    truth = list_masks(gold / "TRA")
    return Problem(name=name, images=images, truth=truth, outlines=_outlines(gold, truth[0]))


def _outlines(gold: Path, first: Path) -> tuple[Path, ...]:
    silver = gold.with_name(gold.name.removesuffix(_GOLD) + _SILVER)
    name = first.name.replace("man_track", "man_seg")
    return tuple(path for folder in (gold, silver) if (path := folder / "SEG" / name).is_file())


def check_library() -> None:
    """Refuse to begin without py-ctcmetrics.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    if find_spec("ctc_metrics") is None:
        raise ConfigError("SEG, DET and TRA need py-ctcmetrics; install it: pip install py-ctcmetrics.")


def check_truth(opened: OpenProblem) -> None:
    """Refuse a gold truth that the metrics cannot be computed with.

    Raises
    ------
    AnnotationError
        The table of the tracks is missing or is none, or an outline has another size than the frames.
    """
    gold = _gold(opened)
    _read_table(gold / "TRA" / "man_track.txt")
    for path in list_masks(gold / "SEG") if (gold / "SEG").is_dir() else ():
        check_mask(path, opened.movie)


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
        A file is missing, a mask has another size, or the table of the tracks breaks a rule.
    """
    masks = list_masks(folder)
    if len(masks) != len(opened.movie):
        raise AnnotationError(
            f"{shown(folder)} has {len(masks)} mask(s), but {shown(opened.problem.images)} has "
            f"{len(opened.movie)} frame(s); give one mask per frame, {masks[0].name} and so on."
        )
    for path in masks:
        check_mask(path, opened.movie)
    _check_table(folder / "res_track.txt", len(opened.movie))


def _check_table(path: Path, frames: int) -> None:
    """Refuse a table of tracks that breaks a rule of the challenge, whatever the masks are."""
    from ctc_metrics.metrics.validation import valid

    tracks = _read_table(path)
    rules = (valid.valid_parents, valid.unique_labels, valid.valid_parent_links, valid.valid_ends)
    with _judging(path) as said:
        obeyed = all(rule(tracks) for rule in rules)
    _refuse_unless(obeyed, path, said)
    late = tracks[tracks[:, 2] >= frames]
    if len(late):
        raise AnnotationError(
            f"{shown(path)} has track {late[0, 0]} end on frame {late[0, 2]}, but the last one is "
            f"{frames - 1}; correct it."
        )


def _read_table(path: Path) -> NDArray[Any]:
    from ctc_metrics.utils.filesystem import read_tracking_file

    if not path.is_file():
        raise AnnotationError(f"There is no {shown(path)}; add the table of the tracks.")
    with refusing(path, AnnotationError):
        tracks: NDArray[Any] = read_tracking_file(str(path))
    if tracks.ndim != 2 or tracks.shape[1] != _COLUMNS or not len(tracks):
        raise AnnotationError(f"{shown(path)} is no table of tracks; give a line '1 0 9 0' for each.")
    return tracks


def judge_ctc(opened: OpenProblem, folder: Path) -> ProblemScore:
    """Compute SEG, DET and TRA of a result.

    Raises
    ------
    AnnotationError
        The result breaks a rule of the challenge, for example a track without its mask.
    """
    from ctc_metrics import evaluate_sequence

    problem, gold = opened.problem, _gold(opened)
    wanted = [name for name in METRICS if name != "SEG" or (gold / "SEG").is_dir()]
    with _judging(folder) as said:
        found = evaluate_sequence(str(folder), str(gold), ["Valid", *wanted], threads=1)
    _refuse_unless(found["Valid"], folder, said)
    return ProblemScore(problem.name, whole={name: float(found[name]) for name in wanted})


def _gold(opened: OpenProblem) -> Path:
    images = opened.problem.images
    return images.with_name(images.name + _GOLD)


@contextmanager
def _judging(path: Path) -> Iterator[list[warnings.WarningMessage]]:
    """Keep what the library says while it judges a result, and refuse the result if it gives up."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            yield said
        except (AssertionError, IndexError, KeyError, ValueError) as error:
            raise AnnotationError(f"{shown(path)} cannot be judged ({reason(error)}); {_ADVICE}.") from error


def _refuse_unless(valid: bool, path: Path, said: list[warnings.WarningMessage]) -> None:
    if not valid:
        what = shown(" ".join(str(said[0].message).split())) if said else "see the rules of the challenge"
        raise AnnotationError(f"{shown(path)} is not valid ({what}); {_ADVICE}.")
