"""The variants and baselines of the paper side by side, each made by `masktrack evaluate`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.documents import ROOT, decimals, percent, table, write_whole
from benchmarks.options import add_common, add_device, names, publish
from benchmarks.origin import Origin, footer, weights_hash
from napari_masktrack.cli import main as masktrack
from napari_masktrack.errors import WorkError

RESULTS = ROOT / "benchmarks" / "results" / "variants"
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "masktrack": ("MaskTrack", ()),
    "box": ("MaskTrack_Box", ("--method", "box")),
    "flow": ("MaskTrack + Flow, same weights", ("--flow",)),
    "flow-tuned": ("MaskTrack + Flow, fine-tuned on flow", ("--flow", "--finetune-flow")),
    "crf": ("MaskTrack + CRF", ("--crf",)),
    "flow-crf": ("MaskTrack + Flow + CRF", ("--flow", "--crf")),
    "flow-crf-tuned": (
        "the same, flow and CRF fitted to the first frame",
        ("--flow", "--finetune-flow", "--crf", "--crf-search"),
    ),
    "off": ("no fine-tuning", ("--finetune", "off")),
    "copy": ("copy of the first mask", ("--method", "copy")),
    "warp": ("the same, moved along the flow", ("--method", "warp")),
    "box-oracle": ("box oracle", ("--method", "box-oracle")),
    "grabcut-oracle": ("GrabCut oracle", ("--method", "grabcut-oracle")),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder of SEQ/images and SEQ/labels")
    parser.add_argument("--variants", type=names, default=tuple(VARIANTS), help="(all)")
    parser.add_argument("--finetune", default="quick", help="off, quick or full (quick)")
    parser.add_argument("--limit", type=int, default=0, help="frames of each sequence; 0 for all (0)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of masks and scores")
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Compute what is missing; write the table of every variant that is complete."""
    folder = chosen.out / weights_hash("default")[:8] / f"{chosen.finetune}-{chosen.limit}"
    for name in chosen.variants:
        _evaluate(chosen, name, folder / name)
    found = {name: _scores(folder / name) for name in VARIANTS}
    lines = variants_table({name: scores for name, scores in found.items() if scores})
    origins = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    line = footer(origins, chosen.typed, {"default": weights_hash("default")})
    publish(chosen, "variants", [*lines, "", line])


def variants_table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return a row per variant from the means that `masktrack evaluate` wrote."""
    rows = [
        [
            VARIANTS[name][0],
            *(percent(mean[f"{metric} {part}"]) for metric in "JF" for part in ("mean", "recall", "decay")),
            decimals(mean.get("s/frame"), 2),
        ]
        for name, mean in found.items()
    ]
    header = ["", *(f"{metric} {part}" for metric in "JF" for part in ("mean", "recall", "decay")), "s/frame"]
    return table(header, rows)


def _evaluate(chosen: argparse.Namespace, name: str, folder: Path) -> None:
    options: Sequence[str] = VARIANTS[name][1]
    tracks = "--method" not in options or "box" in options
    if tracks:
        options = [*options, "--device", chosen.device]
        options += [] if "--finetune" in options else ["--finetune", chosen.finetune]
    code = masktrack(
        ["evaluate", "folder", "--data", str(chosen.data), "--results", str(folder), "--skip-last",
         "--limit", str(chosen.limit), *options]
    )  # fmt: skip
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise WorkError(f"The variant {name} ended with exit code {code}; see above.")
    origin = folder.with_name(f"{name}.json")
    if not origin.exists():
        now = Origin.now(threads=chosen.threads, device=chosen.device)
        write_whole(origin, json.dumps(now.as_dict()))


def _scores(folder: Path) -> dict[str, Any] | None:
    path = folder / "scores.json"
    return dict(json.loads(path.read_text())["mean"]) if path.is_file() else None
