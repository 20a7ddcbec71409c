"""The whole method in one object: load, fine-tune, propagate, save.

The window, the command line, Dask workers and scripts all drive this.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar, overload

from napari_masktrack import __version__
from napari_masktrack.config import FINETUNE, FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.crf import CrfConfig, fast_crf
from napari_masktrack.core.crf_examples import crf_examples, meant
from napari_masktrack.core.crf_search import SearchStep, search, suits
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.segmenter import Segmenter
from napari_masktrack.core.streams import MotionMovie, TwoStreamMovie, TwoStreams
from napari_masktrack.errors import CheckpointError, ConfigError, MovieError, OutputError
from napari_masktrack.model.checkpoint import (
    DEFAULT_MODEL,
    Checkpoint,
    find_weights,
    load_checkpoint,
    save_checkpoint,
    sha256_of,
)
from napari_masktrack.model.device import choose_device, computing, place
from napari_masktrack.model.folding import folded
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.model.segmenter import NetworkSegmenter
from napari_masktrack.propagation import FrameResult, Headway, check, propagate
from napari_masktrack.training.online import SAMPLES, finetune
from napari_masktrack.training.train import TrainStep

T = TypeVar("T")
_MOTION_HASH = "motion_sha256"
"""Among the notes of a file of weights: the hash of the file beside it."""


class Tracker:
    """A network on its device, adapted to one movie as often as wanted.

    Parameters
    ----------
    model : str or Path
        Name of an embedded model, or a ``.safetensors`` file, for example one that `save` wrote; the
        network of the motion that was saved with it comes back, too.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.

    Attributes
    ----------
    steps : int
        Fine-tuning steps made so far on top of the loaded weights.
    motion : network or None
        What looks at the optical flow, if that is wanted; None is the same network as for the images.
        `save` keeps it.
    crf : CrfConfig
        How masks are sharpened, if that is wanted; see `fit_crf`.
    samples : SampleConfig
        What guidance is like while fine-tuning; an ablation changes it.
    on_edges : bool or None
        Whether the last propagation, as far as it has begun, put outlines on the image's edges; None if that
        was not the question, or nothing told.
    around : callable or None
        What is put around the network, a segmenter made from one; an ablation needs it.

    Raises
    ------
    CheckpointError
        There is no such model, or its file cannot be used.
    DeviceError
        This machine has no such device.
    WorkError
        The device has too little memory.

    Examples
    --------
    >>> tracker = Tracker()  # doctest: +SKIP
    >>> for step in tracker.finetune(movie, annotations):  # doctest: +SKIP
    ...     print(step.loss)
    >>> masks = {r.frame: r.labels for r in tracker.propagate(movie, annotations)}  # doctest: +SKIP
    """

    def __init__(self, model: str | Path = DEFAULT_MODEL, *, device: str = "auto") -> None:
        self.device = choose_device(device)
        checkpoint: Checkpoint = load_checkpoint(model)
        self.name, self.sha256, self.notes = checkpoint.name, checkpoint.sha256, checkpoint.notes
        with computing():
            self.network = place(checkpoint.network, self.device)
        self._loaded = {name: value.cpu().clone() for name, value in self.network.state_dict().items()}
        self._loaded_motion, self._lost = _find_motion(model, self.notes)
        self.samples = SAMPLES
        self.around: Callable[[Segmenter], Segmenter] | None = None
        self.on_edges: bool | None = None
        self.reset()

    def reset(self) -> None:
        """Go back to the loaded weights, and to the paper's CRF."""
        self.network.load_state_dict(self._loaded)
        self.motion: GuidedNetwork | None = deepcopy(self._loaded_motion)
        self.crf = CrfConfig()
        self.steps = self._motion_steps = 0

    def finetune(
        self,
        movie: Movie,
        annotations: Annotations,
        config: FinetuneConfig | str = "quick",
        *,
        stream: Literal["image", "motion"] = "image",
    ) -> Iterator[TrainStep]:
        """Adapt the weights to the annotated frames; yield after every step.

        Called again, it goes on from the weights of now.

        Parameters
        ----------
        movie : Movie
        annotations : Annotations
        config : FinetuneConfig or str
            Settings, or 'off', 'quick' (about 20 s on two cores) or 'full' (200 steps, as the paper).
        stream : {'image', 'motion'}
            'motion' adapts a second network to pictures of the optical flow; `propagate` uses it when the
            flow is wanted. It begins as a copy of the loaded one, unless one for the motion was loaded
            with it. With 'off' it stays as it was loaded.

        Raises
        ------
        AnnotationError
            An annotation does not fit the movie; before any work.
        ConfigError
            No such mode.
        WorkError
            The device failed, for example for want of memory.
        """
        settings = finetune_config(config)
        annotations.check(len(movie), movie.shape)
        if stream == "motion":
            return self._finetune_motion(movie, annotations, settings)
        if settings is None:
            return iter(())
        steps = finetune(self.network, movie, annotations, settings, samples=self.samples)
        return self._count(_guarded(steps))

    def _finetune_motion(
        self, movie: Movie, annotations: Annotations, settings: FinetuneConfig | None
    ) -> Iterator[TrainStep]:
        with computing():
            if self.motion is None:
                self.motion = deepcopy(self.network)
                self.motion.load_state_dict(self._loaded)
            if settings is None:
                return iter(())
            self.motion = place(self.motion, self.device)  # one that was loaded is where files are read to
        steps = finetune(self.motion, MotionMovie(movie), annotations, settings, samples=self.samples)
        return self._count_motion(_guarded(steps))

    def fit_crf(
        self, movie: Movie, annotations: Annotations, config: PropagationConfig | None = None
    ) -> Iterator[SearchStep]:
        """Search the CRF's parameters on the annotated frames, from coarse to fine; `crf` is the best so far.

        Nothing is yielded where there is nothing to search on: no painted mask, or a single frame.

        Raises
        ------
        AnnotationError
            An annotation does not fit the movie; before any work.
        """
        annotations.check(len(movie), movie.shape)
        return _guarded(self._fit_crf(movie, annotations, config or PropagationConfig()))

    def _fit_crf(
        self, movie: Movie, annotations: Annotations, config: PropagationConfig
    ) -> Iterator[SearchStep]:
        examples = list(crf_examples(*self._seen(movie, config), annotations=annotations, config=config))
        if not examples:
            return
        for step in search(examples, self.crf, threshold=config.threshold):
            self.crf = step.config
            yield step

    @overload
    def propagate(
        self,
        movie: Movie,
        annotations: Annotations,
        config: PropagationConfig | None = None,
        *,
        frames: range | None = None,
        probability: bool = False,
        headway: Literal[False] = False,
    ) -> Iterator[FrameResult]: ...

    @overload
    def propagate(
        self,
        movie: Movie,
        annotations: Annotations,
        config: PropagationConfig | None = None,
        *,
        frames: range | None = None,
        probability: bool = False,
        headway: bool,
    ) -> Iterator[FrameResult | Headway]: ...

    def propagate(
        self,
        movie: Movie,
        annotations: Annotations,
        config: PropagationConfig | None = None,
        *,
        frames: range | None = None,
        probability: bool = False,
        headway: bool = False,
    ) -> Iterator[FrameResult | Headway]:
        """Carry the annotations over the movie; see `propagation.propagate`.

        The weights and the CRF are those of when the first frame is asked for. With the setting `edges` the
        annotated frames are looked at first, to tell whether outlines belong on the image's edges.

        Raises
        ------
        AnnotationError
            An annotation does not fit the movie, or the frames do not; before any work.
        CheckpointError
            With the flow: the network of the motion is not there that was saved with the loaded one; before
            any work.
        """
        check(movie, annotations, frames)
        if config is not None and config.flow:
            self._require_motion()

        def results() -> Iterator[FrameResult | Headway]:
            settings = config or PropagationConfig()
            seen, segment = self._seen(movie, settings)
            yield from propagate(
                seen, annotations, segment, settings,
                frames=frames, crf=self._sharpening(seen, segment, annotations=annotations, config=settings),
                probability=probability, headway=headway,
            )  # fmt: skip

        return _guarded(results())

    def _sharpening(
        self, movie: Movie, segment: Segmenter, *, annotations: Annotations, config: PropagationConfig
    ) -> CrfConfig | None:
        """Return the CRF that is wanted; the fast one only if it suits the masks that are known."""
        self.on_edges = None
        if config.crf:
            return self.crf
        if not config.edges or len(movie) < 2:
            return None
        try:
            known = meant(movie, segment, annotations=annotations, config=config)
        except MovieError:  # a frame that cannot be read is for the propagation to meet, if it gets there
            return None
        crf = fast_crf(min(1.0, config.crowd / len(annotations.labels)))
        examples = crf_examples(movie, segment, annotations=known, config=config)
        self.on_edges = suits(examples, crf, threshold=config.threshold)
        return crf if self.on_edges else None

    def _seen(self, movie: Movie, config: PropagationConfig) -> tuple[Movie, Segmenter]:
        """Return the movie as the network is to see it, and the network as the engine sees it."""
        images: Segmenter = NetworkSegmenter(folded(self.network), flip=config.flip)
        if config.flow:
            return TwoStreamMovie(movie), self._with(TwoStreams(images, self._motion_segmenter(config)))
        return movie, self._with(images)

    def _require_motion(self) -> None:
        if self.motion is None and self._lost is not None:
            raise CheckpointError(
                f"{self._lost} is not there as saved with {self.name}; put it back, or do without the flow."
            )

    def _motion_segmenter(self, config: PropagationConfig) -> Segmenter | None:
        motion = None if self.motion is None else place(self.motion, self.device)
        return None if motion is None else NetworkSegmenter(folded(motion), flip=config.flip)

    def _with(self, segment: Segmenter) -> Segmenter:
        return segment if self.around is None else self.around(segment)

    def save(self, path: Path) -> None:
        """Write the weights of now, fine-tuned or not, as ``.safetensors``.

        Parameters
        ----------
        path : Path
            An existing file is replaced. A network of the motion, if there is one, goes beside it:
            ``NAME.motion.safetensors``. Both are needed to have it back, and are moved together.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        notes = {**self.notes, **self.description()}
        notes.pop(_MOTION_HASH, None)
        if self.motion is not None:
            self._save_both(path, self.motion, notes)
        else:
            save_checkpoint(path, self.network, notes)

    def _save_both(self, path: Path, motion: GuidedNetwork, notes: Mapping[str, str]) -> None:
        """Replace a file of weights and the one beside it only when both are written."""
        beside = motion_path(path)
        fresh = beside.with_name(beside.name + ".new")
        save_checkpoint(fresh, motion, notes)
        try:
            save_checkpoint(path, self.network, {**notes, _MOTION_HASH: sha256_of(fresh)})
            fresh.replace(beside)
        except OSError as error:
            raise OutputError(f"{beside} cannot be written ({error}); choose another place.") from error
        finally:
            fresh.unlink(missing_ok=True)

    def description(self) -> dict[str, str]:
        """Return what a result should record: model, hash of its file, fine-tuning, version."""
        motion = {} if self.motion is None else {"motion_finetuning_steps": str(self._motion_steps)}
        return {
            "model": self.name,
            "weights_sha256": self.sha256,
            "finetuning_steps": str(self.steps),
            "device": str(self.device),
            "napari_masktrack": __version__,
            **motion,
        }

    def _count(self, steps: Iterator[TrainStep]) -> Iterator[TrainStep]:
        for step in steps:
            self.steps += 1
            yield step

    def _count_motion(self, steps: Iterator[TrainStep]) -> Iterator[TrainStep]:
        for step in steps:
            self._motion_steps += 1
            yield step


def motion_path(path: Path) -> Path:
    """Return where the network of the motion lies that belongs to a file of weights."""
    return path.with_name(f"{path.stem}.motion.safetensors")


def _find_motion(model: str | Path, notes: Mapping[str, str]) -> tuple[GuidedNetwork | None, Path | None]:
    """Return the network of the motion that was saved with a model; else where it should be."""
    if _MOTION_HASH not in notes:
        return None, None
    path = motion_path(find_weights(model))
    if not path.is_file() or sha256_of(path) != notes[_MOTION_HASH]:
        return None, path
    return load_checkpoint(path).network, None


def finetune_config(mode: FinetuneConfig | str, **changes: object) -> FinetuneConfig | None:
    """Return the settings of a fine-tuning mode; None for 'off'.

    Raises
    ------
    ConfigError
        No such mode.
    """
    if isinstance(mode, FinetuneConfig):
        return mode
    if mode not in FINETUNE:
        raise ConfigError(f"Fine-tuning {mode!r} is unknown; choose one of {', '.join(FINETUNE)}.")
    settings = FINETUNE[mode]
    return None if settings is None else replace(settings, **changes)  # type: ignore[arg-type]


def _guarded(items: Iterator[T]) -> Iterator[T]:
    with computing():
        yield from items
