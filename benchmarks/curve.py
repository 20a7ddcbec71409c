"""J against the size of the crop, and against the steps of fine-tuning."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.cache import Cache, Entry
from benchmarks.documents import ROOT, decimals, mean, percent, table
from benchmarks.measure import Job, run_job
from benchmarks.options import add_common, add_device, names, numbers, publish
from benchmarks.origin import Origin, footer, short_name, use_threads, weights_hash
from benchmarks.sequences import find_sequences
from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.errors import ConfigError
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
    parser.add_argument("--frames", type=int, help="at most so many frames of each: a trial, printed only")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file that keeps finished results")
    parser.add_argument("--again", action="store_true", help="measure anew what is kept already")
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Measure and write the tables ``curve-crop`` and ``curve-steps``."""
    sha256 = weights_hash(chosen.model)
    use_threads(chosen.threads)
    base = PropagationConfig()
    crops: Variants = {str(size): (quick(), replace(base, crop_size=size)) for size in chosen.sizes}
    steps: Variants = {str(count): (quick(count) if count else None, base) for count in chosen.steps}
    for name, heading, variants in (("crop", "crop size (px)", crops), ("steps", "steps", steps)):
        lines, entries = _curve(chosen, sha256, variants, heading=heading)
        line = footer((e["origin"] for e in entries), chosen.typed, {short_name(chosen.model): sha256})
        publish(chosen, f"curve-{name}", [*lines, "", line], trial=chosen.frames is not None)


def quick(steps: int | None = None) -> FinetuneConfig:
    """Return the quick mode without its limit of time, so that a slow machine gives the same curve."""
    config = finetune_config("quick")
    if config is None:
        raise ConfigError("The mode 'quick' does not fine-tune; see FINETUNE in config.py.")
    return replace(config, seconds=None, steps=steps or config.steps)


def _curve(
    chosen: argparse.Namespace,
    sha256: str,
    variants: Variants,
    *,
    heading: str,
) -> tuple[list[str], list[Entry]]:
    cache, origin = Cache(chosen.out), Origin.now(threads=chosen.threads, device=chosen.device)
    sequences = find_sequences(chosen.data, chosen.sequences, frames=chosen.frames)
    rows, everything = [], []
    for value, (tuning, propagation) in variants.items():
        jobs = [
            Job(
                sequence=sequence, mode=f"{heading} {value}", finetune=tuning, propagation=propagation,
                model=chosen.model, sha256=sha256, device=chosen.device,
            )
            for sequence in sequences
        ]  # fmt: skip
        entries = [run_job(job, cache, origin, again=chosen.again) for job in jobs]
        rows.append([value, *_cells(entries)])
        everything += entries
    titles = [sequence.title for sequence in sequences]
    header = [heading, *(f"J {title}" for title in titles), "mean J", "mean F", "s/frame", "fine-tuning s"]
    return table(header, rows), everything


def _cells(entries: Sequence[Entry]) -> list[str]:
    tuned = [entry["finetuning"]["seconds"] for entry in entries if entry["finetuning"]]
    return [
        *(percent(entry["J"]["mean"]) for entry in entries),
        percent(mean([entry["J"]["mean"] for entry in entries])),
        percent(mean([entry["F"]["mean"] for entry in entries])),
        decimals(mean([entry["seconds_per_frame"] for entry in entries]), 3),
        decimals(mean(tuned)),
    ]
