"""Seconds per frame for one and for many objects, and seconds of quick fine-tuning."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.documents import decimals, table
from benchmarks.measure import finetune
from benchmarks.options import add_common, add_device, names, publish
from benchmarks.origin import Origin, footer, short_name, use_threads, weights_hash
from benchmarks.sequences import find_sequences
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.tracker import Tracker, finetune_config

SHAPE = (480, 854)
OBJECTS = 20
LIMITS = {"frame": 0.08, "ratio": 8.0, "quick": 20.0}
"""What is to be reached on two cores: seconds, times, seconds."""


@dataclass(frozen=True)
class Course:
    """A movie of 854x480 and what is annotated on its first frame."""

    name: str
    movie: Movie
    annotations: Annotations
    frames: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, help="as for `video`; without it the synthetic movie only")
    parser.add_argument("--sequences", type=names, default=("bus",), help="real sequences (bus)")
    parser.add_argument("--model", default="default", help="name or file (default)")
    parser.add_argument("--frames", type=int, default=40, help="frames of each movie (40)")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many counts (3)")
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Measure and write the table ``speed``."""
    use_threads(chosen.threads)
    tracker = Tracker(chosen.model, device=chosen.device)
    one, many = synthetic_courses(chosen.frames)
    real = [] if chosen.data is None else list(_real(chosen.data, chosen.sequences, chosen.frames))
    courses = [one, many, *real]
    seconds = propagation_seconds(tracker, courses, runs=chosen.runs)
    rows = [
        _row(f"one object, {course.name}: s/frame", seconds[course.name], LIMITS["frame"], 3)
        for course in (one, *real)
    ]
    rows.append(_row(f"{many.name}: s/frame", seconds[many.name], None, 3))
    ratios = [b / a for a, b in zip(seconds[one.name], seconds[many.name], strict=True)]
    rows.append(_row(f"{OBJECTS} objects / one object", ratios, LIMITS["ratio"], 1))
    course = real[0] if real else one
    quick = quick_seconds(course, chosen)
    rows.append(_row(f"quick fine-tuning, {course.name}: s", quick, LIMITS["quick"], 1))
    origins = [Origin.now(threads=chosen.threads, device=chosen.device).as_dict()]
    weights = {short_name(chosen.model): weights_hash(chosen.model)}
    lines = table(["", "median", "at most", "runs"], rows)
    publish(chosen, "speed", [*lines, "", footer(origins, chosen.typed, weights)])


def synthetic_courses(frames: int, shape: tuple[int, int] = SHAPE) -> tuple[Course, Course]:
    """Return the same synthetic movie twice: one middle-sized object annotated, and all of them."""
    made = synthetic_movie(SyntheticConfig(frames=frames, shape=shape, objects=OBJECTS, leave=False))
    labels = made.frame(0).labels
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    middle = ids[np.argsort(areas)[len(areas) // 2]]
    movie = Movie(made.images, name="synthetic")
    size = f"{shape[1]}x{shape[0]}"
    one = Annotations.from_labels({0: np.where(labels == middle, labels, 0)})
    return (
        Course(f"synthetic {size}", movie, one, frames),
        Course(f"{OBJECTS} objects, synthetic {size}", movie, Annotations.from_labels({0: labels}), frames),
    )


def propagation_seconds(tracker: Tracker, courses: Sequence[Course], *, runs: int) -> dict[str, list[float]]:
    """Return the seconds per propagated frame of each run, all included; the courses take turns."""
    seconds: dict[str, list[float]] = {course.name: [] for course in courses}
    for number in range(runs):
        for course in courses:
            start = time.perf_counter()
            wanted = range(course.frames)
            for _ in tracker.propagate(course.movie, course.annotations, frames=wanted):
                pass
            spent = (time.perf_counter() - start) / max(1, course.frames - 1)
            seconds[course.name].append(spent)
            print(f"run {number + 1}, {course.name}: {spent:.3f} s/frame", flush=True)
    return seconds


def quick_seconds(course: Course, chosen: argparse.Namespace) -> list[float]:
    """Return the seconds of quick fine-tuning, each run from the weights as they are in the file."""
    seconds = []
    for _ in range(chosen.runs):
        tracker = Tracker(chosen.model, device=chosen.device)
        done = finetune(tracker, course.movie, course.annotations, finetune_config("quick"))
        assert done is not None, "quick is a fine-tuning"
        print(f"quick fine-tuning: {done['seconds']:.1f} s, {done['steps']} steps", flush=True)
        seconds.append(done["seconds"])
    return seconds


def _real(data: Path, wanted: Sequence[str], frames: int) -> Iterator[Course]:
    for sequence in find_sequences(data, wanted, frames=frames):
        opened = sequence.open()
        size = f"{opened.movie.shape[1]}x{opened.movie.shape[0]}"
        yield Course(f"{sequence.title} {size}", opened.movie, opened.annotations, len(opened.frames))


def _row(title: str, values: Sequence[float], limit: float | None, digits: int) -> list[str]:
    every = ", ".join(f"{value:.{digits}f}" for value in values)
    return [title, decimals(median(values), digits), decimals(limit, 2 if digits == 3 else 0), every]
