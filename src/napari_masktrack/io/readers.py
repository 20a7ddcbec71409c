"""Movies and annotations from files, whatever their kind."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.movie import LazyArray, Movie
from napari_masktrack.errors import AnnotationError, InputError, MovieError
from napari_masktrack.io.axes import settle_axes
from napari_masktrack.io.boxes import read_box_file
from napari_masktrack.io.images import PICTURE_ENDINGS, ImageFolder, list_images
from napari_masktrack.io.masks import MASK_ENDINGS, read_mask_files, read_mask_folder, read_mask_stack
from napari_masktrack.io.refusal import refusing, shown
from napari_masktrack.io.tiff import TIFF_ENDINGS, open_tiff
from napari_masktrack.io.video import VIDEO_ENDINGS, Video
from napari_masktrack.io.zarr_array import is_zarr, open_zarr

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_movie(
    path: str | PathLike[str], *, axes: str | None = None, channels: int | Sequence[int] | None = None
) -> Movie:
    """Open a movie without reading it; frames are read when they are asked for.

    Parameters
    ----------
    path : str or path
        A folder of images (sorted by name, 2 before 10), a TIFF stack, a Zarr array or OME-Zarr
        image, a video file, or a single image.
    axes : str, optional
        One letter per dimension: ``t`` or ``z``, ``c``, ``y``, ``x``. Needed only where neither the
        kind of file nor its metadata say it.
    channels : int or up to three ints, optional
        Channels to look at; see `Movie`.

    Returns
    -------
    Movie
        Named after the file, with the names of the frames' files where each has its own.

    Raises
    ------
    MovieError
        There is no such file, it cannot be read, is truncated, or its axes are open.
    """
    place = Path(path)
    _check_there(place, MovieError)
    array, found = _open(place, axes)
    array, settled = settle_axes(array, found, axes, name=shown(place))
    return Movie(array, axes=settled, channels=channels, name=movie_name(place))


def open_array(path: Path) -> LazyArray:
    """Open a movie's file as the array that it holds, whatever its axes mean; raises as `open_movie`."""
    _check_there(path, MovieError)
    return _open(path, None)[0]


def read_annotations(path: str | PathLike[str], movie: Movie) -> Annotations:
    """Read label masks of some of a movie's frames: 0 is background, every other value an object's id.

    Parameters
    ----------
    path : str or path
        A folder of PNG (or BMP, TIFF) masks named like the frames' files or by frame index; one such
        file; or a TIFF or Zarr stack as long as the movie, all 0 where nothing is annotated.
    movie : Movie
        What they belong to.

    Returns
    -------
    Annotations
        One `Mask` per object and frame.

    Raises
    ------
    AnnotationError
        Something cannot be read, fits no frame, has another size than the movie, holds no ids, or
        nothing is painted at all.
    """
    place = Path(path)
    _check_there(place, AnnotationError)
    ending = place.suffix.lower()
    if place.is_dir() and not is_zarr(place):
        found = read_mask_folder(place, movie)
    elif is_zarr(place) or ending in TIFF_ENDINGS:
        found = _read_stack(place, movie)
    elif ending in MASK_ENDINGS:
        found = read_mask_files([place], movie)
    else:
        raise AnnotationError(
            f"{shown(place)} holds no label masks; give a folder of PNG masks, a TIFF stack or a Zarr array."
        )
    if not found.items:
        raise AnnotationError(f"{shown(place)} has no painted pixel; paint an object on at least one frame.")
    return found


def read_boxes(path: str | PathLike[str], movie: Movie) -> Annotations:
    """Read boxes around objects.

    Parameters
    ----------
    path : str or path
        CSV with the columns frame, label, y0, x0, y1, x1 in its first line, in any order; pixels,
        end excluded. Separated by commas, semicolons or tabs.
    movie : Movie
        What they belong to.

    Returns
    -------
    Annotations
        One `Box` per line.

    Raises
    ------
    AnnotationError
        The file cannot be read, or a line does not fit the movie.
    """
    place = Path(path)
    _check_there(place, AnnotationError)
    return read_box_file(place, movie)


def movie_name(path: Path) -> str:
    """Name a movie after its file: without endings, the folder's name for a folder of images."""
    name = path.name or path.resolve().name
    if path.is_dir() and not name.lower().endswith(".zarr"):
        return name
    stem = Path(name).stem
    return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem


def _open(path: Path, axes: str | None) -> tuple[LazyArray, str | None]:
    ending = path.suffix.lower()
    if is_zarr(path):
        return open_zarr(path)
    if path.is_dir():
        return _open_images(list_images(path))
    if ending in TIFF_ENDINGS or _starts_like_tiff(path):
        array, found = open_tiff(path)
        if axes is not None and len(axes) != len(array.shape):
            return open_tiff(path, squeeze=False)
        return array, found
    if ending in PICTURE_ENDINGS:
        return _open_images([path])
    if ending in VIDEO_ENDINGS:
        video = Video(path)
        return video, video.axes
    raise MovieError(
        f"{shown(path)} is of a kind that is not read; "
        f"give a folder of images, a TIFF stack, a Zarr array or a video."
    )


def _open_images(paths: list[Path]) -> tuple[LazyArray, str | None]:
    images = ImageFolder(paths)
    return images, images.axes


def _read_stack(path: Path, movie: Movie) -> Annotations:
    with refusing(path, AnnotationError):
        array, found = _open(path, None)
        array, axes = settle_axes(array, found, _axes_like(array.shape, movie), name=shown(path))
        stack = Movie(array, axes=axes, name=movie_name(path))
        if len(stack) == 1 < len(movie) and path.is_file():
            return read_mask_files([path], movie)
        return read_mask_stack(stack, movie, shown(path))


def _axes_like(shape: tuple[int, ...], movie: Movie) -> str | None:
    """Name the dimensions of masks whose sizes are the movie's; dimensions of size one do not count."""
    sizes = {"t": len(movie), "y": movie.shape[0], "x": movie.shape[1]}
    fits = [size for size in sizes.values() if size > 1] == [size for size in shape if size > 1]
    return "".join(axis for axis, size in sizes.items() if size > 1) if fits else None


def _check_there(path: Path, kind: type[InputError]) -> None:
    with refusing(path, kind):
        there = path.exists()
    if not there:
        raise kind(f"There is no {shown(path)}; check the path.")


def _starts_like_tiff(path: Path) -> bool:
    with refusing(path, MovieError), path.open("rb") as file:
        return file.read(4).startswith(_TIFF_STARTS)
