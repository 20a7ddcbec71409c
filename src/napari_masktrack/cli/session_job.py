"""`masktrack propagate --session`: go on in the terminal with a session of the window, and back."""

from argparse import Namespace
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_masktrack.cli import propagate
from napari_masktrack.cli.parser import Parser, option_name
from napari_masktrack.cli.terminal import Terminal
from napari_masktrack.cli.work import Sink
from napari_masktrack.config import Checked, FinetuneConfig, PropagationConfig
from napari_masktrack.errors import AnnotationError, ConfigError, InputError

if TYPE_CHECKING:  # NumPy comes with these, and `--help` does not need it
    from collections.abc import Callable, Iterator

    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.core.movie import Movie
    from napari_masktrack.io.session import Session
    from napari_masktrack.propagation import FrameResult
    from napari_masktrack.tracker import Tracker

ITS_OWN = ("annotations", "boxes", "axes", "channels")
"""Options of what a session knows by itself."""
WRITING = ("output", "confidence", "save_weights")
"""Options of files that are written."""


def add_arguments(parser: Parser) -> None:
    """Add the options of `masktrack propagate`, with and without a session."""
    propagate.add_arguments(parser)
    sessions = parser.add_argument_group("sessions of the window")
    sessions.add_argument(
        "--session", metavar="FOLDER", type=Path,
        help="go on with this session: its movie (MOVIE says where it lies now), annotations, settings and "
        "fine-tuned weights; without --output the masks go back into it",
    )  # fmt: skip
    sessions.add_argument(
        "--revert", action="store_true",
        help="with --session: bring back the masks that were there before the last run in the terminal, "
        "and nothing else; done twice, all is as before",
    )  # fmt: skip
    parser.set_defaults(finetune=None)  # what it means depends on the session


def run(options: Namespace, terminal: Terminal) -> None:
    """Do it, with a session or without.

    Raises
    ------
    InputError
        Something handed over cannot be used; nothing was written.
    WorkError
        The work failed on its way; what was finished is kept.
    """
    if options.session is None:
        _require_files(options)
        options.finetune = options.finetune or "quick"
        propagate.run(options, terminal)
        return
    if options.revert:
        _refuse_beside_revert(options)
    from napari_masktrack.io.session import Session

    with (
        Session.open(options.session, read_only=options.output is not None) as session,
        _complaining(session, terminal) as complain,
    ):
        if options.revert:
            _revert(session, terminal)
            return
        job = prepare(options, session)
        complain()
        propagate.complete(job, options, terminal)


@contextmanager
def _complaining(session: "Session", terminal: Terminal) -> "Iterator[Callable[[], None]]":
    """Give what says the session's problems that are new; it is done at the end, too, whatever happens."""
    said: set[str] = set()

    def complain() -> None:
        for problem in session.problems:
            if problem not in said:
                said.add(problem)
                terminal.complain(f"masktrack: {problem}")

    try:
        yield complain
    finally:
        complain()


def prepare(options: Namespace, session: "Session") -> propagate.Job:
    """Check and open what the session holds and the options ask for; nothing is computed yet.

    Raises
    ------
    InputError
        An option contradicts the session, the movie is another one, or nothing is annotated.
    """
    _refuse_its_own(options)
    tuned = session.weights.is_file()
    take_over(options, session.settings, tuned=tuned)
    if options.model is None and tuned:
        options.model = str(session.weights)

    def open_input() -> "tuple[Movie, Annotations]":
        from napari_masktrack.io.refusal import shown

        options.movie = options.movie or session.movie.find(session.folder)
        movie, annotations = session.open_movie(options.movie), session.annotations()
        if not annotations.items:
            raise AnnotationError(f"Nothing is annotated in {shown(session.folder)}; paint in the window.")
        annotations.check(len(movie), movie.shape)
        return movie, annotations

    if options.output is not None:
        return propagate.prepare(options, open_input)
    return propagate.prepare(
        options,
        open_input,
        lambda _movie, _annotations, frames: SessionSink(session, frames, options.confidence),
    )


