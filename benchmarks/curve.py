"""J against the size of the crop, and against the steps of fine-tuning."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.cache import Cache, Entry
from benchmarks.documents import ROOT, decimals, mean, percent, table
from benchmarks.measure import Job, run_job
from benchmarks.options import add_kept, names, numbers, publish
from benchmarks.origin import Origin, footer, short_name, use_threads, weights_hash
from benchmarks.sequences import find_sequences
from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation.plot import COLOURS, can_plot, new_figure, save_figure
from napari_masktrack.tracker import finetune_config

SEQUENCES = ("bus", "dance-jump", "flamingo", "motocross-bumps", "soccerball")
RESULTS = ROOT / "benchmarks" / "results" / "curve.json"
Variants = dict[str, tuple[FinetuneConfig | None, PropagationConfig]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="as for `video`")
    parser.add_argument("--sequences", type=names, default=SEQUENCES, help=f"({','.join(SEQUENCES)})")
    parser.add_argument("--model", default="default", help="name or file (default)")
    parser.add_argument("--sizes", type=numbers, default=(192, 256, 320, 384), help="sides of the crop")
    parser.add_argument("--steps", type=numbers, default=(0, 10, 20, 40, 80), help="of fine-tuning")
    add_kept(parser, RESULTS)


def run(chosen: argparse.Namespace) -> None:
    """Measure, write the tables ``curve-crop`` and ``curve-steps``, and draw them beside the page."""
    sha256 = weights_hash(chosen.model)
    use_threads(chosen.threads)
    base = PropagationConfig()
    crops: Variants = {str(size): (quick(), replace(base, crop_size=size)) for size in chosen.sizes}
    steps: Variants = {str(count): (quick(count) if count else None, base) for count in chosen.steps}
    for name, heading, variants, cost, unit in (
        ("crop", "crop size (px)", crops, _per_frame, "seconds per frame"),
        ("steps", "steps", steps, _tuning, "seconds of fine-tuning"),
    ):
        measured = _measure(chosen, sha256, variants, heading=heading)
        everything = [entry for entries in measured.values() for entry in entries]
        line = footer((e["origin"] for e in everything), chosen.typed, {short_name(chosen.model): sha256})
        trial = chosen.frames is not None
        publish(chosen, f"curve-{name}", [*_table(heading, measured), "", line], trial=trial)
        if can_plot() and not (chosen.print_only or trial):
            points = {value: (cost(entries), _similarity(entries)) for value, entries in measured.items()}
            _draw(chosen.document.parent / "images" / f"curve-{name}.png", points, (unit, heading))


def quick(steps: int | None = None) -> FinetuneConfig:
    """Return the quick mode without its limit of time, so that a slow machine gives the same curve."""
    config = finetune_config("quick")
    if config is None:
        raise ConfigError("The mode 'quick' does not fine-tune; see FINETUNE in config.py.")
    return replace(config, seconds=None, steps=steps or config.steps)


def _measure(
    chosen: argparse.Namespace, sha256: str, variants: Variants, *, heading: str
) -> dict[str, list[Entry]]:
    cache, origin = Cache(chosen.out), Origin.now(threads=chosen.threads, device=chosen.device)
    sequences = find_sequences(chosen.data, chosen.sequences, frames=chosen.frames)
    measured = {}
    for value, (tuning, propagation) in variants.items():
        jobs = [
            Job(
                sequence=sequence, mode=f"{heading} {value}", finetune=tuning, propagation=propagation,
                model=chosen.model, sha256=sha256, device=chosen.device,
            )
            for sequence in sequences
        ]  # fmt: skip
        measured[value] = [
            {"sequence": job.sequence.title, **run_job(job, cache, origin, again=chosen.again)}
            for job in jobs
        ]
    return measured


def _table(heading: str, measured: Mapping[str, Sequence[Entry]]) -> list[str]:
    titles = [entry["sequence"] for entry in next(iter(measured.values()))]
    header = [heading, *(f"J {title}" for title in titles), "mean J", "mean F", "s/frame", "fine-tuning s"]
    rows = [[value, *_cells(entries)] for value, entries in measured.items()]
    return table(header, rows)


def _cells(entries: Sequence[Entry]) -> list[str]:
    return [
        *(percent(entry["J"]["mean"]) for entry in entries),
        percent(_similarity(entries)),
        percent(mean([entry["F"]["mean"] for entry in entries])),
        decimals(_per_frame(entries), 3),
        decimals(_tuning(entries)),
    ]


def _similarity(entries: Sequence[Entry]) -> float | None:
    return mean([entry["J"]["mean"] for entry in entries])


def _per_frame(entries: Sequence[Entry]) -> float | None:
    return mean([entry["seconds_per_frame"] for entry in entries])


def _tuning(entries: Sequence[Entry]) -> float | None:
    """Return the mean seconds of fine-tuning, 0 without."""
    return mean([entry["finetuning"]["seconds"] if entry["finetuning"] else 0.0 for entry in entries])


def _draw(
    path: Path, points: Mapping[str, tuple[float | None, float | None]], titles: tuple[str, str]
) -> None:
    """Draw mean J against what it costs, and write the setting beside each point."""
    figure, axes = new_figure(5.5, 3.6)
    known = {value: (x, 100 * y) for value, (x, y) in points.items() if x is not None and y is not None}
    axes.plot(*zip(*known.values(), strict=True), color=COLOURS[0], marker="o")
    for value, place in known.items():
        axes.annotate(value, place, xytext=(5, -11), textcoords="offset points")
    axes.set_xlabel(f"{titles[0]} (beside the points: {titles[1]})")
    axes.set_ylabel("mean J (%)")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)
