"""`masktrack propagate`: a movie and some painted frames in, the masks of all frames out."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from napari_masktrack.cli.parser import (
    Parser,
    add_tracking,
    channel_list,
    finetune_settings,
    frame_range,
    propagation_settings,
)
from napari_masktrack.cli.terminal import Terminal
from napari_masktrack.cli.work import Sink, carry, fine_tune, fit_crf
from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.errors import (
    AnnotationError,
    AxesError,
    ChannelsError,
    InputError,
    MovieError,
    OutputError,
    WorkError,
)

if TYPE_CHECKING:
    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.core.movie import Movie
    from napari_masktrack.tracker import Tracker

SUMMARY = "Carry painted masks through a movie."

OpenInput: TypeAlias = Callable[[], "tuple[Movie, Annotations]"]
OpenSink: TypeAlias = Callable[["Movie", "Annotations", range], Sink]


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
    finetune_flow: bool = False
    crf_search: bool = False


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "movie",
        metavar="MOVIE",
        nargs="?",
        type=Path,
        help="folder of images, TIFF stack, Zarr array or video",
    )
    _add_files(parser)
    parser.add_argument(
        "--frames", metavar="A:B", type=frame_range, default=slice(None),
        help="only frames A up to, not including, B; counted from 0 (default: all)",
    )  # fmt: skip
    add_tracking(parser)


def run(options: Namespace, terminal: Terminal) -> None:
    """Do it.

    Raises
    ------
    InputError
        Something handed over cannot be used; nothing was written.
    WorkError
        The work failed on its way; what was finished is kept.
    """
    complete(prepare(options), options, terminal)


def complete(job: Job, options: Namespace, terminal: Terminal) -> None:
    """Load the network and do what was prepared."""
    terminal.check()
    from napari_masktrack.tracker import Tracker

    model = {} if options.model is None else {"model": options.model}
    tracker = Tracker(**model, device=options.device)
    with job.sink.kept(terminal):
        work(job, tracker, terminal)
    told = job.sink.summary()
    with terminal.telling(told):
        terminal.say(told)


def work(job: Job, tracker: "Tracker", terminal: Terminal) -> None:
    """Fine-tune and propagate; the caller closes the sink."""
    # Both refuse bad input when they are called, so both are called before anything is computed.
    results = tracker.propagate(job.movie, job.annotations, job.config, frames=job.frames, headway=True)
    steps = tracker.finetune(job.movie, job.annotations, job.finetune or "off")
    objects, frames = len(job.annotations.labels), len(job.annotations.frames)
    terminal.complain(f"Annotated: {objects} object(s) on {frames} frame(s).")
    if job.finetune is not None:
        learned = fine_tune(steps, job.finetune, terminal)
        if job.finetune_flow:
            steps = tracker.finetune(job.movie, job.annotations, job.finetune, stream="motion")
            learned |= fine_tune(steps, job.finetune, terminal, what="the flow's network")
        if learned:
            job.sink.learned(tracker)
    if job.crf_search:
        fit_crf(tracker.fit_crf(job.movie, job.annotations, job.config), terminal)
    if job.weights is not None:
        _save_weights(tracker, job.weights, terminal)
    carry(results, job.sink, terminal)
    if tracker.on_edges is False:
        terminal.complain(
            "Outlines stay as the network gave them: what is annotated does not follow the image's edges."
        )


def prepare(
    options: Namespace, open_input: OpenInput | None = None, open_sink: OpenSink | None = None
) -> Job:
    """Check all that can be checked without the network, in the order in which a user would look.

    Parameters
    ----------
    options : Namespace
    open_input : callable, optional
        Gives movie and annotations; by default those of the files in the options.
    open_sink : callable, optional
        Takes movie, annotations and frames; by default the sink writes the files in the options.

    Raises
    ------
    InputError
    """
    config = propagation_settings(options)
    finetune = finetune_settings(options, also=("save_weights",))
    movie, annotations = _open_files(options) if open_input is None else open_input()
    frames = _frames(options.frames, movie)
    movie.image(annotations.frames[0])  # reads all over the movie for its intensities: damage shows now
    if open_sink is None:
        sink = _open_sink(options, movie, annotations, frames)
    else:
        sink = open_sink(movie, annotations, frames)
    _check_new(options.confidence, ".csv", "--confidence")
    _check_new(options.save_weights, ".safetensors", "--save-weights")
    if options.save_weights is not None and options.finetune_flow:
        from napari_masktrack.tracker import motion_path

        _check_new(motion_path(options.save_weights), ".safetensors", "--save-weights")
    return Job(
        movie, annotations, frames, config, finetune, sink,
        weights=options.save_weights, finetune_flow=options.finetune_flow, crf_search=options.crf_search,
    )  # fmt: skip


def _open_files(options: Namespace) -> "tuple[Movie, Annotations]":
    if options.annotations is None and options.boxes is None:
        raise AnnotationError("Nothing is annotated; give --annotations PATH, --boxes FILE, or both.")
    from napari_masktrack.io.readers import open_movie

    try:
        movie = open_movie(options.movie, axes=options.axes, channels=options.channels)
    except (AxesError, ChannelsError) as error:
        option = "--axes tyxc" if isinstance(error, AxesError) else "--channels 0"
        raise MovieError(f"{str(error).removesuffix('.')} ({option}).") from error
    return movie, _annotations(options, movie)


def _open_sink(options: Namespace, movie: "Movie", annotations: "Annotations", frames: range) -> Sink:
    from napari_masktrack.io.coco import image_names
    from napari_masktrack.io.exporters import open_writer

    writer = open_writer(
        options.output,
        frames=len(frames),
        shape=movie.shape,
        labels_max=annotations.labels[-1],
        first=frames.start,
        images=image_names(movie, options.movie),
    )
    return Sink(writer, options.confidence)


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
        help="label masks of some frames: a folder of PNG files named like the frames or by index (counted "
        "from 0), or a stack; 0 is background, every other value an object",
    )  # fmt: skip
    files.add_argument(
        "--boxes", metavar="FILE", type=Path,
        help="boxes instead of masks or beside them: CSV with the columns frame (counted from 0), label, "
        "y0, x0, y1, x1",
    )  # fmt: skip
    files.add_argument(
        "--output", metavar="PATH", type=Path,
        help="new folder for one PNG mask per frame, or a new path ending in .tif, .zarr or .json (COCO)",
    )  # fmt: skip
    files.add_argument(
        "--confidence", metavar="FILE.csv", type=Path,
        help="new table of the confidence per frame and object; where masks came from both sides, the column "
        "agreement says how well they fit each other",
    )  # fmt: skip
    files.add_argument(
        "--save-weights", metavar="FILE", type=Path,
        help="new .safetensors file for the fine-tuned network, to be used as --model; with --finetune-flow "
        "FILE.motion.safetensors lies beside it",
    )  # fmt: skip
    files.add_argument(
        "--axes",
        help="one letter per dimension of the movie, such as tcyx or zyx, where the file does not say it",
    )
    files.add_argument(
        "--channels", metavar="C[,C,C]", type=channel_list, help="channel to look at, from 0, or up to three"
    )


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
