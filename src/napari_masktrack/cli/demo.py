"""`masktrack demo`: the whole way on a synthetic movie whose truth is known."""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from napari_masktrack.cli.parser import Parser, device_name, option_name
from napari_masktrack.cli.terminal import Terminal
from napari_masktrack.cli.work import Sink, carry, fine_tune
from napari_masktrack.config import FINETUNE, PropagationConfig
from napari_masktrack.errors import ConfigError, InputError
from napari_masktrack.io.refusal import shown

if TYPE_CHECKING:
    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.core.movie import Movie
    from napari_masktrack.core.synthetic import SyntheticMovie
    from napari_masktrack.io.writers import LabelWriter
    from napari_masktrack.propagation import FrameResult

SUMMARY = "Make a synthetic movie, track its cells from one painted frame, and tell how well that went."
VIEWER = "napari_masktrack.widgets"
PAINTED = 0
"""The frame that is annotated."""
TILES = 12
"""Frames in the overlay picture."""
_TRACKING = {"finetune": "quick", "flow": False, "crf": False, "model": None, "device": "auto"}
"""What is done where nothing is said; in the window all of it is chosen there."""
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
"""Variables that say on Linux where Qt may open a window."""


@dataclass(frozen=True)
class Score:
    """How well one object was found on one frame."""

    frame: int
    label: int
    J: float
    F: float
    confidence: float | None
    """None where the object was not looked for."""


