"""The layers that a user draws on for one movie: made, taken over and followed; one per dock."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.errors import AnnotationError, MaskTrackError
from napari_masktrack.layers.colours import ObjectColours, give_colormap
from napari_masktrack.layers.create import (
    belongs_to,
    check_paintable,
    choose_object,
    claim,
    disclaim,
    mark_absent,
    new_labels,
    new_shapes,
    paint_frame,
    role_of,
    sign_notes,
)
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.reading import read_shapes
from napari_masktrack.widgets.drawn import Drawn
from napari_masktrack.widgets.slices import Slices

PAUSE = 150
"""Milliseconds without a stroke after which the lists follow."""
SLICE = 0.03
"""Seconds of a look."""
ROLES = ("masks", "scribbles", "beside", "shapes")


class Drawings(Drawn):
    """Masks, scribbles and shapes of a movie: followed as the user draws, and drawn by the program.

    Attributes
    ----------
    changed : Signal
        Something was drawn or another layer was chosen; soon after, not at each mouse move.
    problem : Signal(str)
        What is wrong with a layer, in words for the user.
    corrected : set of (int, int)
        Frames and objects that changed since they were propagated.
    label : int
        The object that is drawn.
    colours : ObjectColours
        Of the objects, also of those that are hidden.
    """

    changed = Signal()
    problem = Signal(str)
    edited = Signal(str, object)

    def __init__(self, viewer: ViewerModel, view: LayerMovie, parent: QObject | None = None) -> None:
        super().__init__(view, parent)
        self.viewer = viewer
        self.corrected: set[tuple[int, int]] = set()
        self.label = 1
        self.colours = ObjectColours(lambda: self.objects)
        self._timer = QTimer(self, singleShot=True, interval=PAUSE)
        self._timer.timeout.connect(self._look)
        self._reading = Slices(self)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._know_layers)
        self._know_layers()

    # Layers

    def take(self, role: str, layer: Layer | None) -> None:
        """Draw on this layer from now on; None gives the role up.

        Raises
        ------
        AnnotationError
            The layer does not lie over the movie.
        """
        if self.layers.get(role) is layer:
            return
        index = None
        if isinstance(layer, Labels):
            index = AnnotationIndex(layer, self.view, dims=self.viewer.dims, on_change=self._soon)
        self._leave(role)
        self._soon()
        if layer is None:
            return
        self.layers[role] = layer
        claim(layer, self.view, self.viewer.layers)
        if role == "masks" and isinstance(layer, Labels):
            self.colours.lead(layer)
        self._colour_layers()
        if index is not None:
            self.indices[role] = index
            layer.events.selected_label.connect(self._follow_label)
        else:
            layer.events.data.connect(self._soon)
            layer.events.features.connect(self._soon)

    def take_own(self) -> None:
        """Draw on the layers that were made here for this movie, if the viewer has some.

        Raises
        ------
        AnnotationError
            One was moved away from the movie.
        """
        for layer in self.viewer.layers:
            role = role_of(layer)
            if role in ROLES and role not in self.layers and belongs_to(layer, self.view, self.viewer.layers):
                self.take(role, layer)

    def give_up(self) -> None:
        """Draw on none of the layers any more; they stay in the viewer, and `take_own` leaves them alone."""
        for role, layer in list(self.layers.items()):
            self.take(role, None)
            disclaim(layer)

    def ensure(self, role: str) -> Any:
        """Give the layer of a role; make it if there is none."""
        if role not in self.layers:
            made: Layer = new_shapes(self.view) if role == "shapes" else new_labels(self.view, role)
            if isinstance(made, Labels):
                made.opacity = 0.6
                made.brush_size = max(3, min(self.view.layout.size) // 16)
                give_colormap(made, self.colours.colormap)
            self.viewer.add_layer(made)
            self.take(role, made)
            self.choose(self.label)
        return self.layers[role]

    def release(self) -> None:
        """Stop listening to all layers."""
        self._timer.stop()
        self._reading.drop()
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._know_layers)
        for role in list(self.layers):
            self._leave(role)
        self.colours.follow([])

    def _leave(self, role: str) -> None:
        layer, index = self.layers.pop(role, None), self.indices.pop(role, None)
        if index is not None:
            index.close()
        if isinstance(layer, Labels):
            layer.events.selected_label.disconnect(self._follow_label)
        elif layer is not None:
            layer.events.data.disconnect(self._soon)
            layer.events.features.disconnect(self._soon)
        self._colour_layers()

    def _know_layers(self, _event: Any = None) -> None:
        """Let all layers of the viewer sign their notes, in their order: copies lie above what they copy."""
        for layer in self.viewer.layers:
            sign_notes(layer)
        self._colour_layers()

    def _colour_layers(self) -> None:
        """Show objects alike on the layers that are drawn on and on the result."""
        shown = self.viewer.layers
        results = [each for each in shown if role_of(each) == "result" and belongs_to(each, self.view, shown)]
        drawn = [each for each in self.layers.values() if each not in results]
        self.colours.follow([each for each in (*drawn, *results) if isinstance(each, Labels | Shapes)])

    # Objects

    def choose(self, label: int) -> None:
        """Draw this object from now on.

        Raises
        ------
        AnnotationError
            A layer's type does not hold the id.
        """
        choose_object(label, self.layers.values(), colour=self.colour(label))
        self.label = label
        self.changed.emit()

    def new_object(self) -> int:
        """Begin another object and choose it.

        Raises
        ------
        AnnotationError
            Frames that are not in memory were not looked at yet: it might be one of theirs.
        """
        self.ensure("masks")
        self._note_changes()
        label = max((*self.objects, *(index.largest() for index in self.indices.values()))) + 1
        self.names.setdefault(label, "")
        self.choose(label)
        self.edited.emit("objects", None)
        return label

    def rename(self, label: int, name: str) -> None:
        """Give an object a name."""
        if self.names.get(label, "") != name:
            self.names[label] = name
            self.edited.emit("objects", None)

    def colour(self, label: int) -> tuple[float, ...]:
        """Give red, green, blue and alpha of an object as it is drawn when it is shown."""
        return self.colours.colour(label)

    def show(self, label: int, *, visible: bool) -> None:
        """Show or hide one object on all layers of the movie."""
        self.colours.show(label, visible=visible)
        self.changed.emit()

    def set_absent(self, frame: int, label: int, *, absent: bool) -> None:
        """Say that an object is not on a frame, or take that back.

        Raises
        ------
        AnnotationError
            The object is drawn on that frame; strokes that say what it is not do no harm.
        """
        for index in self.indices.values():  # the frame may not have been looked at yet
            index.touch([frame])
        self._note_changes()
        if absent and (frame, label) in self._drawn():
            raise AnnotationError(
                f"Object {label} is drawn on frame {frame}; erase it there before you call it absent."
            )
        mark_absent(self.ensure("masks"), frame, label, absent=absent)
        self.corrected.add((frame, label))
        self.edited.emit("absent", None)
        self.changed.emit()

    def read(self) -> Annotations:
        """As of `Drawn`; finds what other plugins and the console wrote into the layers' arrays."""
        for index in self.indices.values():
            index.compare()
        self._settle()
        return super().read()

    # Drawing by the program

    def check_paintable(self, labels: Iterable[int]) -> None:
        """Refuse, before any work, what could not be painted afterwards.

        Raises
        ------
        AnnotationError
            The layer of masks does not lie as the movie does, or its type does not hold an id.
        """
        masks = self.layers.get("masks")
        if isinstance(masks, Labels):
            check_paintable(masks, self.view, labels)

    def paint(self, frame: int, image: NDArray[Any]) -> None:
        """Replace what is painted on a frame; the user can undo it."""
        paint_frame(self.ensure("masks"), self.view, frame, image)
        self.indices["masks"].touch([frame])
        self._settle()

    def fill(self, frame: int, image: NDArray[Any]) -> bool:
        """Paint where nothing is painted yet; tells whether there was such a place. Noticed soon."""
        layer, painted = self.ensure("masks"), self.painted(frame)
        free = (painted == 0) & (image != 0)
        if free.any():
            paint_frame(layer, self.view, frame, np.where(free, image, painted))
            self.indices["masks"].touch([frame])
        return bool(free.any())

    def painted(self, frame: int) -> NDArray[np.uint16]:
        """Copy what is painted on a frame, whole objects only."""
        index = self.indices.get("masks")
        return np.zeros(self.view.layout.size, np.uint16) if index is None else index.image(frame)

    def settle(self) -> None:
        """Notice now what was drawn last."""
        self._settle()

    def notice(self) -> Iterator[int]:
        """Look at what was painted, one frame at each step; `settle` is quick then."""
        for index in list(self.indices.values()):
            yield from index.scan()

    def _look(self) -> None:
        """Notice what was drawn; a long layer made elsewhere is looked through in slices."""
        until = time.perf_counter() + SLICE
        for _ in self.notice():
            if time.perf_counter() > until:
                self._timer.start()
                return
        self._settle()
        if "masks" in self.indices:  # so that `read` is quick
            self._reading.drop()
            self._reading.start(self.indices["masks"].remember())

    def _settle(self) -> None:
        """Look at everything now."""
        self._timer.stop()
        try:
            for _ in self.notice():
                pass
        except MaskTrackError as error:
            self.problem.emit(str(error))
        self._note_changes()

    def _note_changes(self) -> None:
        """Take note of what was found changed, and of what was touched; the rest is looked at in slices."""
        before = self._painted
        try:
            for role, index in self.indices.items():
                changed, known = index.settle(), index.known
                for frame in changed:
                    labels = {*before.get(frame, ()), *known.get(frame, ())}
                    self.corrected |= {(frame, label) for label in labels}
                    self.edited.emit(role, frame)
            self._painted = self._all_painted()
            self._settle_shapes()
            self.colours.refresh()
        except MaskTrackError as error:
            self.problem.emit(str(error))
        self.changed.emit()

    def _all_painted(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, set[int]] = defaultdict(set)
        for index in self.indices.values():
            for frame, labels in index.known.items():
                found[frame] |= set(labels)
        return {frame: tuple(sorted(labels)) for frame, labels in sorted(found.items())}

    def _settle_shapes(self) -> None:
        layer = self.layers.get("shapes")
        shapes = read_shapes(layer, self.view) if isinstance(layer, Shapes) else ()
        if shapes != self._shapes:
            changed = set(shapes) ^ set(self._shapes)
            self.corrected |= {(shape.frame, shape.label) for shape in changed}
            self._shapes = shapes
            self.edited.emit("shapes", None)

    def _soon(self, _event: Any = None) -> None:
        """Look after a pause; a long stroke does not put it off."""
        if not self._timer.isActive():
            self._timer.start()

    def _follow_label(self, event: Any = None) -> None:
        """Draw the object that was picked in napari's own controls."""
        label = int(event.source.selected_label)
        if label and label != self.label and not self.colours.giving:
            self.label = label
            shapes = self.layers.get("shapes")
            if shapes is not None:
                choose_object(label, [shapes], colour=self.colour(label))
            self.changed.emit()
