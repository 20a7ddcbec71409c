"""`masktrack evaluate`: a public data set and results of any method in, scores out."""

import shutil
from argparse import ArgumentTypeError, Namespace
from collections.abc import Generator
from contextlib import closing, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_masktrack.cli.parser import (
    Parser,
    add_settings,
    add_tracking,
    finetune_settings,
    given_settings,
    given_tracking,
    option_name,
    propagation_settings,
)
from napari_masktrack.cli.terminal import Terminal, UnheardError
from napari_masktrack.config import (
    AblationConfig,
    Checked,
    DensityConfig,
    EvaluationConfig,
    InteractionConfig,
)
from napari_masktrack.errors import ConfigError, OutputError, WorkError
from napari_masktrack.io.refusal import shown

if TYPE_CHECKING:
    from napari_masktrack.evaluation.methods import Settings
    from napari_masktrack.evaluation.problems import Problem
    from napari_masktrack.evaluation.run import Evaluation, Judged
    from napari_masktrack.evaluation.summary import Summary

SUMMARY = "Judge masks on a public data set; compute those that are missing."

PROTOCOLS: dict[str, tuple[str, ...]] = {
    "davis": ("year", "set", "resolution", "limit"),
    "segtrack": ("limit",),
    "youtube-objects": ("limit",),
    "ctc": (),
    "folder": ("skip_last", "only_present", "sparse", "limit"),
}
"""The protocols of `evaluation.protocols`, and the settings of `EvaluationConfig` that each has."""

METHODS = {
    "masktrack": "the tracker, from the true masks of the first frame",
    "box": "the tracker, from boxes around them",
    "copy": "the first masks on every frame",
    "warp": "the first masks, moved along the optical flow",
    "box-oracle": "the true boxes of every frame",
    "grabcut-oracle": "GrabCut in the true boxes of every frame",
}
"""The methods of `evaluation.methods`."""

ANALYSES: dict[str, tuple[str, type[Checked]]] = {
    "density": ("annotate ever more frames (paper, figure 7)", DensityConfig),
    "interaction": ("annotate one more frame at a time", InteractionConfig),
    "ablation": ("leave ingredients out (paper, table 1)", AblationConfig),
}
"""What `--analysis` may name: a module of `evaluation` with the function `analyse`, and its settings."""

RESULTS_ONLY = ("score_only", "attributes", "report", "every")
"""Options that mean nothing to an analysis."""


