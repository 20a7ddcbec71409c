"""What is judged: a movie on disk, the masks that are given, and the true masks of the other frames."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.instances import BoolImage, Labels
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError
from napari_masktrack.evaluation.files import (
    brightest_background,
    check_colours,
    enlarged,
    read_any_object,
)
from napari_masktrack.io.images import read_head
from napari_masktrack.io.masks import match_frame
from napari_masktrack.io.readers import open_movie
from napari_masktrack.io.refusal import shown
from napari_masktrack.io.session_files import read_labels

Matcher = Callable[[Sequence[Path], Movie], Iterator[int | None]]
"""Gives for each file of the truth the frame that it belongs to, or None."""


class UnjudgedError(AnnotationError):
    """The rules leave no frame of a problem to be judged."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One movie with its truth, and the rules by which its protocol judges.

    Attributes
    ----------
    name : str
        As ``bear``, ``bmx/1`` or ``cat/0001/003``; also the folder of its result.
    images : Path
        Folder of the frames.
    truth : tuple of Path
        Label masks, in order; the first that belongs to a frame is given.
    group : str
        What its mean is also shown for, as the class of YouTube-Objects; empty where there is none.
    match : {"name", "order", "number"}
        How the files of the truth find their frames: by name or index; by name where all have a frame's,
        else by their place in the folder (then there is one for every frame); or by the last number in
        both names.
    sparse : bool
        Whether frames may have no truth; they do not count then.
    single : bool
        Whether everything other than background is one object, with id 1.
    void : int or None
        A value of the truth that is no object.
    without_last : bool
        Whether the last frame does not count; the first with truth, which is given, never does.
    only_present : bool
        Whether an object counts on those frames only whose truth shows it.
    limit : int
        Only so many frames from the start of the movie; 0 for all.
    scaled : bool
        Whether masks may have another size than the frames, if height and width relate alike.
    outlines : tuple of Path
        Masks of the given frame that are better than its truth, the best first, with other ids: where
        one overlaps with an object of the truth, the object is given so.
    """

    name: str
    images: Path
    truth: tuple[Path, ...]
    group: str = ""
    match: str = "name"
    sparse: bool = False
    single: bool = False
    void: int | None = None
    without_last: bool = False
    only_present: bool = False
    limit: int = 0
    scaled: bool = False
    outlines: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        """Last part of the name."""
        return title_of(self.name)

    def open(self) -> "OpenProblem":
        """Open the movie, find the truth of its frames and read the masks that are given.

        Raises
        ------
        MovieError
            The frames cannot be opened.
        UnjudgedError
            No frame would be judged.
        AnnotationError
            A mask is missing, belongs to no frame, cannot be read, has another size than the frames,
            or the first shows no object.
        """
        return OpenProblem(self)


Makers: TypeAlias = Mapping[str, Callable[[], Problem]]
"""What makes the problems of a data folder, by name; only then their files have to be there."""


def title_of(name: str) -> str:
    """Return the last part of a problem's name."""
    return name.rpartition("/")[2]


