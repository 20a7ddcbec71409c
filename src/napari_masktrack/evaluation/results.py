"""Masks of one problem on disk: found, checked and read, or filled in whole or not at all."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_masktrack.core.instances import Labels
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError, InputError, OutputError
from napari_masktrack.evaluation.files import brightest_background, list_masks, read_any_object
from napari_masktrack.evaluation.problems import BY_NUMBER, MATCHERS, OpenProblem, check_mask
from napari_masktrack.io.masks import match_frame, read_names
from napari_masktrack.io.refusal import refusing, shown
from napari_masktrack.io.session_files import read_json, read_labels
from napari_masktrack.io.session_lock import FolderLock

RECORD = "run.json"
"""Stands beside the masks that this program made: how, and how long it took."""
Record = dict[str, Any]
_PART = ".part"


def find_result(opened: OpenProblem, folder: Path) -> dict[int, Path]:
    """Find the mask of every frame that counts.

    Parameters
    ----------
    opened : OpenProblem
    folder : Path
        PNG, BMP or TIFF files named like the frames or by index: ``00000.png``; by index alone where
        this program made them. Where the truth finds its frames by number, so may they.

    Returns
    -------
    dict of int to Path
        By frame, in order.

    Raises
    ------
    AnnotationError
        A mask is missing, belongs to no frame or to that of another one, cannot be read, has another
        size than the frames, or it cannot be told whether names are numbers or indices.
    """
    found: dict[int, Path] = {}
    files = list_masks(folder)
    for path, frame in zip(files, _frames(opened, folder, files), strict=True):
        if frame is None:
            raise AnnotationError(
                f"{shown(path)} belongs to none of the {len(opened.movie)} frame(s) of "
                f"{shown(opened.problem.images)}; name it like its frame's file, or 00000.png to "
                f"{len(opened.movie) - 1:05}.png."
            )
        if frame in found:
            raise AnnotationError(
                f"{shown(path)} and {shown(found[frame].name)} both belong to frame {frame}; name them like "
                "the frames."
            )
        found[frame] = path
    for frame in opened.counted_frames:
        if frame not in found:
            missing = folder / f"{opened.movie.frame_names[frame]}.png"
            raise AnnotationError(f"There is no {shown(missing)}; give a mask for every frame that counts.")
        check_mask(found[frame], opened.movie, scaled=opened.problem.scaled)
    return {frame: found[frame] for frame in opened.counted_frames}


def _frames(opened: OpenProblem, folder: Path, files: Sequence[Path]) -> list[int | None]:
    """Find the frames of masks; all names of a folder are read in the same way."""
    names, movie = [path.stem for path in files], opened.movie
    if read_record(folder) is not None:  # by index, whatever the frames are called
        return [match_frame(name, movie, named=False) for name in names]

    def fits(frames: Sequence[int | None]) -> bool:
        return set(opened.counted_frames) <= set(frames) and None not in frames

    found = read_names(names, movie)
    if found.doubtful and fits(found.placed) and (found.taken != found.placed or fits(found.named)):
        doubt = _doubt(files, found.named, found.placed, movie)
        raise AnnotationError(f"{doubt}; give the masks of all frames there, named like the frames.")
    if opened.problem.match != BY_NUMBER:
        return found.taken
    numbered = list(MATCHERS[BY_NUMBER](files, movie))
    if fits(numbered) and fits(found.taken) and numbered != found.taken:
        doubt = _doubt(files, numbered, found.taken, movie)
        raise AnnotationError(f"{doubt}; name all masks there like the frames.")
    return found.taken if fits(found.taken) and not fits(numbered) else numbered


def _doubt(
    files: Sequence[Path], numbered: Sequence[int | None], placed: Sequence[int | None], movie: Movie
) -> str:
    """Say of the first mask with two readings which frames they mean."""
    path, *places = next(each for each in zip(files, numbered, placed, strict=True) if each[1] != each[2])
    one, other = (shown(movie.frame_names[frame]) for frame in places if frame is not None)
    return f"{shown(path)} may belong to {one}, by its number, or to {other}, by its place"


def read_result(opened: OpenProblem, files: Mapping[int, Path]) -> Iterator[tuple[int, Labels]]:
    """Read masks that `find_result` found, one at a time."""
    if not opened.problem.single:
        return ((frame, read_labels(path)) for frame, path in files.items())
    background = brightest_background(files.values())
    return ((frame, read_any_object(path, background).astype("uint16")) for frame, path in files.items())


def is_there(folder: Path) -> bool:
    """Say whether a result's folder exists and holds anything."""
    with refusing(folder, InputError):
        return folder.is_dir() and any(folder.iterdir())


def read_record(folder: Path) -> Record | None:
    """Read how a result was made; None for one that this program did not make.

    Raises
    ------
    InputError
        There is such a file, but it is damaged.
    """
    path = folder / RECORD
    record = read_json(path) if path.is_file() else {}
    return record if {"napari_masktrack", "method"} <= record.keys() else None


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside a new one, which takes its place at the end.

    Parameters
    ----------
    folder : Path
        Must not exist, or be empty.

    Yields
    ------
    Path
        Write here. After an error in the block it is removed, and nothing of it is left.

    Raises
    ------
    OutputError
        Meanwhile something else was put in its place.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=_PART))
    lock, masks = FolderLock(part), part / "masks"
    lock.acquire()
    try:
        masks.mkdir()
        yield masks
        try:
            if folder.is_dir():
                folder.rmdir()
            os.rename(masks, folder)
        except OSError as error:
            raise OutputError(
                f"{shown(folder)} was filled by another program meanwhile; what is there was kept."
            ) from error
    finally:
        lock.release()
        shutil.rmtree(part, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Remove the temporary folders of runs that were killed; those of runs that go on are locked."""
    for part in folder.parent.glob(f".{glob.escape(folder.name)}.*{_PART}"):
        lock = FolderLock(part)
        if not lock.path.is_file():
            continue
        with suppress(OutputError):
            lock.acquire()
            lock.release()
            shutil.rmtree(part, ignore_errors=True)
