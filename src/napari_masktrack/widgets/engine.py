"""What runs in the thread: load, fine-tune, propagate, compare. Knows neither Qt nor layers."""

import sys
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError
from napari_masktrack.widgets.quiet import no_collections
from napari_masktrack.widgets.warming import tracker_class, warm_up

DEFAULT = "default"
"""Name of the built-in model."""


@dataclass(frozen=True)
class Phase:
    """What begins now, and of how many steps; 0 if nobody knows."""

    title: str
    steps: int = 0


@dataclass(frozen=True)
class Described:
    """Where the result comes from: model, hash, settings, version."""

    notes: dict[str, str]


@dataclass(frozen=True)
class Score:
    """How well one object fits on one frame."""

    frame: int
    label: int
    J: float
    F: float


@dataclass(frozen=True)
class NotCompared:
    """Objects that only the reference has: nobody annotated them, so they do not count."""

    labels: tuple[int, ...]


@dataclass(frozen=True)
class Remark:
    """What is to be known of a comparison, in words; goes behind what it was made against."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One press of a button.

    Attributes
    ----------
    movie : Movie
    annotations : Annotations
    model : str, Path or None
        Where the weights start; None goes on with those of now.
    device : str
    finetune : FinetuneConfig or None
        None leaves the weights as they are.
    finetune_flow : bool
        Whether a second network is fine-tuned on the optical flow, too.
    propagation : PropagationConfig or None
        None leaves the masks as they are.
    crf_search : bool or None
        Whether the CRF's parameters are searched on the annotated frames first, instead of the paper's;
        None leaves them as they are.
    frames : range or None
        The frames to propagate to; None for all.
    save_weights : callable or None
        Is given what writes fine-tuned weights to a path, and lets it write; see `Session.save_weights`.
    probability : bool
        Whether frames come with the probability of each pixel.
    """

    movie: Movie
    annotations: Annotations
    model: str | Path | None = DEFAULT
    device: str = "auto"
    finetune: FinetuneConfig | None = None
    finetune_flow: bool = False
    propagation: PropagationConfig | None = None
    crf_search: bool | None = False
    frames: range | None = None
    save_weights: Callable[[Callable[[Path], object]], object] | None = None
    probability: bool = False


