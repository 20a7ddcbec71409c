"""What fine-tuning learns from: the annotated objects with their surroundings, as many as memory may hold."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy.typing as npt

from napari_masktrack.core.annotation import Annotation, Mask
from napari_masktrack.core.instances import Image
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.resolver import Resolver
from napari_masktrack.training.dreams import Stage
from napari_masktrack.training.scenes import Scene, surroundings

ROOM = 512 * 2**20
"""Bytes of lessons kept in memory: some hundred objects in frames of usual size."""
SEVERAL = 3
"""Objects given by boxes or strokes, from which on the masks found for them are learned from."""
SURE = 0.8
"""J that the network must expect of the mask that it finds for a box or strokes, to learn from it."""
NOT_LEARNED = (
    f"boxes and strokes of fewer than {SEVERAL} objects do not teach, nor do those for which the network is "
    "not sure of the mask; paint an object for that."
)
"""Why there was nothing to learn from, for the user."""


@dataclass(frozen=True)
class Lesson:
    """One annotated object on one frame, ready to be sampled; without a stage it cannot be dreamt of."""

    scene: Scene
    stage: Stage | None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        arrays: list[npt.NDArray[Any]] = [self.scene.image, self.scene.target, self.scene.known]
        if self.stage is not None:
            arrays += [self.stage.background, self.stage.alpha]
        return sum(array.nbytes for array in arrays)


class Lessons(Sequence[Lesson]):
    """One lesson per annotated object and frame; those used last are kept, the others are made anew.

    A lesson is the same whenever it is made, so what is kept changes the time that it takes only.

    Parameters
    ----------
    items : iterable of Annotation
        All painted; each decides every pixel, see `settled`.
    movie : Movie
    room : int
        Bytes of lessons to keep; at least one lesson is kept.
    """

    def __init__(self, items: Iterable[Annotation], movie: Movie, *, room: int = ROOM) -> None:
        self._items, self._movie, self._room = tuple(items), movie, room
        self._kept: OrderedDict[int, Lesson] = OrderedDict()
        self._taken = 0
        self._seen: tuple[int, Image] | None = None

    def __len__(self) -> int:
        """Count the lessons."""
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Lesson: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Lesson]: ...
    def __getitem__(self, index: int | slice) -> Lesson | Sequence[Lesson]:
        """Give a lesson, kept or made anew."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        lesson = self._made(self._items[index])
        self._taken += lesson.nbytes
        while self._kept and self._taken > self._room:
            self._taken -= self._kept.popitem(last=False)[1].nbytes
        self._kept[index] = lesson
        return lesson

    def prepare(self) -> None:
        """Make the first lessons, frame by frame, until there is no room for more."""
        for index in range(len(self)):
            lesson = self[index]
            if self._taken + lesson.nbytes > self._room:
                return

    def _made(self, item: Annotation) -> Lesson:
        if self._seen is None or self._seen[0] != item.frame:  # objects of one frame follow one another
            self._seen = item.frame, self._movie.image(item.frame)
        target, known = item.supervision(self._movie.shape)
        scene = surroundings(Scene(self._seen[1], target, known))
        return Lesson(scene, Stage.of(scene) if known.all() and target.any() else None)


def settled(items: Iterable[Annotation], movie: Movie, resolver: Resolver) -> Iterator[Annotation]:
    """Yield what decides every pixel; of boxes and strokes, the masks that the network finds for them.

    Only if there are such of several objects: what the masks of one have in common may be a mistake that
    the network would learn. What it is not sure of is left out, too. Of strokes alone it would learn that
    everything is object (docs/benchmarks.md).

    Parameters
    ----------
    items : iterable of Annotation
    movie : Movie
    resolver : Resolver

    Raises
    ------
    MovieError
        The frame cannot be read.
    """
    drawn = [item for item in items if item.is_painted(movie.shape)]
    meant = {item.label for item in drawn if not item.exact}
    for item in drawn:
        if item.exact:
            yield item
        elif len(meant) >= SEVERAL:
            found, confidence = resolver.resolve(item, movie.image(item.frame))
            if found is not None and confidence >= SURE:
                target, known = item.supervision(movie.shape)
                yield Mask(item.frame, item.label, (found.to_mask(movie.shape) & ~known) | target)