def add_arguments(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("protocol", metavar="PROTOCOL", choices=tuple(PROTOCOLS), help=", ".join(PROTOCOLS))
    parser.add_argument(
        "--data", metavar="DIR", type=Path, required=True, help="the data set, in its own folders"
    )
    parser.add_argument(
        "--results", metavar="DIR", type=Path, required=True,
        help="masks of any method, SEQUENCE/00000.png; what is missing is computed where DIR is new, or was "
        "begun by this command",
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="DIR", type=Path, help="where scores are written (default: --results)"
    )
    _add_selection(parser)
    parser.add_argument(
        "--attributes", metavar="FILE.yml", type=Path, help="also means by attribute, as DAVIS lists them"
    )
    parser.add_argument("--score-only", action="store_true", help="compute nothing; results must be complete")
    parser.add_argument(
        "--jobs", metavar="N", type=_count, default=1, help="sequences side by side (default: 1)"
    )
    parser.add_argument(
        "--method", choices=tuple(METHODS), default="masktrack",
        help="what is computed: " + "; ".join(f"{name}: {text}" for name, text in METHODS.items()),
    )  # fmt: skip
    parser.add_argument(
        "--every", metavar="N", type=_count, default=0,
        help="annotate every n-th frame from the truth, not only the first; with box by boxes",
    )  # fmt: skip
    parser.add_argument(
        "--analysis", choices=tuple(ANALYSES),
        help="; ".join(f"{name}: {text}" for name, (text, _) in ANALYSES.items()) + "; written to DIR/NAME",
    )  # fmt: skip
    add_settings(parser.add_argument_group("data set"), EvaluationConfig)
    for name, (_, config) in ANALYSES.items():
        add_settings(parser.add_argument_group(f"analysis {name}"), config)
    add_tracking(parser)


def _add_selection(parser: Parser) -> None:
    parser.add_argument(
        "--sequences", metavar="NAME[,NAME]", type=_names, default=(), help="only these (default: all)"
    )
    parser.add_argument(
        "--exclude", metavar="NAME[,NAME]", type=_names, default=(), help="not these; they need no files"
    )


def run(options: Namespace, terminal: Terminal) -> None:
    """Do it.

    Raises
    ------
    InputError
        Something handed over cannot be used; nothing was computed or written, except where it shows only
        when a result that was there before is judged.
    WorkError
        The work failed on its way; sequences that are finished are kept.
    """
    config, settings = _data_settings(options), _settings(options)
    analysis = _analysis_settings(options)
    _refuse_markers(options)
    from napari_masktrack.evaluation.protocols import find_problems, leave_out_unjudged, say_left_out

    found = find_problems(options.protocol, options.data, config, options.sequences, excluded=options.exclude)
    if options.results.exists() and not options.results.is_dir():
        raise OutputError(f"{options.results} is a file, but a folder is needed; choose another name.")
    problems, left_out = leave_out_unjudged(options.protocol, found)
    if left_out:
        terminal.complain(say_left_out(left_out))
    if analysis is not None:
        _analyse(options, problems, left_out, config=analysis, terminal=terminal)
        return
    from napari_masktrack.evaluation.run import Evaluation

    evaluation = Evaluation(
        protocol=options.protocol, problems=problems, results=options.results, config=config,
        settings=None if options.score_only else settings, jobs=options.jobs, left_out=left_out,
    )  # fmt: skip
    _evaluate(evaluation, options, terminal)


def _evaluate(evaluation: "Evaluation", options: Namespace, terminal: Terminal) -> None:
    from napari_masktrack.evaluation.attributes import check_attributes
    from napari_masktrack.evaluation.plot import MISSING, can_plot
    from napari_masktrack.evaluation.report import check_place, write_report
    from napari_masktrack.evaluation.run import made_otherwise, prepare
    from napari_masktrack.evaluation.summary import summarise

    place = options.report or evaluation.results
    check_place(place)
    if options.attributes is not None:
        check_attributes(options.attributes, [each.title for each in evaluation.problems])
    missing = prepare(evaluation)
    if not missing and (otherwise := made_otherwise(evaluation)):
        terminal.complain(f"{otherwise}; it is judged as it is, and nothing is computed.")
    terminal.check()
    summary = summarise(evaluation, _judge(evaluation, missing, terminal), options.attributes)
    try:
        with terminal.finishing():
            written = write_report(summary, place)
    except WorkError:
        with suppress(UnheardError):
            _show(summary, terminal)
        raise
    told = f"Written: {', '.join(map(str, written))}."
    with terminal.telling(told):
        _show(summary, terminal)
        if not can_plot():
            terminal.complain(MISSING)
        terminal.say(told)


def _judge(evaluation: "Evaluation", missing: "tuple[Problem, ...]", terminal: Terminal) -> "list[Judged]":
    from napari_masktrack.evaluation.jobs import Progress
    from napari_masktrack.evaluation.run import evaluate

    judged: dict[int, Judged] = {}
    title = "Evaluating" if missing else "Judging"
    try:
        for step in _followed(evaluate(evaluation, missing), title, terminal):
            if not isinstance(step, Progress):
                judged[step.index] = step.result
    except BaseException as error:
        if missing:
            left = sum(not evaluation.folder(each).is_dir() for each in missing)
            done = len(evaluation.problems) - left
            error.add_note(f"{done} of {len(evaluation.problems)} result(s) are kept; run it again to go on.")
        raise
    return [judged[index] for index in sorted(judged)]


def _analyse(
    options: Namespace,
    problems: "tuple[Problem, ...]",
    left_out: tuple[str, ...],
    *,
    config: Checked,
    terminal: Terminal,
) -> None:
    from napari_masktrack.evaluation.methods import check_network
    from napari_masktrack.evaluation.tasks import AnalysisTask
    from napari_masktrack.io.targets import check_folder

    settings = _settings(options)
    folder = options.results / options.analysis
    check_folder(folder)
    check_network(settings)
    task = AnalysisTask(
        protocol=options.protocol, problems=problems, settings=settings, folder=folder,
        jobs=options.jobs, options=config, left_out=left_out,
    )  # fmt: skip
    analysis = import_module(f"napari_masktrack.evaluation.{options.analysis}").analyse(task)
    lines: list[str] = []

    def steps() -> Generator[Any, None, None]:
        lines.extend((yield from analysis) or ())

    folder.mkdir(parents=True, exist_ok=True)
    for _ in _followed(steps(), options.analysis.capitalize(), terminal):
        pass
    told = f"Written to {folder}."
    with terminal.telling(told):
        for line in [*lines, told]:
            terminal.say(line)


def _followed(steps: "Any", title: str, terminal: Terminal) -> Generator[Any, None, None]:
    """Yield the steps of a long work; show how far it is, and stop between two of them when asked to."""
    from napari_masktrack.evaluation.jobs import Progress

    with terminal.progress(title) as progress, closing(steps):
        while True:
            with terminal.finishing():
                step = next(steps, None)
            terminal.check()
            if step is None:
                return
            if isinstance(step, Progress):
                progress.update(min(step.share, 1.0), step.text)
            yield step


def _show(summary: "Summary", terminal: Terminal) -> None:
    from napari_masktrack.evaluation.report import attribute_rows, sequence_rows

    if stayed := summary.unsearched:
        terminal.complain(
            f"The CRF stayed as in the paper, as no painted mask could be carried over two frames: "
            f"{shown(', '.join(stayed))}."
        )
    for header, rows in [sequence_rows(summary)] + [attribute_rows(summary)] * bool(summary.attributes):
        terminal.say(_table(header, rows))


def _table(header: list[str], rows: list[list[str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.ASCII2, show_edge=False)
    for index, title in enumerate(header):
        drawn.add_column(title, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*row, end_section=row is rows[-1])
    text = StringIO()
    Console(file=text, width=max(shutil.get_terminal_size().columns, 120)).print(drawn)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().split("\n"))


def _data_settings(options: Namespace) -> EvaluationConfig:
    given = given_settings(options, EvaluationConfig)
    foreign = [name for name in given if name not in PROTOCOLS[options.protocol]]
    if foreign:
        raise ConfigError(f"{option_name(foreign[0])} does not belong to {options.protocol}; leave it out.")
    return EvaluationConfig(**given)


def _analysis_settings(options: Namespace) -> Checked | None:
    for name, (_, config) in ANALYSES.items():
        given = given_settings(options, config)
        if given and name != options.analysis:
            raise ConfigError(
                f"{option_name(next(iter(given)))} belongs to --analysis {name}; add that, or leave it out."
            )
    if options.analysis is None:
        return None
    for name in RESULTS_ONLY:
        if getattr(options, name):
            raise ConfigError(
                f"{option_name(name)} is about results, not about --analysis, whose files go to "
                f"--results/{options.analysis}; leave it out."
            )
    config = ANALYSES[options.analysis][1]
    return config(**given_settings(options, config))


def _refuse_markers(options: Namespace) -> None:
    """Refuse what needs true outlines on many frames where most frames have markers only."""
    if options.protocol != "ctc":
        return
    oracle = options.method if options.method.endswith("-oracle") else ""
    asked = {"--analysis": options.analysis, "--every": options.every, f"--method {oracle}": oracle}
    for name, value in asked.items():
        if value:
            raise ConfigError(
                f"{name} needs true outlines of all objects, not markers; choose another protocol."
            )


def _settings(options: Namespace) -> "Settings":
    finetune = finetune_settings(options)
    propagation = propagation_settings(options)
    from napari_masktrack.evaluation.methods import NETWORKS, Settings

    given = given_tracking(options)
    if given and options.method not in NETWORKS:
        raise ConfigError(
            f"{option_name(given[0])} belongs to --method {' or '.join(NETWORKS)}, not to {options.method}; "
            "leave it out."
        )
    return Settings(
        method=options.method, model=options.model, device=options.device, finetune=finetune,
        propagation=propagation, crf_search=options.crf_search, finetune_flow=options.finetune_flow,
        every=options.every,
    )  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} does not do; give a whole number from 1")
    return int(text)
