"""`masktrack propagate`: a movie and some painted frames in, the masks of all frames out."""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.cli.parser import (
    Parser,
    add_settings,
    channel_list,
    device_name,
    frame_range,
    given_settings,
    option_name,
)
from napari_masktrack.cli.terminal import Terminal
from napari_masktrack.cli.work import Sink, carry, fine_tune
from napari_masktrack.config import FINETUNE, FinetuneConfig, PropagationConfig
from napari_masktrack.errors import AnnotationError, ConfigError, InputError, OutputError, WorkError

if TYPE_CHECKING:
    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.core.movie import Movie
    from napari_masktrack.tracker import Tracker

SUMMARY = "Carry painted masks through a movie."

VARIANTS = {
    "flow": "look at the optical flow as well as at the image",
    "crf": "sharpen the masks with a fully connected CRF",
}


@dataclass(frozen=True)
class Job:
    """Everything that was asked for, opened and checked; nothing is computed yet."""

    movie: "Movie"
    annotations: "Annotations"
    frames: range
    config: PropagationConfig
    finetune: FinetuneConfig | None
    sink: Sink
    weights: Path | None


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "movie", metavar="MOVIE", type=Path, help="folder of images, TIFF stack, Zarr array or video"
    )
    _add_files(parser)
    parser.add_argument(
        "--finetune", choices=tuple(FINETUNE), default="quick",
        help="adapt the network to the painted frames first (default: quick, about 20 s on two cores)",
    )  # fmt: skip
    parser.add_argument(
        "--frames", metavar="A:B", type=frame_range, default=slice(None),
        help="only frames A up to, not including, B; counted from 0 (default: all)",
    )  # fmt: skip
    parser.add_argument("--model", metavar="NAME|FILE", help="embedded model or .safetensors file")
    parser.add_argument(
        "--device", type=device_name, default="auto", metavar="{auto,cpu,cuda,mps}",
        help="where to compute (default: auto, a GPU if there is one)",
    )  # fmt: skip
    for name, text in VARIANTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"{text} (not in this version)")
    add_settings(parser.add_argument_group("propagation"), PropagationConfig)
    modes = {mode: settings for mode, settings in FINETUNE.items() if settings is not None}
    add_settings(parser.add_argument_group("fine-tuning"), FinetuneConfig, modes)


def run(options: Namespace, terminal: Terminal) -> None:
    """Do it.

    Raises
    ------
    InputError
        Something handed over cannot be used; nothing was written.
    WorkError
        The work failed on its way; what was finished is kept.
    """
    job = prepare(options)
    terminal.check()
    from napari_masktrack.tracker import Tracker

    model = {} if options.model is None else {"model": options.model}
    tracker = Tracker(**model, device=options.device)
    with job.sink.kept(terminal):
        work(job, tracker, terminal)
    terminal.say(job.sink.summary())


def work(job: Job, tracker: "Tracker", terminal: Terminal) -> None:
    """Fine-tune and propagate; the caller closes the sink."""
    # Both refuse bad input when they are called, so both are called before anything is computed.
    results = tracker.propagate(job.movie, job.annotations, job.config, frames=job.frames)
    if job.finetune is not None:
        fine_tune(tracker.finetune(job.movie, job.annotations, job.finetune), job.finetune, terminal)
    if job.weights is not None:
        _save_weights(tracker, job.weights, terminal)
    carry(results, job.sink, terminal)


