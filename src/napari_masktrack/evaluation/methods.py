"""What can be judged by name: the tracker, its start from boxes, and the baselines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_masktrack.config import FINETUNE, FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotation, Annotations, Box
from napari_masktrack.core.baselines import (
    BaselineFrame,
    box_oracle,
    copy_nearest,
    copy_warped,
    grabcut_oracle,
)
from napari_masktrack.core.instances import Labels, bounding_box
from napari_masktrack.evaluation.problems import OpenProblem

if TYPE_CHECKING:
    from napari_masktrack.core.crf_search import SearchStep
    from napari_masktrack.tracker import Tracker
    from napari_masktrack.training.train import TrainStep


NETWORKS = ("masktrack", "box")
"""Methods with a network, which can learn."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How masks are computed.

    Attributes
    ----------
    method : str
        A key of `METHODS`.
    model : str or None
        Embedded model or file; None for the default.
    device : str
    finetune : FinetuneConfig or None
        None for no fine-tuning.
    propagation : PropagationConfig
    crf_search : bool
        With the CRF: search its settings on the annotated frames first.
    finetune_flow : bool
        With the flow: adapt a second network to the flow.
    every : int
        Annotate every n-th frame from the truth; 0 for the first alone.
    """

    method: str = "masktrack"
    model: str | None = None
    device: str = "auto"
    finetune: FinetuneConfig | None = FINETUNE["quick"]
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    crf_search: bool = False
    finetune_flow: bool = False
    every: int = 0

    @property
    def learns(self) -> bool:
        """Whether a network is adapted to the annotated frames."""
        return self.method in NETWORKS and self.finetune is not None


@dataclass(frozen=True)
class Answer:
    """The masks of one frame.

    Attributes
    ----------
    frame : int
    labels : integer (Y, X)
        Object ids; 0 is background.
    confidence : dict of int to float
        For each object in [0, 1]; empty where a method says nothing of it.
    source : dict of int to int
        For each object the annotated frame that its mask was carried from; as above.
    agreement : dict of int to float
        As in `propagation.FrameResult`.
    """

    frame: int
    labels: Labels
    confidence: dict[int, float] = field(default_factory=dict)
    source: dict[int, int] = field(default_factory=dict)
    agreement: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """The weights are there, and nothing is computed yet.

    Attributes
    ----------
    weights, sha256 : str
        Their name, and the hash of their file.
    step, steps : int
        As of the steps that follow: none is made.
    """

    weights: str
    sha256: str
    step: int = 0
    steps: int = 1


Events: TypeAlias = "Iterator[Loaded | Answer | TrainStep | SearchStep]"
Method: TypeAlias = Callable[[OpenProblem, Annotations, Settings], Events]


def carry(opened: OpenProblem, settings: Settings, annotations: Annotations | None = None) -> Events:
    """Compute the masks of a problem.

    Parameters
    ----------
    opened : OpenProblem
    settings : Settings
    annotations : Annotations, optional
        What is known; by default the true masks of the given frame.

    Yields
    ------
    Loaded, TrainStep, SearchStep or Answer
        The tracker's weights, steps of the fine-tuning and of the search for the CRF's settings, then
        each frame that takes part once. May be closed at any time.

    Raises
    ------
    InputError
        An annotation does not fit, or there is no such model or device; before any work.
    """
    return METHODS[settings.method](opened, annotations or opened.annotations, settings)


def check_network(settings: Settings) -> str | None:
    """Refuse weights or a device that cannot be used, before any work.

    Returns
    -------
    str or None
        SHA-256 of the file of weights; None for methods that need none.

    Raises
    ------
    InputError
        There is no such model or device, or the weights are damaged.
    """
    if settings.method not in NETWORKS:
        return None
    from napari_masktrack.model.checkpoint import DEFAULT_MODEL, load_checkpoint
    from napari_masktrack.model.device import choose_device

    choose_device(settings.device)
    return load_checkpoint(settings.model or DEFAULT_MODEL).sha256


def as_boxes(annotations: Annotations, shape: tuple[int, int]) -> Annotations:
    """Replace what is painted by the box around it; `shape` is height and width of the frames."""
    boxes: list[Annotation] = []
    for item in annotations.items:
        box = bounding_box(item.guidance(shape))
        boxes.append(item if box is None else Box(item.frame, item.label, box))
    return Annotations(boxes)


def _masktrack(opened: OpenProblem, annotations: Annotations, settings: Settings) -> Events:
    from napari_masktrack.tracker import Tracker

    model = {} if settings.model is None else {"model": settings.model}
    tracker = Tracker(**model, device=settings.device)
    yield Loaded(tracker.name, tracker.sha256)
    yield from tracked(tracker, opened, annotations, settings)


def tracked(tracker: "Tracker", opened: OpenProblem, annotations: Annotations, settings: Settings) -> Events:
    """Fine-tune a tracker, from the weights that it has, and carry the masks; see `carry`."""
    results = tracker.propagate(opened.movie, annotations, settings.propagation, frames=opened.frames)
    if settings.finetune is not None:
        yield from tracker.finetune(opened.movie, annotations, settings.finetune)
        if settings.finetune_flow:
            yield from tracker.finetune(opened.movie, annotations, settings.finetune, stream="motion")
    if settings.crf_search:
        yield from tracker.fit_crf(opened.movie, annotations, settings.propagation)
    for result in results:
        yield Answer(result.frame, result.labels, result.confidence, result.source, result.agreement)


def _from_boxes(opened: OpenProblem, annotations: Annotations, settings: Settings) -> Events:
    return _masktrack(opened, as_boxes(annotations, opened.movie.shape), settings)


def _copy(opened: OpenProblem, annotations: Annotations, _: Settings) -> Iterator[Answer]:
    return _within(opened, copy_nearest(opened.movie, annotations))


def _warp(opened: OpenProblem, annotations: Annotations, _: Settings) -> Iterator[Answer]:
    return _within(opened, copy_warped(opened.movie, annotations))


def _box_oracle(opened: OpenProblem, _: Annotations, __: Settings) -> Iterator[Answer]:
    return _within(opened, box_oracle(opened.movie, _truth(opened)))


def _grabcut_oracle(opened: OpenProblem, _: Annotations, __: Settings) -> Iterator[Answer]:
    return _within(opened, grabcut_oracle(opened.movie, _truth(opened)))


def _within(opened: OpenProblem, frames: Iterator[BaselineFrame]) -> Iterator[Answer]:
    return (Answer(each.frame, each.labels) for each in frames if each.frame in opened.frames)


def _truth(opened: OpenProblem) -> Iterator[tuple[int, Labels]]:
    """Read the true masks of the objects that are judged; others are background."""
    for frame in opened.true_frames:
        truth = opened.guide(frame)
        yield frame, np.where(np.isin(truth, opened.labels), truth, 0)


METHODS: dict[str, Method] = {
    "masktrack": _masktrack,
    "box": _from_boxes,
    "copy": _copy,
    "warp": _warp,
    "box-oracle": _box_oracle,
    "grabcut-oracle": _grabcut_oracle,
}