class Clock:
    """Seconds that each part took."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        yield
        self.parts[name] = time.perf_counter() - start

    def __str__(self) -> str:
        """Name the parts with their seconds, then the sum."""
        each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.parts.items())
        return f"{each}; in all {sum(self.parts.values()):.1f}"


class ScoredSink(Sink):
    """Keeps the results of the (short) movie, to be compared with the truth."""

    def __init__(self, writer: "LabelWriter") -> None:
        super().__init__(writer)
        self.results: dict[int, FrameResult] = {}

    def keep(self, result: "FrameResult") -> None:
        """Write one frame, and remember it."""
        super().keep(result)
        self.results[result.frame] = result


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="new folder for the results (default: masktrack-demo)"
    )
    parser.add_argument(
        "--viewer",
        action="store_true",
        help="open napari with the movie and the painted frame, ready for the button",
    )
    parser.add_argument(
        "--finetune", choices=tuple(FINETUNE),
        help="adapt the network to the painted frame first (default: quick)",
    )  # fmt: skip
    parser.add_argument("--flow", action="store_true", help="look at how everything moves, too")
    parser.add_argument("--crf", action="store_true", help="sharpen the masks with a fully connected CRF")
    parser.add_argument("--model", metavar="NAME|FILE", help="embedded model or .safetensors file")
    parser.add_argument(
        "--device", type=device_name, metavar="{auto,cpu,cuda,mps}",
        help="where to compute (default: auto, a GPU if there is one)",
    )  # fmt: skip
    parser.set_defaults(**_TRACKING)


def run(options: Namespace, terminal: Terminal) -> None:
    """Do it.

    Raises
    ------
    InputError
        Something handed over cannot be used; nothing was written.
    WorkError
        The work failed on its way; what was finished is kept.
    """
    show = _viewer(options) if options.viewer else None
    folder = _folder(options.output)
    if show is not None:
        _prepare(folder)
        terminal.say(f"In {shown(folder)}: movie.tif, annotations; press the button in the window.")
        show(folder)
        return
    clock = Clock()
    try:
        scores = _work(options, folder, clock, terminal)
    except BaseException as error:
        if folder.is_dir() and any(folder.iterdir()):
            error.add_note(f"What is finished is in {shown(folder)}.")
        raise
    for line in _summary(scores):
        terminal.say(line)
    terminal.say(f"Seconds: {clock}")
    terminal.say(f"In {shown(folder)}: movie.tif, annotations, masks, overlay.png, metrics.csv")


def _work(options: Namespace, folder: Path, clock: Clock, terminal: Terminal) -> list[Score]:
    """Make everything in the folder, and compare it with the truth."""
    with clock.part("loading"):
        from napari_masktrack.core.synthetic import synthetic_movie
        from napari_masktrack.io.exporters import open_writer
        from napari_masktrack.tracker import Tracker

        tracker = Tracker(
            **({} if options.model is None else {"model": options.model}), device=options.device
        )
    with clock.part("movie"):
        truth = synthetic_movie()
        movie, annotations = _save_movie(truth, folder)
    masks = folder / "masks"
    writer = open_writer(masks, frames=len(movie), shape=movie.shape, labels_max=annotations.labels[-1])
    sink = ScoredSink(writer)
    config = PropagationConfig(flow=options.flow, crf=options.crf)
    results = tracker.propagate(movie, annotations, config, headway=True)
    settings = FINETUNE[options.finetune]
    with sink.kept(terminal):
        if settings is not None:
            with clock.part("fine-tuning"):
                fine_tune(tracker.finetune(movie, annotations, settings), settings, terminal)
        with clock.part("propagation"):
            carry(results, sink, terminal)
    with clock.part("scores and pictures"):
        scores = [score for result in sink.results.values() for score in _compare(result, truth)]
        _save_scores(scores, folder)
        _save_overlay(sink.results, movie, folder)
    return scores


def _prepare(folder: Path) -> None:
    """Write the movie and its painted frame; the rest is done in the window."""
    from napari_masktrack.core.synthetic import synthetic_movie

    _save_movie(synthetic_movie(), folder)


def _save_movie(truth: "SyntheticMovie", folder: Path) -> "tuple[Movie, Annotations]":
    """Write movie and painted frame as a user would have them, and open both as usual."""
    import tifffile

    from napari_masktrack.io.exporters import open_writer
    from napari_masktrack.io.readers import open_movie, read_annotations

    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    painted, labels = folder / "annotations", truth.frame(PAINTED).labels
    with open_writer(
        painted, frames=1, shape=labels.shape, labels_max=int(labels.max()), first=PAINTED
    ) as writer:
        writer.write(PAINTED, labels)
    movie = open_movie(folder / "movie.tif")
    return movie, read_annotations(painted, movie)


def _compare(result: "FrameResult", truth: "SyntheticMovie") -> Iterator[Score]:
    from napari_masktrack.core.metrics import contour_accuracy, region_similarity

    true = truth.frame(result.frame).labels
    for label in range(1, truth.config.objects + 1):
        masks = true == label, result.labels == label
        J, F = region_similarity(*masks), contour_accuracy(*masks)  # noqa: N806  the field's names
        yield Score(result.frame, label, J, F, result.confidence.get(label))


def _save_scores(scores: list[Score], folder: Path) -> None:
    from napari_masktrack.io.exporters import save_metrics_csv

    ordered = sorted(scores, key=lambda score: (score.frame, score.label))
    rows = ({**asdict(score), "painted": int(score.frame == PAINTED)} for score in ordered)
    save_metrics_csv(folder / "metrics.csv", rows)


def _save_overlay(results: "dict[int, FrameResult]", movie: "Movie", folder: Path) -> None:
    from napari_masktrack.io.overlay import overlay_sheet

    tiles = min(TILES, len(movie))
    frames = sorted({round(place * (len(movie) - 1) / max(1, tiles - 1)) for place in range(tiles)})
    overlay_sheet(
        folder / "overlay.png", ((frame, movie.image(frame), results[frame].labels) for frame in frames)
    )


def _summary(scores: list[Score]) -> Iterator[str]:
    """Tell J and F per object and over all, without the frame that was given."""
    scores = [score for score in scores if score.frame != PAINTED]
    for label in sorted({score.label for score in scores}):
        own = [score for score in scores if score.label == label]
        sure = [score.confidence for score in own if score.confidence is not None]
        yield (
            f"Object {label}: mean J {fmean(score.J for score in own):.3f}, "
            f"mean F {fmean(score.F for score in own):.3f}, "
            f"mean confidence {fmean(sure) if sure else 0:.3f}"
        )
    frames = len({score.frame for score in scores})
    mean = fmean(score.J for score in scores)
    yield f"Mean J {mean:.3f} over {frames} frames (the painted one does not count)"


def _folder(wanted: Path | None) -> Path:
    """Return the folder to fill: the one asked for, else a new one."""
    from napari_masktrack.io.targets import check_new_folder

    numbered = (Path(f"masktrack-demo-{number}") for number in count(2))
    folder = wanted or next(path for path in chain([Path("masktrack-demo")], numbered) if not path.exists())
    check_new_folder(folder)
    return folder


def _viewer(options: Namespace) -> Callable[[Path], None]:
    """Return what opens the movie in napari.

    The window is on the same floor as this module, so it is found by name: it offers `open_demo(folder)`.

    Raises
    ------
    InputError
        An option is about what is done without a window, there is no screen, or napari is missing.
    """
    for name, default in _TRACKING.items():
        if getattr(options, name) != default:
            raise ConfigError(
                f"{option_name(name)} does not go with --viewer: it is chosen in the window; leave it out."
            )
    if sys.platform.startswith("linux") and not any(map(os.environ.get, SCREENS)):
        raise InputError(  # Qt would end the process
            "--viewer needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY names one; start this on a "
            "computer with a screen, or leave --viewer out."
        )
    with suppress(ImportError, AttributeError):
        # torch first: after Qt it cannot be loaded on some systems
        import_module("napari_masktrack.tracker")
        show: Callable[[Path], None] = import_module(VIEWER).open_demo
        return show
    raise InputError(
        "--viewer needs napari and Qt, which are missing or do not start here; install 'napari[pyqt6]', or "
        "leave --viewer out."
    )
