"""J where the middle or the last frame is annotated instead of the first: other problems, the same movies."""

import argparse
from pathlib import Path

from benchmarks.cache import Cache, Entry
from benchmarks.documents import ROOT, mean, percent, table
from benchmarks.measure import Job, run_job
from benchmarks.options import add_kept, names, publish
from benchmarks.origin import Origin, footer, short_name, use_threads, weights_hash
from benchmarks.sequences import DAVIS, find_sequences
from napari_masktrack.config import FINETUNE, PropagationConfig
from napari_masktrack.tracker import finetune_config

STARTS = {"first": 0.0, "middle": 0.5, "last": 1.0}
RESULTS = ROOT / "benchmarks" / "results" / "starts.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="as for `video`")
    parser.add_argument("--sequences", type=names, default=(), help="names (those with one object)")
    parser.add_argument("--mode", default="off", choices=tuple(FINETUNE), help="fine-tuning (off)")
    parser.add_argument("--model", default="default", help="name or file (default)")
    parser.add_argument("--starts", type=names, default=tuple(STARTS), help=f"of {','.join(STARTS)} (all)")
    parser.add_argument(
        "--edges", action=argparse.BooleanOptionalAction, default=True, help="outlines on edges (yes)"
    )
    add_kept(parser, RESULTS)


def run(chosen: argparse.Namespace) -> None:
    """Measure and write the table ``starts``."""
    sha256 = weights_hash(chosen.model)
    use_threads(chosen.threads)
    cache, origin = Cache(chosen.out), Origin.now(threads=chosen.threads, device=chosen.device)
    found = find_sequences(chosen.data, chosen.sequences, frames=chosen.frames)
    sequences = [each for each in found if chosen.sequences or not each.only_present]
    measured: dict[str, list[Entry]] = {}
    for start in chosen.starts:
        jobs = [
            Job(
                sequence=sequence, mode=f"{chosen.mode}, {start}", finetune=finetune_config(chosen.mode),
                propagation=PropagationConfig(edges=chosen.edges), model=chosen.model, sha256=sha256,
                device=chosen.device, start=STARTS[start],
            )
            for sequence in sequences
        ]  # fmt: skip
        measured[start] = [run_job(job, cache, origin, again=chosen.again) for job in jobs]
    everything = [entry for entries in measured.values() for entry in entries]
    line = footer((e["origin"] for e in everything), chosen.typed, {short_name(chosen.model): sha256})
    trial = chosen.frames is not None or bool(chosen.sequences)
    publish(chosen, "starts", [*_table(measured), "", line], trial=trial)


def _table(measured: dict[str, list[Entry]]) -> list[str]:
    """Return one row per sequence, then the mean over those of DAVIS; one column per start."""
    columns = list(measured.values())
    rows = [_row(entries) for entries in zip(*columns, strict=True)]
    davis = [[e for e in column if e["sequence"].startswith(f"{DAVIS}/")] for column in columns]
    if davis[0]:
        values = [percent(mean([entry["J"]["mean"] for entry in column])) for column in davis]
        rows.append([f"**DAVIS, mean of {len(davis[0])}**", *(f"**{value}**" for value in values)])
    return table(["annotated frame", *measured], rows)


def _row(entries: tuple[Entry, ...]) -> list[str]:
    title = entries[0]["sequence"].rpartition("/")[2]
    return [title, *(percent(entry["J"]["mean"]) for entry in entries)]
