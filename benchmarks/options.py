"""Options that several commands share, and where their tables go."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.documents import DOCUMENT, insert


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add threads and the document."""
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch and OpenCV (2)")
    parser.add_argument(
        "--document", type=Path, default=DOCUMENT, help="page whose table is rewritten (docs/benchmarks.md)"
    )
    parser.add_argument("--print-only", action="store_true", help="leave the page as it is")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the device."""
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps (cpu)")


def add_kept(parser: argparse.ArgumentParser, results: Path) -> None:
    """Add what goes with measurements that are kept, one by one, in a file."""
    parser.add_argument("--frames", type=int, help="at most so many frames of each: a trial, printed only")
    parser.add_argument("--out", type=Path, default=results, help="JSON file that keeps finished results")
    parser.add_argument("--again", action="store_true", help="measure anew what is kept already")
    add_device(parser)
    add_common(parser)


def names(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(text: str) -> tuple[int, ...]:
    """Split a comma-separated list of whole numbers."""
    return tuple(int(part) for part in names(text))


def publish(chosen: argparse.Namespace, table: str, lines: Sequence[str], *, trial: bool = False) -> None:
    """Print a table, given as its lines, and put it in its place in the page; a trial is printed only."""
    text = "\n".join(lines)
    print(f"\n[{table}]\n{text}")
    if chosen.print_only or trial:
        return
    if not insert(chosen.document, table, text):
        print(f"{chosen.document} has no place for the table {table!r}; it was printed only.")
