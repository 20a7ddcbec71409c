"""J, F and seconds on annotated sequences, first-frame mask given, by fine-tuning mode."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cache import RESULTS, Cache, Entry
from benchmarks.documents import NOTHING, decimals, mean, percent, table
from benchmarks.measure import COPY, Job, run_job
from benchmarks.options import add_kept, names, publish
from benchmarks.origin import Origin, footer, short_name, use_threads, weights_hash
from benchmarks.sequences import DAVIS, find_sequences
from napari_masktrack.config import FINETUNE
from napari_masktrack.evaluation.problems import Problem
from napari_masktrack.tracker import finetune_config

MODES = tuple(FINETUNE)
Results = dict[tuple[str, str], Entry]
"""By name of the sequence and mode."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder with 'davis', 'microscopy', ...")
    parser.add_argument("--modes", type=names, default=MODES, help=f"of {','.join(MODES)} (all)")
    parser.add_argument("--models", type=names, default=("default",), help="names or files (default)")
    parser.add_argument("--sequences", type=names, default=(), help="names (all)")
    add_kept(parser, RESULTS)


def run(chosen: argparse.Namespace) -> None:
    """Measure what is not yet in the cache; write the tables of everything that is."""
    wanted = find_sequences(chosen.data, chosen.sequences, frames=chosen.frames)
    settings = {mode: finetune_config(mode) for mode in chosen.modes}
    hashes = {model: weights_hash(model) for model in chosen.models}
    use_threads(chosen.threads)
    cache, origin = Cache(chosen.out), Origin.now(threads=chosen.threads, device=chosen.device)
    for sequence in wanted:
        run_job(Job(sequence=sequence, mode=COPY), cache, origin, again=chosen.again)
        for model, sha256 in hashes.items():
            for mode in settings:
                run_job(_job(sequence, mode, model, sha256, chosen.device), cache, origin, again=chosen.again)
    everything = find_sequences(chosen.data, frames=chosen.frames)
    for model, sha256 in hashes.items():
        results = collect(everything, model, sha256, cache=cache, device=chosen.device)
        line = footer((e["origin"] for e in results.values()), chosen.typed, {short_name(model): sha256})
        tables = {"video": sequence_table(results), "video-details": mode_table(results)}
        for name, lines in tables.items():
            place = name if model == "default" else f"{name}-{short_name(model)}"
            publish(chosen, place, [*lines, "", line], trial=chosen.frames is not None)


def collect(
    sequences: Sequence[Problem], model: str, sha256: str, *, cache: Cache, device: str = "cpu"
) -> Results:
    """Return what the cache holds for a model with today's settings, in the order of the sequences."""
    jobs = [
        Job(sequence=sequence, mode=COPY) if mode == COPY else _job(sequence, mode, model, sha256, device)
        for sequence in sequences
        for mode in (COPY, *MODES)
    ]
    found = {(job.sequence.name, job.mode): cache.get(job.key) for job in jobs}
    return {key: entry for key, entry in found.items() if entry is not None}


def sequence_table(results: Results) -> list[str]:
    """Return one row per sequence, and the mean over those of DAVIS."""
    header = ["sequence", "copy J", *(f"{m} {mode}" for m in "JF" for mode in MODES), "s/frame"]
    header += [f"{mode}: s (steps)" for mode in MODES if FINETUNE[mode]]
    in_order = list(dict.fromkeys(name for name, _ in results))
    davis = [name for name in in_order if name.startswith(f"{DAVIS}/")]
    rows = [_row(name.rpartition("/")[2], [name], results) for name in davis]
    if davis:
        cells = _row(f"DAVIS, mean of {len(davis)}", davis, results)
        rows.append([cell if cell == NOTHING else f"**{cell}**" for cell in cells])
    rows += [_row(name.rpartition("/")[2], [name], results) for name in in_order if name not in davis]
    return table(header, rows)


def _row(title: str, sequences: list[str], results: Results) -> list[str]:
    """Return the cells for one sequence, or for the mean of several; unknown unless all are known."""
    cells = [title, percent(_mean_of(results, sequences, COPY, "J"))]
    cells += [percent(_mean_of(results, sequences, mode, metric)) for metric in "JF" for mode in MODES]
    here = [results[key] for key in results if key[0] in sequences]
    cells.append(decimals(mean([entry["seconds_per_frame"] for entry in here]), 3))
    for mode in (mode for mode in MODES if FINETUNE[mode]):
        done = [entry["finetuning"] for entry in here if entry["mode"] == mode]
        steps = mean([each["steps"] for each in done])
        said = "" if steps is None else f" ({steps:.0f})"
        cells.append(decimals(mean([each["seconds"] for each in done])) + said)
    return cells


def mode_table(results: Results) -> list[str]:
    """Return mean, recall and decay of J and F over the sequences of DAVIS, one row per mode."""
    davis = [name for name in dict.fromkeys(name for name, _ in results) if name.startswith(f"{DAVIS}/")]
    parts = [(metric, part) for metric in "JF" for part in ("mean", "recall", "decay")]
    rows = [
        [mode, *(percent(_mean_of(results, davis, mode, metric, part)) for metric, part in parts)]
        for mode in (COPY, *MODES)
    ]
    header = [f"fine-tuning (DAVIS, {len(davis)})", *(f"{metric} {part}" for metric, part in parts)]
    return table(header, rows)


def _mean_of(
    results: Results, sequences: list[str], mode: str, metric: str, part: str = "mean"
) -> float | None:
    entries = [results.get((name, mode)) for name in sequences]
    known = [entry[metric][part] for entry in entries if entry is not None]
    return mean(known) if len(known) == len(entries) else None


def _job(sequence: Problem, mode: str, model: str, sha256: str, device: str) -> Job:
    return Job(
        sequence=sequence, mode=mode, finetune=finetune_config(mode), model=model, sha256=sha256,
        device=device,
    )  # fmt: skip
