"""The whole method in one object: load, fine-tune, propagate, save.

The window, the command line, Dask workers and scripts all drive this.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from napari_masktrack import __version__
from napari_masktrack.config import FINETUNE, FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import ConfigError, WorkError
from napari_masktrack.model.checkpoint import DEFAULT_MODEL, Checkpoint, load_checkpoint, save_checkpoint
from napari_masktrack.model.device import choose_device, place
from napari_masktrack.model.segmenter import NetworkSegmenter
from napari_masktrack.propagation import FrameResult, propagate
from napari_masktrack.training.online import finetune
from napari_masktrack.training.train import TrainStep

T = TypeVar("T")


class Tracker:
    """A network on its device, adapted to one movie as often as wanted.

    Parameters
    ----------
    model : str or Path
        Name of an embedded model, or a ``.safetensors`` file, for example one that `save` wrote.
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.

    Attributes
    ----------
    steps : int
        Fine-tuning steps made so far on top of the loaded weights.

    Raises
    ------
    CheckpointError
        There is no such model, or its file cannot be used.
    DeviceError
        This machine has no such device.

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
        self.network = place(checkpoint.network, self.device)
        self.steps = 0

    def finetune(
        self, movie: Movie, annotations: Annotations, config: FinetuneConfig | str = "quick"
    ) -> Iterator[TrainStep]:
        """Adapt the weights to the annotated frames; yield after every step.

        Called again, it goes on from the weights of now.

        Parameters
        ----------
        movie : Movie
        annotations : Annotations
        config : FinetuneConfig or str
            Settings, or 'off', 'quick' (about 20 s on two cores) or 'full' (200 steps, as the paper).

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
        if settings is None:
            return iter(())
        return self._count(guarded(finetune(self.network, movie, annotations, settings)))

    def propagate(
        self,
        movie: Movie,
        annotations: Annotations,
        config: PropagationConfig | None = None,
        *,
        frames: range | None = None,
    ) -> Iterator[FrameResult]:
        """Carry the annotations over the movie; see `propagation.propagate`."""
        config = config or PropagationConfig()
        segmenter = NetworkSegmenter(self.network, flip=config.flip)
        return guarded(propagate(movie, annotations, segmenter, config, frames=frames))

    def save(self, path: Path) -> None:
        """Write the weights of now, fine-tuned or not, as ``.safetensors``."""
        save_checkpoint(path, self.network, {**self.notes, **self.description()})

    def description(self) -> dict[str, str]:
        """Return what a result should record: model, hash of its file, fine-tuning, version."""
        return {
            "model": self.name,
            "weights_sha256": self.sha256,
            "finetuning_steps": str(self.steps),
            "device": str(self.device),
            "napari_masktrack": __version__,
        }

    def _count(self, steps: Iterator[TrainStep]) -> Iterator[TrainStep]:
        for step in steps:
            self.steps += 1
            yield step


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


def guarded(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; what torch raises as RuntimeError reaches the user as a WorkError."""
    try:
        yield from items
    except RuntimeError as error:
        memory = "out of memory" in str(error).lower()
        advice = (
            "choose a smaller crop, fewer objects or the CPU" if memory else "try the CPU, or report this"
        )
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkError(f"The computation failed ({reason}); {advice}.") from error