def prepare(options: Namespace) -> Job:
    """Check all that can be checked without the network, in the order in which a user would look.

    Raises
    ------
    InputError
    """
    _refuse_variants(options)
    config = PropagationConfig(**given_settings(options, PropagationConfig))
    finetune = _finetune_settings(options)
    if options.annotations is None and options.boxes is None:
        raise AnnotationError("Nothing is annotated; give --annotations PATH, --boxes FILE, or both.")
    from napari_masktrack.io.exporters import open_writer
    from napari_masktrack.io.readers import open_movie

    movie = open_movie(options.movie, axes=options.axes, channels=options.channels)
    annotations = _annotations(options, movie)
    frames = _frames(options.frames, movie)
    movie.image(annotations.frames[0])  # reads all over the movie for its intensities: damage shows now
    writer = open_writer(
        options.output,
        frames=len(frames),
        shape=movie.shape,
        labels_max=annotations.labels[-1],
        first=frames.start,
    )
    _check_new(options.confidence, ".csv", "--confidence")
    _check_new(options.save_weights, ".safetensors", "--save-weights")
    sink = Sink(writer, options.confidence)
    return Job(movie, annotations, frames, config, finetune, sink, options.save_weights)


def _save_weights(tracker: "Tracker", path: Path, terminal: Terminal) -> None:
    try:
        with terminal.finishing():
            tracker.save(path)
    except OutputError as error:  # it could be written when the work began
        raise WorkError(str(error)) from error
    terminal.check()


def _add_files(parser: Parser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "--annotations", metavar="PATH", type=Path,
        help="label masks of some frames: a folder of PNG files named like the frames or by index, or a "
        "stack; 0 is background, every other value an object",
    )  # fmt: skip
    files.add_argument(
        "--boxes", metavar="FILE", type=Path,
        help="boxes instead of masks or beside them: CSV with the columns frame, label, y0, x0, y1, x1",
    )  # fmt: skip
    files.add_argument(
        "--output", metavar="PATH", type=Path, required=True,
        help="new folder for one PNG mask per frame, or a new path ending in .tif, .zarr or .json (COCO)",
    )  # fmt: skip
    files.add_argument(
        "--confidence", metavar="FILE.csv", type=Path, help="new table of the confidence per frame and object"
    )
    files.add_argument(
        "--save-weights", metavar="FILE", type=Path,
        help="new .safetensors file for the fine-tuned network, to be used as --model",
    )  # fmt: skip
    files.add_argument(
        "--axes",
        help="one letter per dimension of the movie, such as tcyx or zyx, where the file does not say it",
    )
    files.add_argument(
        "--channels", metavar="C[,C,C]", type=channel_list, help="channel to look at, from 0, or up to three"
    )


def _refuse_variants(options: Namespace) -> None:
    # Where the variants will be hooked in: as wrappers of the segmenter (flow) and of the results (CRF).
    for name in VARIANTS:
        if getattr(options, name):
            raise ConfigError(f"--{name} is not available in this version; leave it out.")


def _finetune_settings(options: Namespace) -> FinetuneConfig | None:
    settings, changes = FINETUNE[options.finetune], given_settings(options, FinetuneConfig)
    if settings is not None:
        return replace(settings, **changes)
    unused = [option_name(name) for name in changes] + ["--save-weights"] * (options.save_weights is not None)
    if unused:
        raise ConfigError(
            f"{unused[0]} belongs to fine-tuning, which is off; leave it out, or use quick or full."
        )
    return None


def _annotations(options: Namespace, movie: "Movie") -> "Annotations":
    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.io.readers import read_annotations, read_boxes

    found = Annotations()
    if options.annotations is not None:
        found += read_annotations(options.annotations, movie)
    if options.boxes is not None:
        found += read_boxes(options.boxes, movie)
    found.check(len(movie), movie.shape)
    return found


def _frames(wanted: slice, movie: "Movie") -> range:
    start = 0 if wanted.start is None else wanted.start
    stop = len(movie) if wanted.stop is None else wanted.stop
    if not 0 <= start < stop <= len(movie):
        raise InputError(
            f"Frames {start}:{stop} are not in {movie.name!r}, which has {len(movie)} frame(s); "
            f"give a range within 0:{len(movie)}."
        )
    return range(start, stop)


def _check_new(path: Path | None, ending: str, option: str) -> None:
    from napari_masktrack.io.targets import check_new_file

    if path is None:
        return
    if path.suffix.lower() != ending:
        raise OutputError(f"{option} is {path.name}; choose a name ending in {ending}.")
    check_new_file(path)
