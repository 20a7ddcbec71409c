"""The variants and baselines of the paper side by side, each made by `masktrack evaluate`."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cache import Cache, Entry
from benchmarks.documents import NOTHING, ROOT, decimals, percent, table, write_whole
from benchmarks.measure import settings_hash
from benchmarks.options import add_common, add_device, names, publish
from benchmarks.origin import Origin, footer, use_threads, weights_hash
from napari_masktrack.cli import main as masktrack
from napari_masktrack.config import FINETUNE, PropagationConfig
from napari_masktrack.errors import InputError, WorkError
from napari_masktrack.tracker import finetune_config

FOLDER = ROOT / "benchmarks" / "results" / "variants"
RESULTS = FOLDER.with_suffix(".json")
QUICK = "quick"
OTHERWISE = ", other settings"
EDGES = "--edges"
"""The program's default, which is not the paper's: its rows go without."""
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "edges": ("the default: outlines on edges", (EDGES,)),
    "box-edges": ("the default, from a box", (EDGES, "--method", "box")),
    "off-edges": ("the default, no fine-tuning", (EDGES, "--finetune", "off")),
    "every-10-edges": ("the default, every 10th frame annotated", (EDGES, "--every", "10")),
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
    "every-10": ("every 10th frame annotated", ("--every", "10")),
    "box-every-10": ("every 10th frame annotated, by boxes", ("--method", "box", "--every", "10")),
    "copy": ("copy of the first mask", ("--method", "copy")),
    "copy-every-10": ("copy of the nearest of every 10th mask", ("--method", "copy", "--every", "10")),
    "warp": ("the first mask, moved along the flow", ("--method", "warp")),
    "box-oracle": ("box oracle", ("--method", "box-oracle")),
    "grabcut-oracle": ("GrabCut oracle", ("--method", "grabcut-oracle")),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table as it would be measured today.

    Attributes
    ----------
    name : str
        A key of `VARIANTS`.
    data : str
        Name of the data folder.
    finetune : str
    limit : int
        Frames of each sequence; 0 for all.
    device : str
    sha256 : str
        Of the weights.
    """

    name: str
    data: str
    finetune: str
    limit: int
    device: str
    sha256: str

    @property
    def options(self) -> tuple[str, ...]:
        """What `masktrack evaluate` is given."""
        own = VARIANTS[self.name][1]
        if not self.tracks:
            return own
        tuned = () if "--finetune" in own else ("--finetune", self.finetune)
        edges = () if self.edges else ("--no-edges",)
        return (*own, *edges, "--device", self.device, *tuned)

    @property
    def edges(self) -> bool:
        """Whether outlines are put on edges."""
        return EDGES in VARIANTS[self.name][1]

    @property
    def tracks(self) -> bool:
        """Whether a network takes part."""
        own = VARIANTS[self.name][1]
        return "--method" not in own or "box" in own

    @property
    def made_with(self) -> dict[str, str]:
        """Weights and settings; neither for a baseline, which needs no network."""
        if not self.tracks:
            return {"sha256": "", "settings": ""}
        finetune = finetune_config(self.options[self.options.index("--finetune") + 1])
        propagation = PropagationConfig(edges=self.edges)
        return {"sha256": self.sha256, "settings": settings_hash(finetune, propagation)}

    @property
    def kind(self) -> str:
        """Name the row whatever it was made with."""
        device = self.device if self.tracks else NOTHING
        return "|".join((self.data, self.name, self.finetune, f"{self.limit or 'all'} frames", device))

    @property
    def key(self) -> str:
        """Name the result: two rows with the same key would measure the same."""
        made = self.made_with
        return "|".join((self.kind, made["sha256"][:16] or NOTHING, made["settings"] or NOTHING))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder of SEQ/images and SEQ/labels")
    parser.add_argument(
        "--variants", type=names, default=tuple(VARIANTS), help=f"of {','.join(VARIANTS)} (all)"
    )
    parser.add_argument("--finetune", default=QUICK, choices=tuple(FINETUNE), help="fine-tuning (quick)")
    parser.add_argument("--limit", type=int, default=0, help="frames of each: a trial, printed only")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of masks and scores")
    parser.add_argument("--kept", type=Path, default=RESULTS, help="JSON file that keeps finished rows")
    parser.add_argument("--again", action="store_true", help="judge and note anew what is kept already")
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Measure the rows that are not kept yet; write the table of all that are."""
    unknown = [name for name in chosen.variants if name not in VARIANTS]
    if unknown:
        raise InputError(f"There is no variant {unknown[0]!r}; choose among {', '.join(VARIANTS)}.")
    use_threads(chosen.threads)
    sha256, cache = weights_hash("default"), Cache(chosen.kept)
    rows = {
        name: Row(
            name=name, data=chosen.data.resolve().name, finetune=chosen.finetune, limit=chosen.limit,
            device=chosen.device, sha256=sha256,
        )
        for name in VARIANTS
    }  # fmt: skip
    for row in (rows[name] for name in chosen.variants):
        if chosen.again or cache.get(row.key) is None:
            cache.put(row.key, _measure(chosen, row))
    found = {name: entry for name, row in rows.items() if (entry := newest(cache, row)) is not None}
    weights = {entry["sha256"] for entry in found.values() if entry["sha256"]}
    known = {"default": next(iter(weights))} if len(weights) == 1 else None
    line = footer((entry["origin"] for entry in found.values()), chosen.typed, known)
    place = "variants" if chosen.finetune == QUICK else f"variants-{chosen.finetune}"
    publish(chosen, place, [*variants_table(found, rows), "", line], trial=bool(chosen.limit))


def newest(cache: Cache, row: Row) -> Entry | None:
    """Return the result of a row as it would be measured today, else the last that was measured otherwise."""
    now = cache.get(row.key)
    if now is not None:
        return now
    others = [entry for key, entry in cache.entries.items() if key.startswith(f"{row.kind}|")]
    return max(others, key=lambda entry: str(entry["origin"]["date"]), default=None)


def variants_table(found: Mapping[str, Entry], rows: Mapping[str, Row]) -> list[str]:
    """Return a line per variant; where not all were made with the same, each says with which weights."""
    parts = [f"{metric} {part}" for metric in "JF" for part in ("mean", "recall", "decay")]
    lines = [
        [
            VARIANTS[name][0], *(percent(entry["mean"][part]) for part in parts),
            decimals(entry["mean"].get("s/frame"), 2),
        ]
        for name, entry in found.items()
    ]  # fmt: skip
    made = [_made(entry, rows[name]) for name, entry in found.items()]
    differ = len(set(made) - {NOTHING}) > 1 or any(OTHERWISE in each for each in made)
    header = ["", *parts, "s/frame", *(["weights"] if differ else [])]
    if differ:
        lines = [[*line, said] for line, said in zip(lines, made, strict=True)]
    return table(header, lines)


def _made(entry: Entry, row: Row) -> str:
    if not entry["sha256"]:
        return NOTHING
    other = entry["settings"] != row.made_with["settings"] and entry["sha256"] == row.sha256
    return f"{entry['sha256'][:8]}{OTHERWISE if other else ''}"


def _measure(chosen: argparse.Namespace, row: Row) -> Entry:
    """Compute what is missing of a row, judge it, and return its means; sequences are kept one by one."""
    made = row.made_with
    place = "-".join(part[:8] for part in made.values() if part) or "baselines"
    folder = chosen.out / place / f"{row.data}-{row.finetune}-{row.limit}" / row.name
    code = masktrack(
        ["evaluate", "folder", "--data", str(chosen.data), "--results", str(folder), "--skip-last",
         "--limit", str(row.limit), *row.options]
    )  # fmt: skip
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise WorkError(f"The variant {row.name} ended with exit code {code}; see above.")
    return {
        **made,
        "mean": json.loads((folder / "scores.json").read_text())["mean"],
        "origin": _origin(chosen, folder),
    }


def _origin(chosen: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Return when and where a row was computed: noted when it first was complete."""
    path = folder.with_name(f"{folder.name}.json")
    if not path.exists():
        write_whole(path, json.dumps(Origin.now(threads=chosen.threads, device=chosen.device).as_dict()))
    return dict(json.loads(path.read_text()))
