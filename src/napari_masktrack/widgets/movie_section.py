"""Which layer is the movie, and what its axes mean."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.layers.axes import AxesGuess, LayerAxes, axis_name, full_resolution, guess_axes, middle
from napari_masktrack.layers.create import notes_of, role_of
from napari_masktrack.layers.movie import LayerMovie, shown_at
from napari_masktrack.layers.notes import remember_view, remembered_view
from napari_masktrack.widgets.form import Choice, WholeNumber, explain
from napari_masktrack.widgets.layer_choice import LayerChoice
from napari_masktrack.widgets.section import Section, note

COLOURS = 3
"""So many channels the network can look at together."""


class MovieSection(Section):
    """Choose the image layer; its axes are guessed, shown and can be changed.

    A layer that was the movie before is seen as it was then. Of an axis that is held at one plane, the
    guess is the plane that the viewer shows.

    Attributes
    ----------
    changed : Signal(object)
        The movie, a `LayerMovie`, or None.
    """

    changed = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._view: LayerMovie | None = None
        self._followed: Image | None = None
        self.layer = LayerChoice(
            viewer,
            Image,
            title="Image layer",
            tooltip="The movie or stack whose objects are to be tracked",
            accept=lambda layer: role_of(layer) is None,
        )
        self.frame_axis, self.channel_axis, self.channel = Choice(), Choice(), Choice()
        explain(
            self.frame_axis, "The axis along which masks are carried: time or depth", "Time or depth axis"
        )
        explain(self.channel_axis, "The axis of channels, if there is one", "Channel axis")
        explain(self.channel, "What the network looks at; up to three channels together", "Channel")
        self.planes: dict[int, WholeNumber] = {}
        self._form = self.form()
        for title, control in (
            ("Image", self.layer),
            ("Time or depth", self.frame_axis),
            ("Channels", self.channel_axis),
            ("Look at", self.channel),
        ):
            self._form.addRow(title, control)
        self.reason = note()
        self.rows.addWidget(self.reason)
        self.layer.changed.connect(self._choose)
        for axis in (self.frame_axis, self.channel_axis):
            axis.currentIndexChanged.connect(lambda _: self._take())
        self.channel.currentIndexChanged.connect(lambda _: self._read())
        self._choose(self.layer.value())

    def value(self) -> LayerMovie | None:
        """Give the movie; None while there is none, or the axes make no sense."""
        return self._view

    def set_value(self, view: LayerMovie) -> None:
        """Choose a layer, its axes and channels."""
        remember_view(view)
        if self.layer.value() is view.layer:
            self._guess(view.layer)
        else:
            self.layer.set_value(view.layer)

    def release(self) -> None:
        """Stop following the viewer."""
        self.layer.release()
        self._follow_pixels(None)

    def _choose(self, layer: Image | None) -> None:
        self._follow_pixels(layer)
        self._guess(layer)

    def _follow_pixels(self, layer: Image | None) -> None:
        """Notice when somebody gives this layer another array, and no other one any more."""
        if self._followed is not None:
            self._followed.events.data.disconnect(self._take_pixels)
        if layer is not None:
            layer.events.data.connect(self._take_pixels)
        self._followed = layer

    def _take_pixels(self, _event: Any = None) -> None:
        """Begin anew with the layer's other pixels: another movie, whose work is kept apart."""
        if self._view is None or not self._view.is_current:
            if self._followed is not None:
                notes_of(self._followed).pop("sessions", None)  # those of all planes
            self._guess(self._followed)

    def _guess(self, layer: Image | None) -> None:
        self._set_reason("Open an image or drop one on the window." if layer is None else "")
        for row in (self.frame_axis, self.channel_axis, self.channel):
            row.setEnabled(layer is not None)
        if layer is None:
            self._publish(None)
            return
        try:
            guess, channel = self._proposed(layer)
        except MaskTrackError as error:
            self._fail(error)
            return
        self._show(layer, guess.axes, channel)
        self._read()
        if self._view is not None:
            self._set_reason(guess.reason if guess.certain else f"Please check: {guess.reason}")

    def _proposed(self, layer: Image) -> tuple[AxesGuess, int | None]:
        """Give axes and channel as the layer was seen last, else a guess."""
        seen = remembered_view(layer)
        if seen is not None:
            return AxesGuess(seen[0], "As you chose before.", certain=True), seen[1]
        guess = guess_axes(layer)
        held = self._planes(layer, guess.axes.planes)
        return replace(guess, axes=replace(guess.axes, planes=held)), None

    def _planes(self, layer: Image, axes: Iterable[int]) -> dict[int, int]:
        """Hold axes at the planes that the viewer shows; at the middle what it shows whole, or not at all."""
        shape, shown = full_resolution(layer).shape, shown_at(layer, self._viewer.dims)
        return {
            axis: shown[axis] if 0 <= shown.get(axis, -1) < shape[axis] else middle(shape[axis])
            for axis in axes
        }

    def _show(self, layer: Image, axes: LayerAxes, channel: int | None) -> None:
        """Fill the controls."""
        shape = full_resolution(layer).shape
        for box, chosen, none in (
            (self.frame_axis, axes.frame, "a single image"),
            (self.channel_axis, axes.channel, "none"),
        ):
            box.blockSignals(True)
            box.clear()
            box.addItem(none, None)
            for axis, size in enumerate(shape):
                box.addItem(f"axis {axis}{_named(layer, axis)}: {size} long", axis)
            box.setCurrentIndex(0 if chosen is None else box.findData(chosen))
            box.setEnabled(not (layer.rgb and box is self.channel_axis))
            box.blockSignals(False)
        self._show_planes(shape, axes)
        self._show_channels(shape, axes.channel, is_rgb=layer.rgb, chosen=channel)

    def _show_planes(self, shape: tuple[int, ...], axes: LayerAxes) -> None:
        for control in self.planes.values():
            self._form.removeRow(control)
        self.planes = {}
        for axis, plane in sorted(axes.planes.items()):
            spin = WholeNumber()
            spin.setRange(0, shape[axis] - 1)
            spin.setValue(plane)
            explain(spin, f"Axis {axis} is held at this index", f"Plane of axis {axis}")
            spin.valueChanged.connect(lambda _: self._change_plane())
            self.planes[axis] = spin
            title = QLabel(f"Plane of axis {axis}")
            self._form.addRow(title, spin)
            self._hide(spin, hidden=shape[axis] == 1)

    def _change_plane(self) -> None:
        """Work on another plane, and show it."""
        self._read()
        if self._view is not None:
            self._view.go_to(self._viewer.dims)

    def _show_channels(
        self, shape: tuple[int, ...], axis: int | None, *, is_rgb: bool, chosen: int | None = None
    ) -> None:
        box = self.channel
        count = 0 if axis is None else shape[axis]
        box.blockSignals(True)
        box.clear()
        if count <= COLOURS or is_rgb:
            box.addItem("all channels", None)
        for channel in range(count if count > 1 else 0):
            box.addItem(f"channel {channel}", channel)
        box.setCurrentIndex(max(box.findData(chosen), 0))
        box.blockSignals(False)
        self._hide(box, hidden=count < 2)
        self._hide(self.channel_axis, hidden=len(shape) < 4 and axis is None)

    def _take(self) -> None:
        """Follow a change of the axes: what is left over is held at the plane that is shown."""
        layer = self.layer.value()
        if layer is None:
            return
        shape = full_resolution(layer).shape
        frame, channel = self.frame_axis.currentData(), self.channel_axis.currentData()
        left = [axis for axis in range(len(shape)) if axis not in (frame, channel)]
        axes = LayerAxes(frame=frame, channel=channel, planes=self._planes(layer, left[:-2]))
        same = self._view is not None and self._view.axes.channel == channel
        looked_at = self.channel.currentData() if same else None
        self._show_planes(shape, axes)
        self._show_channels(shape, channel, is_rgb=layer.rgb, chosen=looked_at)
        self._read()

    def _read(self) -> None:
        layer = self.layer.value()
        if layer is None:
            return
        axes = LayerAxes(
            frame=self.frame_axis.currentData(),
            channel=self.channel_axis.currentData(),
            planes={axis: control.value() for axis, control in self.planes.items()},
        )
        try:
            view = LayerMovie(layer, axes, channels=self.channel.currentData())
        except MaskTrackError as error:
            self._fail(error)
            return
        frames, (height, width) = len(view), view.movie.shape
        self._set_reason(f"{frames} frame(s) of {height} x {width} pixels.")
        remember_view(view)
        self._publish(view)

    def _fail(self, error: MaskTrackError) -> None:
        self._publish(None)
        self._set_reason(f"\N{WARNING SIGN} {error}")

    def _publish(self, view: LayerMovie | None) -> None:
        self._view = view
        self.changed.emit(view)

    def _set_reason(self, text: str) -> None:
        self.reason.setText(text)

    def _hide(self, control: Any, *, hidden: bool) -> None:
        control.setVisible(not hidden)
        label = self._form.labelForField(control)
        if isinstance(label, QLabel):
            label.setVisible(not hidden)


def _named(layer: Image, axis: int) -> str:
    """Give an axis' name in brackets, if it has one."""
    name = axis_name(layer, axis)
    return f" ({name})" if name else ""