class Engine:
    """One network, kept between runs; it belongs to one dock.

    Parameters
    ----------
    load : callable, optional
        Takes a model and a device and gives a `Tracker`; tests give a fake one.

    Attributes
    ----------
    tuned : bool
        Whether the weights of now were fine-tuned.
    """

    def __init__(self, load: Callable[[str | Path, str], Any] | None = None) -> None:
        self._load = load or load_tracker
        self._tracker: Any = None
        self._loaded: tuple[str, str] | None = None
        self.tuned = False

    def warm_up(self) -> None:
        """Load what takes long in the background, because it will be needed soon."""
        if self._load is load_tracker:
            warm_up()

    def drop(self) -> None:
        """Let weights go that were fine-tuned for another movie; the next run loads the chosen ones."""
        if self.tuned:
            self._tracker, self._loaded, self.tuned = None, None, False

    @property
    def save(self) -> Callable[[Path], object] | None:
        """What writes the weights of now to a path, if they were fine-tuned."""
        return self._tracker.save if self.tuned and self._tracker is not None else None

    def run(self, plan: Plan) -> Iterator[Any]:
        """Fine-tune and propagate as planned.

        Yields
        ------
        Phase, TrainStep, SearchStep, Described, Headway or FrameResult
        """
        if plan.finetune is not None:
            plan.annotations.check(len(plan.movie), plan.movie.shape)
        yield Phase("Loading the network")
        tracker = self._ready(plan)
        try:
            if plan.finetune is not None:
                yield from self._finetune(tracker, plan, plan.finetune)
            if plan.propagation is not None:
                crf = yield from _fit_crf(tracker, plan, plan.propagation)
                yield from _propagate(tracker, plan, crf)
        finally:
            rest(tracker)

    def leave_one_out(self, plan: Plan) -> Iterator[Any]:
        """Predict each annotated frame from the others, and compare; the weights of now stay as they are.

        The network must not have learnt from the frame that it is to predict. So it is taken as it was
        before the fine-tuning; weights that came fine-tuned from a file cannot be, which a remark says.

        Yields
        ------
        Phase, Remark or Score
        """
        annotations, movie = plan.annotations, plan.movie
        frames = comparable(annotations)
        config = replace(plan.propagation or PropagationConfig(), both_sides=False)
        yield Phase("Loading the network")
        tracker = self._untuned(plan)
        yield from self._seen_by(tracker)
        yield Phase("Predicting each of your frames from the others", len(frames))
        try:
            for frame in frames:
                others = Annotations(item for item in annotations.items if item.frame != frame)
                known = Annotations(item for item in others.items if item.label in _drawn(others, movie))
                truth = annotations.label_image(frame, movie.shape)
                given = (item for item in annotations.at(frame) if item.exact)
                labels = [item.label for item in given if item.label in known.labels]
                results = tracker.propagate(movie, known, config, frames=range(frame, frame + 1))
                with closing(results):
                    found = next(iter(results)).labels
                yield from compare(frame, truth, found, labels)
        finally:
            rest(tracker)

    def _finetune(self, tracker: Any, plan: Plan, config: FinetuneConfig) -> Iterator[Any]:
        streams: dict[str, dict[str, str]] = {"Fine-tuning": {}}
        if plan.finetune_flow:
            streams["Fine-tuning motion"] = {"stream": "motion"}
        learned = False
        try:
            for title, stream in streams.items():
                yield Phase(title, config.steps)
                with closing(tracker.finetune(plan.movie, plan.annotations, config, **stream)) as steps:
                    with no_collections():  # torch imports a part of itself with its first optimiser
                        first = next(steps, None)
                    for step in () if first is None else chain([first], steps):
                        self.tuned = learned = True
                        yield step
        except GeneratorExit:  # what was learned until it was cancelled is used from now on
            self._keep(tracker, plan, learned=learned)
            raise
        self._keep(tracker, plan, learned=learned)

    def _keep(self, tracker: Any, plan: Plan, *, learned: bool) -> None:
        """Save weights that learned something; those of before stay within reach."""
        if learned and plan.save_weights is not None:
            plan.save_weights(tracker.save)

    def _ready(self, plan: Plan) -> Any:
        """Load the weights, or take those of now, and put them on the device."""
        wanted = None if plan.model is None else (str(plan.model), plan.device)
        if self._tracker is None or (wanted is not None and (self.tuned or wanted != self._loaded)):
            self._tracker = None
            self._tracker = self._load(DEFAULT if plan.model is None else plan.model, plan.device)
            self._loaded, self.tuned = wanted, False
        wake(self._tracker, plan.device)
        return self._tracker

    def _untuned(self, plan: Plan) -> Any:
        """Give the network that the fine-tuning began with; a second one if there is a fine-tuned one."""
        if not self.tuned:
            return self._ready(plan)
        start = DEFAULT if self._loaded is None else self._loaded[0]
        tracker = self._load(start if plan.model is None else plan.model, plan.device)
        wake(tracker, plan.device)
        return tracker

    def _seen_by(self, tracker: Any) -> Iterator[Remark]:
        """Say what the network may have learnt from the frames already."""
        if getattr(tracker, "notes", {}).get("finetuning_steps", "0") != "0":
            yield Remark(", an upper bound: the weights were fine-tuned before, perhaps on these frames")
        elif self.tuned:
            yield Remark(", with the weights from before the fine-tuning")


def _fit_crf(tracker: Any, plan: Plan, config: PropagationConfig) -> Generator[Any, None, dict[str, str]]:
    """Set the CRF's parameters, if it is wanted; gives what the result is to record of them."""
    from napari_masktrack.core.crf import CrfConfig

    if not config.crf or plan.crf_search is None:
        return {}
    if not plan.crf_search:
        tracker.crf = CrfConfig()
        return {}
    yield Phase("Fitting the CRF")
    last: Any = None
    with closing(tracker.fit_crf(plan.movie, plan.annotations, config)) as steps:
        for step in steps:
            if last is None:
                yield Phase("Fitting the CRF", step.steps)
            last = step
            yield step
    return {} if last is None else {"crf": str(last.config), "crf_similarity": f"{last.similarity:.4f}"}


