"""Markdown tables, and their places in a page."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from napari_masktrack.errors import InputError

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
NOTHING = "-"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table: the first column to the left, the others to the right."""
    ruler = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows)]


def insert(document: Path, name: str, text: str) -> bool:
    """Replace what stands between ``<!-- table:NAME -->`` and the next ``<!-- end -->``.

    Returns
    -------
    bool
        False if the page has no such place; it is then left as it is.

    Raises
    ------
    InputError
        There is no such page.
    """
    if not document.is_file():
        raise InputError(f"There is no page {document}; give one with --document, or --print-only.")
    page = document.read_text(encoding="utf-8")
    place = re.compile(
        rf"(<!-- table:{re.escape(name)} -->\n)(?:(?!<!-- table:).)*?(<!-- end -->)", re.DOTALL
    )
    changed, count = place.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page, count=1)
    if count:
        write_whole(document, changed)
    return bool(count)


def write_whole(path: Path, text: str) -> None:
    """Write a text file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def percent(value: float | None) -> str:
    """Write a share as per cent with one decimal."""
    return NOTHING if value is None else f"{100 * value:.1f}"


def decimals(value: float | None, digits: int = 1) -> str:
    """Write a number with so many decimals."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are known; None when there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
