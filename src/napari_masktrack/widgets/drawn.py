"""What is on the layers that a user draws on for one movie, as it was last noticed."""

from collections import defaultdict
from collections.abc import Iterator

from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import QObject

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.layers.create import absent_marks, notes_of
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.reading import read_annotations


class Drawn(QObject):
    """The layers of a movie by role, and what is on them.

    Attributes
    ----------
    layers : dict of str to napari layer
    indices : dict of str to AnnotationIndex
        Of the label layers among them.
    """

    def __init__(self, view: LayerMovie, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.view = view
        self.layers: dict[str, Layer] = {}
        self.indices: dict[str, AnnotationIndex] = {}
        self._shapes: tuple[DrawnShape, ...] = ()
        self._painted: dict[int, tuple[int, ...]] = {}

    def read(self) -> Annotations:
        """Read everything, as the engine takes it.

        Raises
        ------
        AnnotationError
            Something contradicts itself, or cannot be used.
        """
        return read_annotations(self.view, self.followed)

    @property
    def followed(self) -> list[AnnotationIndex | Shapes]:
        """What is drawn on: the indices of label layers, and the layer of shapes."""
        shapes = [layer for layer in self.layers.values() if isinstance(layer, Shapes)]
        return [*self.indices.values(), *shapes]

    @property
    def objects(self) -> dict[int, tuple[int, ...]]:
        """Objects and the frames on which each is annotated, from what was last noticed."""
        found: dict[int, set[int]] = defaultdict(set)
        for frame, labels in self._painted.items():
            for label in labels:
                found[label].add(frame)
        for shape in self._shapes:
            found[shape.label].add(shape.frame)
        for frame, label in self.absent:
            found[label].add(frame)
        for label in self.names:
            found.setdefault(label, set())
        return {label: tuple(sorted(found[label])) for label in sorted(found)}

    @property
    def frames(self) -> tuple[int, ...]:
        """Annotated frames, sorted, from what was last noticed."""
        return tuple(sorted({*self._painted, *(s.frame for s in self._shapes), *(f for f, _ in self.absent)}))

    @property
    def anchors(self) -> dict[int, tuple[int, ...]]:
        """Objects and the frames from which each is carried, sorted: something says where it is."""
        found: dict[int, list[int]] = defaultdict(list)
        for frame, label in sorted(self._located()):
            found[label].append(frame)
        return {label: tuple(frames) for label, frames in found.items()}

    @property
    def lonely(self) -> tuple[tuple[int, int], ...]:
        """Frames and objects with strokes beside the object, and nothing that says where it is."""
        return tuple(sorted(set(self._strokes("beside")) - self._located()))

    def _located(self) -> set[tuple[int, int]]:
        return self._drawn() | set(self.absent)

    def _drawn(self) -> set[tuple[int, int]]:
        """Give the frames and objects of which something says where they are."""
        drawn = {*self._strokes("masks"), *self._strokes("scribbles")}
        return drawn | {(shape.frame, shape.label) for shape in self._shapes}

    def _strokes(self, role: str) -> Iterator[tuple[int, int]]:
        """Give the frames and objects that are painted on a layer, as far as it was looked at."""
        if role in self.indices:
            known = self.indices[role].known
            yield from ((frame, label) for frame, labels in known.items() for label in labels)

    @property
    def shapes(self) -> tuple[DrawnShape, ...]:
        """The shapes that were last noticed."""
        return self._shapes

    @property
    def absent(self) -> tuple[tuple[int, int], ...]:
        """Frames and objects that are marked absent."""
        masks = self.layers.get("masks")
        return absent_marks(masks) if isinstance(masks, Labels) else ()

    @property
    def names(self) -> dict[int, str]:
        """What the user calls the objects; made by `new_object` or in the list."""
        masks = self.layers.get("masks")
        return {} if masks is None else notes_of(masks).setdefault("names", {})
