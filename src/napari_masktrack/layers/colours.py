"""One colour per object on all layers of a movie, also for objects that are hidden for a while."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_masktrack.layers.create import give_colormap, give_colours, role_of

Colour = tuple[float, ...]


class ObjectColours:
    """The colours of a movie's objects, and which of them are hidden; only for the main thread.

    The layers show an object alike. When the user gives one of them other colours, all follow.

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
        self._layers: list[Labels] = []
        self.colormap: Any = Labels(np.zeros((1, 1), np.uint8)).colormap
        self._given: frozenset[int] = frozenset()

    def colour(self, label: int) -> Colour:
        """Give red, green, blue and alpha of an object as it is drawn when it is shown."""
        return tuple(float(part) for part in np.ravel(self.colormap.map(label)))

    def follow(self, layers: Iterable[Labels]) -> None:
        """Colour these layers from now on; those that are left show all objects again."""
        former, self._layers = self._layers, list(layers)
        for layer in former:
            if not _among(layer, self._layers):
                layer.events.colormap.disconnect(self._take_over)
                if self.hidden:
                    give_colormap(layer, self.colormap)
        new = [layer for layer in self._layers if not _among(layer, former)]
        self._give(new)
        for layer in new:
            layer.events.colormap.connect(self._take_over)

    def lead(self, layer: Labels) -> None:
        """Colour all objects as this layer does."""
        self.colormap = copy.deepcopy(layer.colormap)
        self.colormap.use_selection = False
        self._give([each for each in self._layers if self.hidden or each is not layer])

    def show(self, label: int, *, visible: bool) -> None:
        """Show or hide an object on all layers."""
        self.hidden = self.hidden - {label} if visible else self.hidden | {label}
        self._give(self._layers)

    def refresh(self) -> None:
        """Colour objects that came up since something was hidden."""
        if self.hidden and not self._ids() <= self._given:
            self._give(self._layers)

    def _take_over(self, event: Any) -> None:
        if not self.giving:
            self.lead(event.source)

    def _give(self, layers: Iterable[Labels]) -> None:
        self.giving, before = True, self.giving
        try:
            self._given = self._ids()
            table = {each: (*self.colour(each)[:3], float(each not in self.hidden)) for each in self._given}
            for layer in layers:
                if self.hidden:
                    give_colours([layer], table)
                else:
                    give_colormap(layer, self.colormap)
        finally:
            self.giving = before

    def _ids(self) -> frozenset[int]:
        """Give all ids that some layer may show, as far as that is known."""
        results = [layer for layer in self._layers if role_of(layer) == "result"]
        found = {int(label) for layer in results for label in layer.features.get("label", ())}
        found |= {layer.selected_label for layer in self._layers}
        found |= {label for label in getattr(self.colormap, "color_dict", {}) if label}
        return frozenset({*found, *self._known(), *self.hidden} - {0})


def _among(layer: Labels, layers: Iterable[Labels]) -> bool:
    return any(layer is each for each in layers)
