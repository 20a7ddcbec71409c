"""Fine-tune the network on the frames that the user annotated (paper, section 3.2)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotation, Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.refine import refine
from napari_masktrack.core.region import Region
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.model.segmenter import NetworkSegmenter
from napari_masktrack.training.dreams import Stage, dream
from napari_masktrack.training.prefetch import prefetch
from napari_masktrack.training.samples import Clip, SampleConfig, make_clip
from napari_masktrack.training.scenes import Scene, surroundings
from napari_masktrack.training.train import Schedule, TrainStep, fit

SAMPLES = SampleConfig(margin=(1.4, 2.4), empty=0.0, box=0.05, lobe=0.15)
"""Difficult guidance while fine-tuning."""
SEARCH = 0.15
"""Share of samples without guidance: so a lost object is found again by what it looks like."""
NOTHING = 0.35
"""Share of those in which there is nothing to be found."""


@dataclass(frozen=True)
class Lesson:
    """One annotated object on one frame, ready to be sampled; without a stage it cannot be dreamt of."""

    scene: Scene
    stage: Stage | None


def finetune(
    network: GuidedNetwork, movie: Movie, annotations: Annotations, config: FinetuneConfig
) -> Iterator[TrainStep]:
    """Adapt the network, in place, to all annotated frames; yield after every step.

    Starts from the weights that the network has, so another call with one more annotated frame
    continues where the last one ended.

    Parameters
    ----------
    network : GuidedNetwork
        On the device where it should train.
    movie : Movie
    annotations : Annotations
        Masks and polygons teach everywhere, scribbles where they were drawn; a box is first turned
        into a mask by the network, of which the part within the box counts.
    config : FinetuneConfig

    Yields
    ------
    TrainStep
        May be closed at any step; the weights of then are kept.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie; before any work.
    """
    annotations.check(len(movie), movie.shape)
    return _finetune(network, movie, annotations, config)


def _finetune(
    network: GuidedNetwork, movie: Movie, annotations: Annotations, config: FinetuneConfig
) -> Iterator[TrainStep]:
    painted = [item for item in annotations.items if item.is_painted(movie.shape)]
    lessons = [_lesson(item, movie, network) for item in painted]
    schedule = Schedule(
        steps=config.steps, seconds=config.seconds, rate=config.rate, trunk_rate=config.rate,
        decay="poly", freeze_statistics=True,
    )  # fmt: skip
    torch.manual_seed(config.seed)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        with closing(prefetch(_batches(lessons, config))) as batches:
            yield from fit(network, batches, schedule)
    finally:
        _blend(network, before, config.blend)


def _blend(network: GuidedNetwork, before: Mapping[str, Tensor], share: float) -> None:
    """Move the weights back towards those of before; `share` of the way that they went remains.

    What one frame taught stays, what it made the network forget comes back.
    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name], 1 - share)


def _lesson(item: Annotation, movie: Movie, network: GuidedNetwork) -> Lesson:
    image = movie.image(item.frame)
    target, known = item.supervision(movie.shape)
    if not item.exact and not target.any():
        region = Region.of(item.guidance(movie.shape))
        assert region is not None, "only painted items are lessons"
        found, _ = refine(region, image, NetworkSegmenter(network), PropagationConfig())
        target = found.to_mask(movie.shape) & ~known
        target = target if target.any() else region.to_mask(movie.shape)
        known = np.ones_like(known)
    scene = surroundings(Scene(image, target, known))
    return Lesson(scene, Stage.of(scene) if known.all() and target.any() else None)


def _batches(lessons: Sequence[Lesson], config: FinetuneConfig) -> Iterator[list[Clip]]:
    rng = np.random.default_rng(config.seed)
    samples = replace(SAMPLES, size=config.size)
    while True:
        yield [make_clip(_draw(lessons, config, rng), rng, samples) for _ in range(config.batch)]


def _draw(lessons: Sequence[Lesson], config: FinetuneConfig, rng: np.random.Generator) -> Scene:
    lesson = lessons[int(rng.integers(len(lessons)))]
    if lesson.stage is None:
        return lesson.scene
    if rng.random() < SEARCH:
        return replace(dream(lesson.stage, rng, gone=NOTHING, hidden=0.0), lost=True)
    if rng.random() < config.dream:
        scene = dream(lesson.stage, rng, hidden=0.0)
        return scene if np.count_nonzero(scene.past) >= 16 else lesson.scene
    return lesson.scene
