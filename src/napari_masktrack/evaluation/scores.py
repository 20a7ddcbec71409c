"""Judge the masks of a problem: J and F of every object on every frame that counts, and their statistics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_masktrack.core.instances import Labels
from napari_masktrack.core.metrics import METRICS, Statistics, statistics
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.files import reduced
from napari_masktrack.evaluation.problems import OpenProblem

PARTS = ("mean", "recall", "decay")
"""What `Statistics` says of a series, in this order."""


@dataclass(frozen=True)
class ObjectScore:
    """One object: which frames were judged, and the values of each metric there.

    Attributes
    ----------
    label : int
    frames : list of int
    values : dict of str to list of float
        By metric, as ``J``; in the order of the frames.
    """

    label: int
    frames: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})

    def statistics(self, metric: str) -> Statistics:
        """Summarise a metric over the frames."""
        return statistics(self.values[metric])


@dataclass(frozen=True)
class ProblemScore:
    """One problem: its objects, or numbers that belong to it as a whole.

    Attributes
    ----------
    name : str
    group : str
        As in `Problem`.
    objects : tuple of ObjectScore
        Those with at least one judged frame.
    whole : dict of str to float
        Metrics of the whole problem, as ``TRA``; empty where objects are judged one by one.
    """

    name: str
    group: str = ""
    objects: tuple[ObjectScore, ...] = ()
    whole: Mapping[str, float] = field(default_factory=dict)

    def columns(self) -> dict[str, float]:
        """Return the problem's numbers: ``J mean`` and so on over its objects, or those of the whole."""
        objects = [object_columns(each) for each in self.objects]
        return mean_columns(objects) if objects else {**self.whole}


def object_columns(score: ObjectScore) -> dict[str, float]:
    """Return mean, recall and decay of each metric: ``J mean``, ``J recall``, ..."""
    found = {name: score.statistics(name) for name in METRICS}
    return {f"{name} {part}": getattr(found[name], part) for name in METRICS for part in PARTS}


def mean_columns(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each column; NaN is left out, and is what a column without numbers gives."""
    means = {}
    for column in dict.fromkeys(name for row in rows for name in row):
        known = [row[column] for row in rows if not np.isnan(row.get(column, np.nan))]
        means[column] = float(np.mean(known)) if known else float("nan")
    return means


def judge(opened: OpenProblem, answers: Iterable[tuple[int, Labels]]) -> ProblemScore:
    """Compare masks with the truth.

    Parameters
    ----------
    opened : OpenProblem
    answers : iterable of (frame, integer (Y, X))
        Label images in any order; frames that do not count are passed over. Where the truth is of one
        object, all that is not 0 is that object; so it is where one object is given whose id is on none
        of them. Those of another size than the truth are judged at its size.

    Returns
    -------
    ProblemScore
        Values in the order of the frames.

    Raises
    ------
    InputError
        A frame that counts did not come, or no object is on any of them.
    """
    scores = {label: ObjectScore(label) for label in opened.labels}
    frames = _judge_frames(opened, answers)
    missing = [frame for frame in opened.counted_frames if frame not in frames]
    if missing:
        raise InputError(
            f"Frame {missing[0]} of {opened.problem.name!r} has no mask; give one for every frame."
        )
    for frame in sorted(frames):
        for label, values in frames[frame].items():
            scores[label].frames.append(frame)
            for name, value in values.items():
                scores[label].values[name].append(value)
    judged = tuple(score for score in scores.values() if score.frames)
    if not judged:
        raise InputError(f"No object of {opened.problem.name!r} is on a frame that counts; leave it out.")
    return ProblemScore(opened.problem.name, opened.problem.group, judged)


def _judge_frames(
    opened: OpenProblem, answers: Iterable[tuple[int, Labels]]
) -> dict[int, dict[int, dict[str, float]]]:
    """Return the metrics of each frame that counts: by ids, or of all that is not 0; see `judge`."""
    single, first = opened.problem.single, opened.labels[0]
    ids = len(opened.labels) > 1
    by_id, as_one = {}, {}
    for frame, labels in answers:
        ids = ids or (not single and bool(np.any(labels == first)))
        if not opened.counts(frame):
            continue
        if not single:
            by_id[frame] = _judge_frame(opened, frame, labels)
        if not ids:  # as long as its id was on no frame
            as_one[frame] = _judge_frame(opened, frame, np.where(labels > 0, first, 0))
    return by_id if ids else as_one


def _judge_frame(opened: OpenProblem, frame: int, labels: Labels) -> dict[int, dict[str, float]]:
    """Return the metrics of each object that counts on a frame."""
    truth = opened.truth(frame)
    found = {}
    for label in opened.labels:
        true = truth == label
        if opened.counts(frame, true):
            predicted = reduced(labels == label, true.shape)
            found[label] = {name: metric(true, predicted) for name, metric in METRICS.items()}
    return found
