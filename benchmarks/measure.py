"""One sequence, propagated once from one of its masks: quality, confidence and time."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from benchmarks.cache import Cache, Entry
from benchmarks.origin import Origin, short_name
from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.metrics import METRICS, statistics
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.problems import OpenProblem, Problem
from napari_masktrack.propagation import FrameResult
from napari_masktrack.tracker import Tracker

COPY = "copy"
"""The baseline: the first mask on every frame."""
_DIGITS = 5
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be measured; its key tells equal results from others.

    Attributes
    ----------
    sequence : Problem
    mode : str
        Heading of the result: 'copy', 'off', 'quick', 'full' or another.
    finetune : FinetuneConfig or None
    propagation : PropagationConfig
    model : str
        Name or file.
    sha256 : str
        Of the model's file.
    device : str
    start : float
        Where in the sequence the mask is given: 0 the first frame, 1 the last that shows the object.
    """

    sequence: Problem
    mode: str
    finetune: FinetuneConfig | None = None
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    model: str = ""
    sha256: str = ""
    device: str = "cpu"
    start: float = 0.0

    @property
    def settings(self) -> str:
        """Short hash of all settings."""
        if self.mode == COPY:
            return COPY
        return settings_hash(self.finetune, self.propagation)

    @property
    def key(self) -> str:
        """Name of the result: two jobs with the same key would measure the same."""
        what = (COPY,) if self.mode == COPY else (self.sha256[:16], self.settings, self.device)
        where = (f"from {self.start:g}",) if self.start else ()
        return "|".join((self.sequence.name, f"{self.sequence.limit or 'all'} frames", *where, *what))


def settings_hash(finetune: FinetuneConfig | None, propagation: PropagationConfig) -> str:
    """Return a short hash of the settings."""
    return hashlib.sha256(repr((finetune, propagation)).encode()).hexdigest()[:8]


def run_job(job: Job, cache: Cache, origin: Origin, *, again: bool = False) -> Entry:
    """Return a job's result, from the cache if it is there."""
    known = None if again else cache.get(job.key)
    if known is not None:
        print(f"{job.sequence.name} {job.mode}: {_summary(known)} (kept)")
        return known
    print(f"{job.sequence.name} {job.mode}: ", end="", flush=True)
    entry = {**measure(job), "origin": origin.as_dict()}
    cache.put(job.key, entry)
    print(_summary(entry))
    return entry


def measure(job: Job) -> Entry:
    """Fine-tune, propagate and judge.

    Returns
    -------
    dict
        ``J`` and ``F`` with mean, recall and decay, each the mean over the objects; ``objects`` with
        frames, J, F and confidence of each; ``seconds_per_frame`` of propagation, all included;
        ``finetuning`` with seconds and steps.
    """
    opened = job.sequence.open()
    movie, given = opened.movie, given_at(opened, job.start)
    scores, seconds, finetuning = Scores(opened, given), 0.0, None
    if job.mode == COPY:
        results = copies(opened)
    else:
        tracker = Tracker(job.model, device=job.device)
        finetuning = finetune(tracker, movie, given, job.finetune)
        results = tracker.propagate(movie, given, job.propagation, frames=opened.frames)
    for result, spent in timed(results):
        seconds += spent
        scores.add(result)
    return {
        "sequence": job.sequence.name,
        "limit": job.sequence.limit or None,
        "mode": job.mode,
        "model": short_name(job.model),
        "sha256": job.sha256,
        "settings": job.settings,
        "device": job.device,
        **scores.summary(),
        "seconds_per_frame": None if job.mode == COPY else round(seconds / max(1, len(opened.frames) - 1), 4),
        "finetuning": finetuning,
    }


def given_at(opened: OpenProblem, start: float) -> Annotations:
    """Return the masks of the frame that is so far from the first to the last of those with an object."""
    if not start:
        return opened.annotations
    shown = [frame for frame in opened.true_frames if opened.guide(frame).any()]
    return opened.annotate([shown[round(start * (len(shown) - 1))]])


def finetune(
    tracker: Tracker, movie: Movie, annotations: Annotations, config: FinetuneConfig | None
) -> dict[str, float] | None:
    """Fine-tune to the end; return seconds and steps, None without fine-tuning."""
    if config is None:
        return None
    start = time.perf_counter()
    steps = sum(1 for _ in tracker.finetune(movie, annotations, config))
    return {"seconds": round(time.perf_counter() - start, 2), "steps": steps}


def timed(items: Iterator[T]) -> Iterator[tuple[T, float]]:
    """Yield each item with the seconds it took to come."""
    while True:
        start = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item, time.perf_counter() - start


def copies(opened: OpenProblem) -> Iterator[FrameResult]:
    """Yield the first frame's masks for every frame."""
    labels = opened.annotations.label_image(0, opened.movie.shape)
    for frame in opened.frames:
        yield FrameResult(frame, labels, {}, dict.fromkeys(opened.annotations.labels, 0))


class Scores:
    """J, F and confidence per object and frame, where the sequence's rules say that they count.

    A frame on which masks are given never does.
    """

    def __init__(self, opened: OpenProblem, given: Annotations) -> None:
        self.opened, self.given = opened, given.frames
        columns = ("frames", *METRICS, "confidence")
        self.objects: dict[int, dict[str, list[Any]]] = {
            label: {column: [] for column in columns} for label in given.labels
        }

    def add(self, result: FrameResult) -> None:
        """Judge one frame."""
        truth = self.opened.truth(result.frame)
        for label, columns in self.objects.items():
            true, predicted = truth == label, result.labels == label
            if result.frame in self.given or not self.opened.counts(result.frame, true):
                continue
            columns["frames"].append(result.frame)
            columns["confidence"].append(_rounded(result.confidence.get(label)))
            for name, metric in METRICS.items():
                columns[name].append(round(metric(true, predicted), _DIGITS))

    def summary(self) -> dict[str, Any]:
        """Return mean, recall and decay of J and F, and the values of each object.

        Raises
        ------
        InputError
            No frame counted.
        """
        judged = {label: columns for label, columns in self.objects.items() if columns["frames"]}
        if not judged:
            name = self.opened.problem.name
            raise InputError(f"No frame of {name} counts within {len(self.opened.frames)}; take more frames.")
        means = {
            name: {
                each: round(sum(getattr(s, each) for s in series) / len(series), _DIGITS)
                for each in ("mean", "recall", "decay")
            }
            for name in METRICS
            for series in [[statistics(columns[name]) for columns in judged.values()]]
        }
        return {**means, "objects": {str(label): columns for label, columns in judged.items()}}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)


def _summary(entry: Entry) -> str:
    said = [f"J {100 * entry['J']['mean']:.1f}", f"F {100 * entry['F']['mean']:.1f}"]
    if entry["seconds_per_frame"] is not None:
        said.append(f"{entry['seconds_per_frame']:.3f} s/frame")
    if entry["finetuning"]:
        said.append(
            f"fine-tuned {entry['finetuning']['steps']} steps, {entry['finetuning']['seconds']:.1f} s"
        )
    return ", ".join(said)
