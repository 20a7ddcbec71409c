"""The command `masktrack`: the engine's generators driven from a terminal."""

import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from napari_masktrack import __version__
from napari_masktrack.cli import demo, evaluate, propagate, session_job, train
from napari_masktrack.cli.parser import Parser
from napari_masktrack.cli.terminal import Interrupted, Terminal, one_line
from napari_masktrack.errors import InputError, MaskTrackError

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 130


@dataclass(frozen=True)
class Command:
    """One word after `masktrack`: what it is for, what may follow it, and what it does."""

    summary: str
    add_arguments: Callable[[Parser], None]
    run: Callable[[Namespace, Terminal], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        What follows the word `masktrack`; taken from the process by default.

    Returns
    -------
    int
        The exit code: 0 when everything was done, 1 after a failure while working, 2 for bad input,
        130 after Ctrl-C, 143 after a request to terminate, 129 after the terminal was closed.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    with Terminal(debug="--debug" in words) as terminal:
        try:
            options = _parse(words)
            COMMANDS[options.command].run(options, terminal)
        except SystemExit as finished:  # --help and --version
            return int(finished.code or DONE)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  whatever it is, the user gets one line
            return _explain(error, terminal)
    return DONE


def build_parser() -> Parser:
    """Make the parser of the command line; loads neither torch nor NumPy."""
    parser = Parser(
        prog="masktrack",
        description="Paint one frame, get the masks of the whole movie.",
        epilog="'masktrack COMMAND --help' explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"masktrack {__version__}")
    _add_debug(parser)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        child = commands.add_parser(name, help=command.summary, description=command.summary)
        command.add_arguments(child)
        _add_debug(child)
    return parser


def _parse(words: Sequence[str]) -> Namespace:
    """Read the command line; what a command does not know is refused with a hint at that command's help."""
    options, unknown = build_parser().parse_known_args(words)
    if unknown:
        raise InputError(
            f"Unrecognized arguments: {' '.join(unknown)}; see 'masktrack {options.command} --help'."
        )
    return options


def _add_debug(parser: Parser) -> None:
    parser.add_argument("--debug", action="store_true", help="show where in the program an error arose")


def _explain(error: BaseException, terminal: Terminal) -> int:
    """Say in one line what happened, and give the exit code."""
    if terminal.debug:
        terminal.complain(traceback.format_exc().rstrip())
    notes = " ".join(getattr(error, "__notes__", ()))
    code, text = _verdict(error, terminal)
    terminal.complain(one_line(f"masktrack: {text} {notes}"))
    return code


def _verdict(error: BaseException, terminal: Terminal) -> tuple[int, str]:
    stop = error if isinstance(error, Interrupted) else terminal.interruption()
    if stop is not None:  # libraries turn an interruption in their midst into errors of their own
        return stop.code, f"{stop}."
    match error:
        case KeyboardInterrupt():
            return STOPPED, "Stopped by Ctrl-C."
        case InputError():
            return BAD_INPUT, str(error)
        case MaskTrackError():
            return FAILED, str(error)
        case OSError():
            reason = f"{error.strerror or error}: {error.filename or 'a file'}"
            return (
                FAILED,
                f"The system refused to read or write ({reason}); make room, or choose another place.",
            )
        case MemoryError():
            return FAILED, "There is not enough memory; close other programs, or choose smaller crops."
    hint = "report this" if terminal.debug else "run it again with --debug for the details, and report this"
    return FAILED, f"Something unforeseen happened ({type(error).__name__}: {error}); {hint}."


COMMANDS: dict[str, Command] = {
    "demo": Command(demo.SUMMARY, demo.add_arguments, demo.run),
    "propagate": Command(propagate.SUMMARY, session_job.add_arguments, session_job.run),
    "evaluate": Command(evaluate.SUMMARY, evaluate.add_arguments, evaluate.run),
    "train": Command(train.SUMMARY, train.add_arguments, train.run),
}