class OpenProblem:
    """A problem whose movie is open; frames and masks are read when they are asked for.

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    movie : Movie
    frames : range
        Those that take part: from the given one to the last with truth.
    annotations : Annotations
        The masks of the given frame.
    labels : tuple of int
        The objects that are judged: those that are given.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.movie: Movie = open_movie(problem.images)
        self._files = self._matched()
        given = min(self._files)
        end = min(len(self.movie), problem.limit or len(self.movie))
        self.frames = range(given, min(max(self._files) + 1, end) if problem.sparse else end)
        self._check()
        self.annotations = Annotations.from_labels({given: self._given_masks(given)})
        self.labels: tuple[int, ...] = self.annotations.labels
        if not self.labels:
            raise AnnotationError(
                f"{shown(self._files[given])} shows no object, but it is the mask that is given; "
                f"leave it out: --exclude {shown(problem.name)}."
            )

    @property
    def given(self) -> int:
        """The frame whose masks are given."""
        return self.frames.start

    @property
    def true_frames(self) -> tuple[int, ...]:
        """The frames that take part and have truth, in order; the given one is the first."""
        return tuple(frame for frame in sorted(self._files) if frame in self.frames)

    def truth_file(self, frame: int) -> Path:
        """Return the file that holds the true masks of a frame."""
        return self._files[frame]

    def truth(self, frame: int) -> Labels:
        """Read the true label image of a frame, uint16 (Y, X), at the size that it is judged at.

        Raises
        ------
        AnnotationError
            The file cannot be read or holds no ids.
        """
        path = self._files[frame]
        if self.problem.single:
            return read_any_object(path, self._background).astype(np.uint16)
        labels = read_labels(path)
        if self.problem.void is not None:
            labels[labels == self.problem.void] = 0
        return labels

    def guide(self, frame: int) -> Labels:
        """Read the true label image of a frame at the frames' size; see `truth`."""
        return enlarged(self.truth(frame), self.movie.shape)

    def annotate(self, frames: Iterable[int]) -> Annotations:
        """Give the true masks of some frames as annotations."""
        return Annotations.from_labels({frame: self.guide(frame) for frame in frames})

    def counts(self, frame: int, true: BoolImage | None = None) -> bool:
        """Say whether an object is judged on a frame.

        Parameters
        ----------
        frame : int
        true : bool (Y, X), optional
            Its true mask there; without it, whether any object is judged.
        """
        rules = self.problem
        end = self.frames.stop - (1 if rules.without_last else 0)
        if frame not in self._files or not self.given < frame < end:
            return False
        return not rules.only_present or true is None or bool(true.any())

    @property
    def counted_frames(self) -> tuple[int, ...]:
        """The frames on which objects are judged, in order."""
        return tuple(frame for frame in self.true_frames if self.counts(frame))

    @cached_property
    def _background(self) -> int:
        return brightest_background(self._files[frame] for frame in self.true_frames)

    def _given_masks(self, frame: int) -> Labels:
        """Read the masks of the given frame: the best outline of each object, else its truth."""
        truth = self.guide(frame)
        better, known = truth.copy(), [read_labels(path) for path in self.problem.outlines]
        objects = [int(label) for label in np.unique(truth[truth > 0])]
        found = {label: _outline(truth == label, known) for label in objects}
        for rank in reversed(range(len(known))):  # the best last: they win where outlines overlap
            for label, (of, outline) in found.items():
                if of == rank:
                    better[known[rank] == outline] = label
        better[truth > 0] = truth[truth > 0]  # an outline around two objects hides neither
        return better

    def _matched(self) -> dict[int, Path]:
        files, problem = self.problem.truth, self.problem
        if not files:
            raise AnnotationError(f"{problem.name!r} has no true masks; check the data folder.")
        found: dict[int, Path] = {}
        for path, frame in zip(files, MATCHERS[problem.match](files, self.movie), strict=True):
            if frame is None:
                raise AnnotationError(
                    f"{shown(path)} belongs to none of the {len(self.movie)} frame(s) of "
                    f"{shown(problem.images)}; remove it, or add the frame."
                )
            if frame in found:
                raise AnnotationError(
                    f"{shown(path)} and {shown(found[frame].name)} both belong to frame {frame}; keep one."
                )
            found[frame] = path
        if not problem.sparse:
            self._refuse_gaps(found)
        return found

    def _refuse_gaps(self, found: dict[int, Path]) -> None:
        missing = [frame for frame in range(len(self.movie)) if frame not in found]
        if missing:
            place, name = next(iter(found.values())).parent, self.movie.frame_names[missing[0]]
            raise AnnotationError(
                f"{shown(place)} has masks for {len(found)} of {len(self.movie)} frame(s): "
                f"{shown(name)} is missing; download the data set again."
            )

    def _check(self) -> None:
        if not self.counted_frames:
            raise UnjudgedError(
                f"No frame of {self.problem.name!r} would be judged: of {len(self.movie)} frame(s) "
                f"{len(self._files)} have a mask, and the first is given; leave it out: "
                f"--exclude {shown(self.problem.name)}."
            )
        for path in (*(self._files[frame] for frame in self.true_frames), *self.problem.outlines):
            check_mask(path, self.movie, scaled=self.problem.scaled)


def _outline(marker: BoolImage, known: Sequence[Labels]) -> tuple[int, int]:
    """Find the first image with an outline over a marker, and the id that overlaps most; -1 if none has."""
    for rank, image in enumerate(known):
        over = image[marker & (image > 0)]
        if over.size:
            return rank, int(np.bincount(over).argmax())
    return -1, 0


def check_mask(path: Path, movie: Movie, *, scaled: bool = False) -> None:
    """Refuse a mask that has another size than the frames of a movie, or shows colours.

    Only its head is read, except where it has several channels that should be equal.

    Parameters
    ----------
    path : Path
    movie : Movie
    scaled : bool
        Whether other sizes are taken where height and width relate as those of the frames, but for less
        than a pixel.

    Raises
    ------
    InputError
        So it is, or the file is damaged.
    """
    head = read_head(path).shape
    shape = head[:2]
    if shape != movie.shape and not (scaled and _alike(shape, movie.shape)):
        height, width = movie.shape
        what = "the frames' size, or enlarged or reduced alike" if scaled else "the frames' size"
        raise AnnotationError(
            f"{shown(path)} has {' x '.join(map(str, shape))} pixels, but the frames of {movie.name!r} have "
            f"{height} x {width} (height x width); give masks of {what}."
        )
    if len(head) > len(shape):
        check_colours(path)


def _alike(shape: tuple[int, ...], other: tuple[int, int]) -> bool:
    (height, width), (other_height, other_width) = shape, other
    error = abs(height * other_width - width * other_height)
    return error < max(other)  # by less than a pixel of the height or of the width


def _by_name(files: Sequence[Path], movie: Movie) -> Iterator[int | None]:
    return (match_frame(path.stem, movie) for path in files)


def _by_order(files: Sequence[Path], movie: Movie) -> Iterator[int | None]:
    frames = {name: frame for frame, name in enumerate(movie.frame_names)}
    if all(path.stem in frames for path in files):
        return (frames[path.stem] for path in files)
    if len(files) != len(movie):
        stray = next(path for path in files if path.stem not in frames)
        raise AnnotationError(
            f"{shown(stray)} has the name of no frame, and {len(files)} mask(s) cannot belong to the "
            f"{len(movie)} frame(s) of {movie.name!r} by their order; name them alike, or give one for each."
        )
    return iter(range(len(files)))


def _by_number(files: Sequence[Path], movie: Movie) -> Iterator[int | None]:
    frames = {_last_number(name): frame for frame, name in enumerate(movie.frame_names)}
    return (frames.get(_last_number(path.stem)) for path in files)


def _last_number(name: str) -> int:
    found = re.findall(r"[0-9]+", name)
    return int(found[-1]) if found else -1


BY_NUMBER = "number"
MATCHERS: dict[str, Matcher] = {"name": _by_name, "order": _by_order, BY_NUMBER: _by_number}
