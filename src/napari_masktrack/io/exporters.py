"""Results to files: label images in several formats, and the table of metrics.

The path chooses the format: a folder receives PNG masks, ``.tif`` a stack, ``.zarr`` an array,
``.json`` COCO annotations. A new format is a ``LabelWriter`` and one line in ``EXPORTERS``.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from napari_masktrack.errors import OutputError
from napari_masktrack.io.coco import CocoWriter
from napari_masktrack.io.ctc import CtcWriter
from napari_masktrack.io.targets import replacing, saving
from napari_masktrack.io.writers import LARGEST, Labels, LabelWriter, Layout, PngWriter, TifWriter, ZarrWriter

FOREIGN = {".avi", ".csv", ".gif", ".h5", ".jpeg", ".jpg", ".mov", ".mp4", ".npy", ".npz", ".png", ".txt"}


@dataclass(frozen=True)
class Exporter:
    """One export format; calling it writes all frames of an iterator."""

    title: str
    """What the user reads in a list of formats."""
    suffixes: tuple[str, ...]
    """The endings of its file names; none for a format that fills a folder."""
    writer: type[LabelWriter]

    def __call__(
        self,
        path: str | PathLike[str],
        masks: Iterable[tuple[int, Labels]],
        *,
        frames: int,
        shape: tuple[int, int],
        labels_max: int = LARGEST,
        first: int = 0,
    ) -> tuple[int, ...]:
        """Write label images as they come.

        Parameters
        ----------
        path : path-like
            The file or folder to be written.
        masks : iterable of (int, ndarray)
            Frame indices, in any order, with label images (Y, X).
        frames, shape, labels_max, first
            As for `open_writer`.

        Returns
        -------
        tuple of int
            The frames that did not come.

        Raises
        ------
        OutputError
            The target is taken or cannot be written, or a frame does not fit.
        WorkError
            The disk refused while writing.
        """
        layout = Layout(frames=frames, shape=shape, labels_max=labels_max, first=first)
        with self.writer(path, layout) as writer:
            for frame, labels in masks:
                writer.write(frame, labels)
        return writer.missing


def open_writer(
    path: str | PathLike[str],
    *,
    frames: int,
    shape: tuple[int, int],
    labels_max: int,
    first: int = 0,
    kind: str | None = None,
    images: Sequence[str] = (),
) -> LabelWriter:
    """Open a writer for the label images of a movie; all checks are done here, before the work.

    Parameters
    ----------
    path : path-like
        A new or empty folder, or a new file or folder ending in ``.tif``, ``.tiff``, ``.zarr`` or ``.json``.
    frames : int
        Number of frames that will come.
    shape : (int, int)
        Rows and columns of each.
    labels_max : int
        The largest id; up to 255 means 8-bit files, up to 65535 16-bit files.
    first : int, optional
        Index of the first frame in its movie. Single files are named by the index in the movie, stacks
        begin with this frame.
    kind : str, optional
        A key of ``EXPORTERS``, where the path alone does not say it (``"ctc"``).
    images : sequence of str, optional
        Names of the files of all frames of the movie, as ``coco.image_names`` gives them; for COCO.

    Returns
    -------
    LabelWriter
        A context manager with ``write(frame, labels)``, ``close()`` and ``missing``. Nothing is created
        on disk until the first frame is written.

    Raises
    ------
    OutputError
        The format is unknown, or the target is taken or cannot be written.
    """
    layout = Layout(frames=frames, shape=shape, labels_max=labels_max, first=first)
    kind = kind or _kind(Path(path))
    if kind not in EXPORTERS:
        raise OutputError(f"There is no export format {kind!r}; choose one of {', '.join(EXPORTERS)}.")
    writer = EXPORTERS[kind].writer(path, layout)
    if isinstance(writer, CocoWriter):
        writer.images = images
    return writer


def save_metrics_csv(path: str | PathLike[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table of metrics; an existing file is replaced.

    Parameters
    ----------
    path : path-like
        The CSV file.
    rows : iterable of mapping
        Column name to value. The header holds every column in order of appearance; real numbers get six
        significant digits, NaN and missing values an empty cell.

    Raises
    ------
    OutputError
        There is no row.
    WorkError
        The disk refused.
    """
    table = [dict(row) for row in rows]
    columns = list(dict.fromkeys(name for row in table for name in row))
    if not columns:
        raise OutputError(f"There are no metrics to write to {path}; compute some first.")
    place = Path(path)
    with saving(place), replacing(place) as part, part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in table)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in FOREIGN:
        raise OutputError(
            f"{path.name}: labels are not saved as {suffix}; give a folder, .tif, .zarr or .json."
        )
    return next((kind for kind, each in EXPORTERS.items() if suffix in each.suffixes), "png")


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        return "" if math.isnan(value) else f"{float(value):.6g}"
    return value


EXPORTERS: dict[str, Exporter] = {
    "png": Exporter("PNG masks, one per frame (folder)", (), PngWriter),
    "tif": Exporter("TIFF stack", (".tif", ".tiff"), TifWriter),
    "zarr": Exporter("Zarr array", (".zarr",), ZarrWriter),
    "ctc": Exporter("Cell Tracking Challenge (folder)", (), CtcWriter),
    "coco": Exporter("COCO annotations", (".json",), CocoWriter),
}
