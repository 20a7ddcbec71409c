"""One colour per object on all layers of a movie, also for objects that are hidden for a while."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Shapes
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

from napari_masktrack.layers.create import role_of

Colour = tuple[float, ...]

VEIL = 1 / 1024
"""Factor of the opacity of hidden shapes: they are not seen, and what they had can be told from it."""


def colours_of(layer: Labels, labels: Iterable[int]) -> dict[int, tuple[float, ...]]:
    """Give red, green, blue and alpha of objects as a label layer shows them."""
    colormap = copy.deepcopy(layer.colormap)
    colormap.use_selection = False
    return {label: tuple(float(part) for part in colormap.map(label)) for label in labels}


def give_colours(layers: Iterable[Labels], colours: Mapping[int, Iterable[float]]) -> None:
    """Show objects in chosen colours; ids that are not among them become white."""
    table: dict[int | None, Any] = {0: "transparent", None: "white"}
    table |= {label: np.array(list(colour), float) for label, colour in colours.items()}
    for layer in layers:
        give_colormap(layer, DirectLabelColormap(color_dict=table))


def give_colormap(layer: Labels, colormap: CyclicLabelColormap | DirectLabelColormap) -> None:
    """Show the objects of a layer in these colours, still all of them or only the chosen one."""
    own = copy.deepcopy(colormap)
    own.use_selection = layer.show_selected_label
    own.selection = layer.selected_label
    layer.colormap = own


class ObjectColours:
    """The colours of a movie's objects, and which of them are hidden; only for the main thread.

    The layers show an object alike. When the user gives a label layer other colours, all follow. Shapes
    have the colour of their object as edge, and keep their opacity.

    Parameters
    ----------
    known : callable
        Gives the ids of the objects.

    Attributes
    ----------
    hidden : frozenset of int
        Objects that the layers do not show.
    colormap : napari colormap
        Of all objects when they are shown.
    giving : bool
        Whether layers are being coloured now, so that what they announce is not the user's doing.
    """

    def __init__(self, known: Callable[[], Iterable[int]]) -> None:
        self._known = known
        self.hidden: frozenset[int] = frozenset()
        self.giving = False
        self._layers: list[Labels | Shapes] = []
        self.colormap: Any = Labels(np.zeros((1, 1), np.uint8)).colormap
        self._given: frozenset[int] = frozenset()

    def colour(self, label: int) -> Colour:
        """Give red, green, blue and alpha of an object as it is drawn when it is shown."""
        return tuple(float(part) for part in np.ravel(self.colormap.map(label)))

    def follow(self, layers: Iterable[Labels | Shapes]) -> None:
        """Colour these layers from now on; those that are left show all objects again."""
        former, self._layers = self._layers, list(layers)
        left = [layer for layer in former if not _among(layer, self._layers)]
        new = [layer for layer in self._layers if not _among(layer, former)]
        for layer in left:
            if isinstance(layer, Labels):
                layer.events.colormap.disconnect(self._take_over)
        if self.hidden:
            self._give(left, hidden=frozenset())
        self._give(new, hidden=self.hidden)
        for layer in new:
            if isinstance(layer, Labels):
                layer.events.colormap.connect(self._take_over)
        self._given = frozenset()  # the other layers may not have the objects of the new ones yet

    def lead(self, layer: Labels) -> None:
        """Colour all objects as this layer does."""
        self.colormap = copy.deepcopy(layer.colormap)
        self.colormap.use_selection = False
        self._give([each for each in self._layers if self.hidden or each is not layer], hidden=self.hidden)

    def show(self, label: int, *, visible: bool) -> None:
        """Show or hide an object on all layers."""
        if visible == (label not in self.hidden):
            return
        self.hidden = self.hidden - {label} if visible else self.hidden | {label}
        for layer in self._layers:
            if isinstance(layer, Shapes):  # napari frames what is selected
                layer.selected_data = set()
        self._give(self._layers, hidden=self.hidden)

    def refresh(self) -> None:
        """Colour what came up since: shapes that were drawn, objects while others are hidden."""
        new = bool(self.hidden) and not self._ids() <= self._given
        self._give([each for each in self._layers if new or isinstance(each, Shapes)], hidden=self.hidden)

    def _take_over(self, event: Any) -> None:
        if not self.giving:
            self.lead(event.source)

    def _give(self, layers: Iterable[Labels | Shapes], *, hidden: frozenset[int]) -> None:
        self.giving, before = True, self.giving
        try:
            self._given = self._ids() if hidden else frozenset()
            table = {each: (*self.colour(each)[:3], float(each not in hidden)) for each in self._given}
            for layer in layers:
                if isinstance(layer, Shapes):
                    self._give_shapes(layer, hidden)
                elif hidden:
                    give_colours([layer], table)
                else:
                    give_colormap(layer, self.colormap)
        finally:
            self.giving = before

    def _give_shapes(self, layer: Shapes, hidden: frozenset[int]) -> None:
        labels = _labels_of(layer)
        edges, faces = (np.array(each, float).reshape(-1, 4) for each in (layer.edge_color, layer.face_color))
        now = edges.copy(), faces.copy()
        for number, label in enumerate(labels):
            if label:
                edges[number, :3] = self.colour(label)[:3]
                for colours in (edges, faces):
                    colours[number, 3] = _veiled(colours[number, 3], veiled=label in hidden)
        if not np.allclose(edges, now[0], atol=1e-6):
            layer.edge_color = edges
        if not np.allclose(faces, now[1], atol=1e-6):
            layer.face_color = faces

    def _ids(self) -> frozenset[int]:
        """Give all ids that some layer may show, as far as that is known."""
        painted = [layer for layer in self._layers if isinstance(layer, Labels)]
        results = [layer for layer in painted if role_of(layer) == "result"]
        found = {int(label) for layer in results for label in layer.features.get("label", ())}
        found |= {layer.selected_label for layer in painted}
        found |= {label for label in getattr(self.colormap, "color_dict", {}) if label}
        return frozenset({*found, *self._known(), *self.hidden} - {0})


def _among(layer: Labels | Shapes, layers: Iterable[Labels | Shapes]) -> bool:
    return any(layer is each for each in layers)


def _veiled(opacity: float, *, veiled: bool) -> float:
    """Give an opacity that is seen or not; one of nothing stays so."""
    if veiled:
        return opacity if opacity <= VEIL else opacity * VEIL
    return opacity / VEIL if opacity <= VEIL else opacity


def _labels_of(layer: Shapes) -> list[int]:
    """Give the object of each shape; 0 where none is said."""
    found = []
    for value in layer.features.get("label", [0] * len(layer.data)):
        try:
            found.append(max(int(value), 0))
        except (TypeError, ValueError):  # a column of the user's
            found.append(0)
    return found
