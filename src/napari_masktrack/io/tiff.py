"""TIFF stacks: mapped where the pixels lie in a row, page by page where they are compressed."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_masktrack.core.movie import LazyArray
from napari_masktrack.errors import MovieError
from napari_masktrack.io.frames import Pages
from napari_masktrack.io.refusal import refusing, shown

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage

TIFF_ENDINGS = frozenset({".tif", ".tiff", ".tf8", ".btf", ".lsm"})

_SIGNS_OF_DAMAGE = re.compile("corrupted file|TiffTag 270 .*invalid value offset")


def open_tiff(path: Path, *, squeeze: bool = True) -> tuple[LazyArray, str | None]:
    """Open a TIFF stack without reading its pixels.

    Parameters
    ----------
    path : Path
        A TIFF, BigTIFF, OME-TIFF, ImageJ or LSM file.
    squeeze : bool, default: True
        Leave out dimensions of size one.

    Returns
    -------
    array : array-like
        The first series, full resolution.
    axes : str or None
        One lower-case letter per dimension as the metadata say; ``q`` and ``i`` are unknown, ``s``
        may be channels or frames.

    Raises
    ------
    MovieError
        The file is no TIFF, is damaged or truncated, or holds several movies.
    """
    from tifffile import TiffFile

    with refusing(path, MovieError), overheard() as complaints, TiffFile(path) as tif:
        series = tif.series[0]
        _check_alone(tif, path)
        _check_complete(tif, path, complaints)
        axes = _letters(series.get_axes(squeeze))
        shape = tuple(int(size) for size in series.get_shape(squeeze))
        if len(tif.series) > 1 and tif.series[1].shape == series.shape:
            # Frames that were appended one by one count as a series each.
            shape, axes = (len(tif.series), *shape), f"q{axes}"
        elif series.dataoffset is not None and series.transform is None:
            kind = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            return MappedStack(path, shape, kind, series.dataoffset), axes
        return _paged(tif, shape), axes


def read_tiff(path: Path) -> tuple[NDArray[Any], str]:
    """Read a whole TIFF file of one image.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    image : array, (Y, X) or (Y, X, C)
        As stored, ids of a palette included. More dimensions if the file has more.
    axes : str
        One lower-case letter per dimension.
    """
    from tifffile import TiffFile

    with overheard() as complaints, TiffFile(path) as tif:
        _check_alone(tif, path)
        _check_complete(tif, path, complaints)
        if len(tif.series) > 1 and tif.series[1].shape == tif.series[0].shape:
            raise MovieError(f"{shown(path)} holds {len(tif.series)} images; give files of one image each.")
        return tif.series[0].asarray(), _letters(tif.series[0].axes)


class MappedStack:
    """Uncompressed pixels, mapped into memory for each read and let go after it.

    A mapping that stays open counts every page that was ever touched as memory in use.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        self._path, self._offset = path, offset
        self.shape, self.dtype = shape, dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Copy a part out of the file."""
        mapped = np.memmap(self._path, self.dtype, "r", self._offset, self.shape)
        return np.array(mapped[key])


class PagedStack(Pages):
    """Pages that are decoded one at a time; the file is open only while one is read."""

    def __init__(self, pages: "list[TiffPage | TiffFrame]", shape: tuple[int, ...]) -> None:
        page = pages[0].shape
        super().__init__(shape[: len(shape) - len(page)], page, pages[0].dtype)
        self._pages, self._lock = pages, threading.Lock()

    def read(self, number: int) -> NDArray[Any]:
        """Decode one page."""
        page = self._pages[number]
        with self._lock:
            page.parent.filehandle.open()
            try:
                return page.asarray()
            finally:
                page.parent.filehandle.close()


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Collect what tifffile logs in this thread, so that nothing but our own error reaches the terminal."""
    said: list[str] = []
    thread = threading.get_ident()

    def listen(record: logging.LogRecord) -> bool:
        if threading.get_ident() != thread:
            return True
        said.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(listen)
    try:
        yield said
    finally:
        logger.removeFilter(listen)


def _letters(axes: str) -> str:
    """Call samples channels, except alone in front: so are three or four frames often written."""
    return axes.lower() if axes == "SYX" else axes.lower().replace("s", "c")


def _check_alone(tif: "TiffFile", path: Path) -> None:
    """Refuse several movies in one file; thumbnails, which are smaller, may follow."""
    first, *others = tif.series
    alike = {(series.shape, series.dtype) for series in tif.series}
    if len(alike) > 1 and any(other.size >= first.size for other in others):
        raise MovieError(
            f"{shown(path)} holds {len(tif.series)} movies, the first two of shape {first.shape} and "
            f"{others[0].shape}; save the one to work on as a file of its own."
        )


def _check_complete(tif: "TiffFile", path: Path, complaints: list[str]) -> None:
    """Compare where pages and pixels should be with the size of the file, without reading pixels."""
    handle = tif.filehandle
    handle.seek(tif.pages.next_page_offset or 0)
    ended = not any(handle.read(tif.tiff.offsetsize).ljust(tif.tiff.offsetsize, b"?"))
    pages = [page for series in tif.series for page in series.pages]
    inside = None not in pages and all(
        start + count <= page.parent.filehandle.size
        for page in pages
        if page is not None
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )
    first = tif.series[0]
    mapped = first.dataoffset is None or first.dataoffset + first.nbytes <= handle.size
    if not (ended and inside and mapped) or any(map(_SIGNS_OF_DAMAGE.search, complaints)):
        raise MovieError(
            f"{shown(path)} is truncated or refers to files that are missing; copy or export it again."
        )


def _paged(tif: "TiffFile", shape: tuple[int, ...]) -> LazyArray:
    same = [series for series in tif.series if series.shape == tif.series[0].shape]
    pages = [page for series in same for page in series.pages if page is not None]
    size = len(pages[0].shape)
    fits = shape[len(shape) - size :] == pages[0].shape and prod(shape[: len(shape) - size]) == len(pages)
    if fits and "Z" not in same[0].keyframe.axes and same[0].transform is None:
        return PagedStack(pages, shape)
    # A volume in one page: there is no smaller part to read.
    return np.stack([series.asarray() for series in same]).reshape(shape)