def take_over(options: Namespace, settings: Mapping[str, Any], *, tuned: bool) -> None:
    """Set what was not asked for on the command line as the session has it.

    Parameters
    ----------
    options : Namespace
        Is changed.
    settings : mapping
        Of the session.
    tuned : bool
        Whether the session has fine-tuned weights; then nothing is fine-tuned unless it is asked for.
    """
    mode = str(settings.get("mode", "quick"))
    options.finetune = options.finetune or ("off" if tuned else mode)
    compares = hasattr(options, "both_sides")
    parts: list[tuple[str, type[Checked]]] = [("propagate", PropagationConfig)]
    if options.finetune == mode != "off":
        parts.append(("finetune", FinetuneConfig))
    for part, config in parts:
        stored = settings.get(part, {})
        for each in fields(config):  # type: ignore[arg-type]
            if each.name in stored and not hasattr(options, each.name):
                setattr(options, each.name, stored[each.name])
    # As in the window, each counts only together with what it belongs to.
    if not compares and getattr(options, "direction", "both") != "both":
        options.both_sides = False
    flow, crf = (getattr(options, name, False) for name in ("flow", "crf"))
    tunes_flow = flow and options.finetune == mode != "off"
    options.finetune_flow |= tunes_flow and bool(settings.get("finetune_flow"))
    options.crf_search |= crf and bool(settings.get("crf_search"))


class SessionSink(Sink):
    """Puts frames and their confidence into the session; what they replace is kept, see `FormerWork`.

    Parameters
    ----------
    session : Session
        Open for writing.
    frames : range
    confidence : Path, optional
        As of `Sink`.

    """

    def __init__(self, session: "Session", frames: range, confidence: Path | None = None) -> None:
        from napari_masktrack.io.session_results import SessionWriter

        super().__init__(SessionWriter(session, frames), confidence)
        self._session, self._begun = session, False
        self._tuned: Tracker | None = None
        self._numbers: dict[int, list[Mapping[str, Any]]] = {}

    def learned(self, tracker: "Tracker") -> None:
        """Save this tracker's weights too, when the first frame comes."""
        self._tuned = tracker

    def keep(self, result: "FrameResult") -> None:
        """Write one frame."""
        if not self._begun:
            self._session.former.keep_result()
            self._session.numbers.outdate_scores()
            self._begun = True
            if self._tuned is not None:
                self._session.save_weights(self._tuned.save)
        super().keep(result)
        self._session.probabilities.forget(result.frame)  # they are those of other masks
        self._numbers[result.frame] = [
            {
                "frame": result.frame,
                "label": label,
                "confidence": value,
                "source": result.source[label],
                "agreement": result.agreement.get(label),
            }
            for label, value in result.confidence.items()
        ]

    def _tables(self) -> "list[Callable[[], object]]":
        """As of `Sink`; and what writes the numbers of the session."""
        return [*super()._tables(), self._save_numbers]

    def _save_numbers(self) -> None:
        if not self._numbers:
            return
        rows: list[Mapping[str, Any]] = [
            row for row in self._session.numbers.metrics() if int(row["frame"]) not in self._numbers
        ]
        rows += [row for frame in self._numbers.values() for row in frame]
        rows.sort(key=lambda row: (int(row["frame"]), int(row["label"])))
        self._session.numbers.save_metrics(rows)


def _refuse_beside_revert(options: Namespace) -> None:
    """Refuse what `--revert` would not do; how masks are carried may be said, as none are."""
    for name in WRITING:
        if getattr(options, name) is not None:
            raise ConfigError(f"--revert writes no files; leave {option_name(name)} out.")
    if options.frames != slice(None):
        raise ConfigError("--revert brings back all frames of the last run; leave --frames out.")
    _refuse_its_own(options)


def _refuse_its_own(options: Namespace) -> None:
    for name in ITS_OWN:
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} does not go with --session, which brings its own; leave it out.")


def _revert(session: "Session", terminal: Terminal) -> None:
    from napari_masktrack.io.refusal import shown

    if not session.former.swap_result():
        raise InputError(f"There is nothing to bring back in {shown(session.folder)}; leave --revert out.")
    terminal.say(f"The former masks of {len(session.results.written)} frame(s) are back.")


def _require_files(options: Namespace) -> None:
    """Refuse a command line with neither movie and output nor a session."""
    if options.revert:
        raise ConfigError("--revert belongs to --session; give --session FOLDER.")
    given = {"MOVIE": options.movie, "--output": options.output}
    missing = ", ".join(name for name, value in given.items() if value is None)
    if missing:
        raise InputError(
            f"The following arguments are required: {missing} (or --session FOLDER); "
            "see 'masktrack propagate --help'."
        )
