"""Fine-tune the network on the frames that the user annotated (paper, section 3.2)."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.recall import Recollection
from napari_masktrack.core.resolver import Resolver
from napari_masktrack.errors import WorkError
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.model.segmenter import NetworkSegmenter
from napari_masktrack.training.dreams import dream
from napari_masktrack.training.lessons import Lesson, Lessons, settled
from napari_masktrack.training.prefetch import prefetch
from napari_masktrack.training.samples import Clip, SampleConfig, make_clip
from napari_masktrack.training.scenes import Scene
from napari_masktrack.training.train import Schedule, TrainStep, fit, keep_share

SAMPLES = SampleConfig(margin=(1.4, 2.4), empty=0.0, box=0.05, lobe=0.15)
"""Difficult guidance while fine-tuning."""
SEARCH = 0.15
"""Share of samples without guidance: so a lost object is found again by what it looks like."""
NOTHING = 0.35
"""Share of those in which there is nothing to be found."""


def finetune(
    network: GuidedNetwork,
    movie: Movie,
    annotations: Annotations,
    config: FinetuneConfig,
    *,
    samples: SampleConfig = SAMPLES,
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
        Masks and polygons teach everywhere. Boxes and strokes are first turned into masks by the network;
        these teach if there are several objects of that kind, and if the network is sure of them. Where
        nothing is left to learn from, no step is made.
    config : FinetuneConfig
    samples : SampleConfig, optional
        What guidance is like; an ablation changes it. The size and the share of samples that are
        compared with the annotated frame come from `config`.

    Yields
    ------
    TrainStep
        May be closed at any step; of what was learned by then the share ``config.blend`` is kept.

    Raises
    ------
    AnnotationError
        An annotation does not fit the movie; before any work.
    WorkError
        The loss is not a finite number; the network has its former weights again.
    """
    annotations.check(len(movie), movie.shape)
    recall = config.recall if network.recalls else 0.0
    samples = replace(samples, size=config.size, reference=recall)
    return _finetune(network, movie, annotations, config, samples=samples)


def _finetune(
    network: GuidedNetwork,
    movie: Movie,
    annotations: Annotations,
    config: FinetuneConfig,
    *,
    samples: SampleConfig,
) -> Iterator[TrainStep]:
    recollection = Recollection(NetworkSegmenter(network), movie, wanted=config.recall > 0)
    resolver = Resolver(recollection, movie, annotations, PropagationConfig())
    lessons = Lessons(settled(annotations.items, movie, resolver), movie)
    if not lessons:
        return
    lessons.prepare()
    schedule = Schedule(
        steps=config.steps, seconds=config.seconds, least=config.least,
        rate=config.rate, trunk_rate=config.rate, decay="poly", freeze_statistics=True, seed=config.seed,
    )  # fmt: skip
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        with closing(prefetch(_batches(lessons, config, samples))) as batches:
            yield from fit(network, batches, schedule)
    except WorkError:
        network.load_state_dict(before)
        raise
    finally:
        keep_share(network, before, config.blend)


def _batches(
    lessons: Sequence[Lesson], config: FinetuneConfig, samples: SampleConfig
) -> Iterator[list[Clip]]:
    rng = np.random.default_rng(config.seed)
    while True:
        yield [make_clip(_draw(lessons, config, rng), rng, samples) for _ in range(config.batch)]


def _draw(lessons: Sequence[Lesson], config: FinetuneConfig, rng: np.random.Generator) -> Scene:
    lesson = lessons[int(rng.integers(len(lessons)))]
    if lesson.stage is None:
        return lesson.scene
    if rng.random() < SEARCH:
        scene = dream(lesson.stage, rng, gone=NOTHING, hidden=0.0)
        return replace(scene, lost=True, origin=lesson.scene)
    if rng.random() < config.dream:
        scene = replace(dream(lesson.stage, rng, hidden=0.0), origin=lesson.scene)
        return scene if np.count_nonzero(scene.past) >= 16 else lesson.scene
    return lesson.scene
