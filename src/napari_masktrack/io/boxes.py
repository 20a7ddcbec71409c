"""Boxes from a CSV file with the columns frame, label, y0, x0, y1, x1."""

import csv
from pathlib import Path

from napari_masktrack.core.annotation import Annotations, Box
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError
from napari_masktrack.io.refusal import refusing, shown

COLUMNS = ("frame", "label", "y0", "x0", "y1", "x1")

_SEPARATORS = ",;\t"


def read_box_file(path: Path, movie: Movie) -> Annotations:
    """Read boxes; see `read_boxes` in `readers`."""
    with refusing(path, AnnotationError):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        separator = max(_SEPARATORS, key="".join(lines[:1]).count)
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        rows = [(reader.line_num, cells) for cells in reader]
    if not any(line.strip() for line in lines):
        raise AnnotationError(f"{shown(path)} is empty; give the columns {', '.join(COLUMNS)}.")
    header = [name.strip().lower() for name in rows[0][1]]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise AnnotationError(
            f"{shown(path)} has no column {' or '.join(missing)} in its first line; give the columns "
            f"{', '.join(COLUMNS)}."
        )
    boxes: dict[tuple[int, int], Box] = {}
    for number, cells in rows[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{shown(path)}, line {number}"
        box = _read_line(dict(zip(header, cells, strict=False)), movie, where)
        if (box.frame, box.label) in boxes:
            raise AnnotationError(f"{where} is a second box of {box.where}; keep one of them.")
        boxes[box.frame, box.label] = box
    if not boxes:
        raise AnnotationError(f"{shown(path)} lists no box; give one line per box below the columns' names.")
    return Annotations(boxes.values())


def _read_line(cells: dict[str, str], movie: Movie, where: str) -> Box:
    try:
        frame, label = int(cells["frame"]), int(cells["label"])
        y0, x0, y1, x1 = (float(cells[name]) for name in COLUMNS[2:])
    except (KeyError, ValueError) as error:
        raise AnnotationError(
            f"{where} is incomplete or no number; give {', '.join(COLUMNS)}, the first two whole numbers."
        ) from error
    if not 0 <= frame < len(movie):
        raise AnnotationError(
            f"{where} is of frame {frame}, outside {movie.name!r}, which has {len(movie)} frame(s); "
            f"use 0 to {len(movie) - 1}."
        )
    try:
        box = Box(frame, label, (y0, x0, y1, x1))
        box.guidance(movie.shape)
    except AnnotationError as error:
        raise AnnotationError(f"{where}: {error}") from error
    return box
