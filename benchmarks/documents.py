"""Markdown tables, and their places in a page."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.markdown import NOTHING, decimals, percent, table

__all__ = ["DOCUMENT", "NOTHING", "ROOT", "decimals", "insert", "mean", "percent", "table", "write_whole"]

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"


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


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are known; None when there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