def _propagate(tracker: Any, plan: Plan, crf: Mapping[str, str]) -> Iterator[Any]:
    """Carry the masks; what is noted with them says also whether outlines were put on edges."""
    frames = len(plan.movie) if plan.frames is None else len(plan.frames)
    yield Phase("Propagating", frames)
    results = tracker.propagate(
        plan.movie,
        plan.annotations,
        plan.propagation,
        frames=plan.frames,
        probability=plan.probability,
        headway=True,
    )
    with closing(results):
        first = next(results)
        edges = {} if tracker.on_edges is None else {"on_edges": str(tracker.on_edges)}
        yield Described({**tracker.description(), **crf, **edges})
        yield first
        yield from results


def comparable(annotations: Annotations) -> tuple[int, ...]:
    """Give the frames with a painted object that is painted on another frame too."""
    painted: dict[int, set[int]] = {}
    for item in annotations.items:
        if item.exact:
            painted.setdefault(item.label, set()).add(item.frame)
    return tuple(sorted({frame for frames in painted.values() if len(frames) > 1 for frame in frames}))


def compare(frame: int, truth: NDArray[Any], found: NDArray[Any], labels: Sequence[int]) -> Iterator[Score]:
    """Compare two label images object by object."""
    from napari_masktrack.core.metrics import METRICS

    for label in labels:
        J, F = (METRICS[name](truth == label, found == label) for name in ("J", "F"))  # noqa: N806
        yield Score(frame, int(label), J, F)


def against_reference(
    frames: Sequence[int],
    truth: Callable[[int], NDArray[Any]],
    found: Callable[[int], NDArray[Any]],
    *,
    known: Collection[int],
) -> Iterator[Any]:
    """Compare the result with a reference, on the frames where that holds something.

    Parameters
    ----------
    frames : sequence of int
    truth, found : callable
        Give the label image of a frame.
    known : collection of int
        The objects that could have been found, because they were annotated.

    Yields
    ------
    Phase, Score, or at the end NotCompared and Remark

    Raises
    ------
    InputError
        The reference holds nothing on any of the frames.
    """
    yield Phase("Comparing with the reference", len(frames))
    left_out, compared = set[int](), 0
    for frame in frames:
        true = np.asarray(truth(frame))
        if not true.any():
            continue
        compared += 1
        predicted = np.asarray(found(frame))
        there = {int(label) for label in np.union1d(np.unique(true), np.unique(predicted)) if label}
        left_out |= there - set(known)
        yield from compare(frame, true, predicted, sorted(there & set(known)))
    if not compared:
        raise InputError("The reference has no object on a frame of the result; choose another one.")
    if left_out:
        yield NotCompared(tuple(sorted(left_out)))
    if compared < len(frames):
        yield Remark(f" ({compared} of {len(frames)} frames have a reference)")


def _drawn(annotations: Annotations, movie: Movie) -> set[int]:
    return {item.label for item in annotations.items if item.is_painted(movie.shape)}


def load_tracker(model: str | Path, device: str) -> Any:
    """Load torch and the network.

    Raises
    ------
    WorkError
        PyTorch does not start.
    """
    return tracker_class()(model, device=device)


def wake(tracker: Any, device: str) -> None:
    """Put the networks on the device that is wanted."""
    if not hasattr(tracker, "network"):
        return
    from napari_masktrack.model.device import choose_device, place

    tracker.device = choose_device(device)
    for name, network in _networks(tracker):
        setattr(tracker, name, place(network, tracker.device))


def rest(tracker: Any) -> None:
    """Take the networks off the GPU, so that its memory is free between runs."""
    torch = sys.modules.get("torch")
    if not hasattr(tracker, "network") or torch is None or tracker.device.type == "cpu":
        return
    for name, network in _networks(tracker):
        setattr(tracker, name, network.to("cpu"))
    if tracker.device.type == "cuda":
        torch.cuda.empty_cache()


def _networks(tracker: Any) -> list[tuple[str, Any]]:
    """Give the networks of a tracker by name: that of the images, and that of the motion if there is one."""
    found = ((name, getattr(tracker, name, None)) for name in ("network", "motion"))
    return [(name, network) for name, network in found if network is not None]
