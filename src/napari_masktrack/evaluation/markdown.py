"""Tables of numbers in Markdown."""

import math
from collections.abc import Sequence

NOTHING = "-"
"""Stands where there is no number."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the first column to the left, the others to the right."""
    ruler = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, ruler, *rows)]


def percent(value: float | None) -> str:
    """Write a share as per cent with one decimal."""
    return decimals(None if value is None else 100 * value)


def decimals(value: float | None, digits: int = 1) -> str:
    """Write a number with so many decimals."""
    return NOTHING if value is None or math.isnan(value) else f"{value:z.{digits}f}"
