"""A list of the viewer's layers of some kinds, kept up to date."""

from collections.abc import Callable, Sequence
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Signal

from napari_masktrack.layers.create import notes_of
from napari_masktrack.widgets.form import Choice, explain


class LayerChoice(Choice):
    """Choose a layer; `value` and `set_value` speak of layers, None is the first entry if there is one.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    kinds : type or tuple of types
        Layer classes that are listed.
    title, tooltip : str
    nothing : str
        Entry for no layer; without it, where none is chosen yet, the one that is selected in the viewer is
        chosen, or the one that what is selected was made for, else the newest.
    accept : callable, optional
        Takes a layer and tells whether it is listed.
    """

    changed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        kinds: Any,
        *,
        title: str,
        tooltip: str,
        nothing: str = "",
        accept: Callable[[Layer], bool] = lambda _: True,
    ) -> None:
        super().__init__()
        self._viewer, self._kinds, self._nothing, self._accept = viewer, kinds, nothing, accept
        self._layers: list[Layer | None] = []
        explain(self, tooltip, title)
        for event in self._events:
            event.connect(self._update)
        self._update()
        self.currentIndexChanged.connect(lambda _: self.changed.emit(self.value()))

    @property
    def _events(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.reordered

    def value(self) -> Layer | None:
        """Give the chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def set_value(self, layer: Layer | None) -> None:
        """Choose a layer; one that is not listed changes nothing."""
        if any(each is layer for each in self._layers):
            self.setCurrentIndex(next(i for i, each in enumerate(self._layers) if each is layer))

    def release(self) -> None:
        """Stop following the viewer."""
        for event in self._events:
            event.disconnect(self._update)
        for layer in self._layers:
            if layer is not None:
                layer.events.name.disconnect(self._update_names)

    def _update(self, _event: Any = None) -> None:
        chosen = self.value()
        for layer in self._layers:
            if layer is not None:
                layer.events.name.disconnect(self._update_names)
        layers = self._viewer.layers
        listed = [layer for layer in layers if isinstance(layer, self._kinds) and self._accept(layer)]
        self._layers = [None, *listed] if self._nothing or not listed else listed
        for layer in listed:
            layer.events.name.connect(self._update_names)
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            self.addItem((self._nothing or "none yet") if layer is None else layer.name)
        if listed and not self._nothing and not any(each is chosen for each in listed):
            self.set_value(self._likely(listed))
        else:
            self.set_value(chosen)
        self.blockSignals(False)
        if self.value() is not chosen:
            self.changed.emit(self.value())

    def _likely(self, listed: Sequence[Layer]) -> Layer:
        """Give the layer that the user probably means: it or masks on it are selected; else the newest."""
        active = self._viewer.layers.selection.active
        movie = None if active is None else notes_of(active).get("layer")
        return next((each for each in listed if each is active or str(each.unique_id) == movie), listed[-1])

    def _update_names(self, _event: Any = None) -> None:
        for index, layer in enumerate(self._layers):
            if layer is not None:
                self.setItemText(index, layer.name)
