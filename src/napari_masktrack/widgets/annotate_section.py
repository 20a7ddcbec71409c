"""Draw objects: tools that make their layer by themselves, the list of objects, the annotated frames."""

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLabel, QWidget

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.layers.create import role_of
from napari_masktrack.widgets.drawings import Drawings
from napari_masktrack.widgets.form import explain
from napari_masktrack.widgets.frame_strip import FrameStrip
from napari_masktrack.widgets.layer_choice import LayerChoice
from napari_masktrack.widgets.object_table import Entry, ObjectTable
from napari_masktrack.widgets.section import Fold, Section, button

TOOLS = {
    "Paint": ("masks", "paint", "Paint the whole object on this frame"),
    "Box": ("shapes", "add_rectangle", "Draw a box around the object, then press 'Box to mask'"),
    "Polygon": ("shapes", "add_polygon", "Click around the object; a double click closes the outline"),
    "Scribble": ("scribbles", "paint", "Only a stroke on the object; strokes of others are background"),
    "Not object": (
        "beside",
        "paint",
        "A hollow stroke beside the object; on the same frame paint or scribble it, too",
    ),
}
"""Tool to the role of its layer, the layer's mode and what it is for."""
TOOLS_PER_LINE = 3
LAYER_TITLES = {
    "masks": "Painted masks",
    "shapes": "Boxes, polygons",
    "scribbles": "Scribbles",
    "beside": "Not object",
}


class AnnotateSection(Section):
    """Everything to say what the objects are.

    Attributes
    ----------
    asked : Signal(str)
        What the dock is to do: 'box to mask', 'import', 'use result', 'next'.
    went : Signal(int)
        A frame to go to.
    """

    asked = Signal(str)
    went = Signal(int)
    problem = Signal(str)

    def __init__(self, viewer: ViewerModel, frame: Callable[[], int | None]) -> None:
        super().__init__()
        self._viewer, self._frame = viewer, frame
        self._drawings: Drawings | None = None
        self.tools = {
            title: button(title, tooltip, lambda title=title: self._attempt(lambda: self._use(title)))
            for title, (_, _, tooltip) in TOOLS.items()
        }
        made = list(self.tools.values())
        self.line(*made[:TOOLS_PER_LINE])
        self.line(*made[TOOLS_PER_LINE:])
        self.table = ObjectTable()
        self.rows.addWidget(self.table)
        self.new = button("New object", "Draw another object, on any frame", self._new_object)
        self.absent = QCheckBox("Absent here")
        explain(self.absent, "The chosen object is not on this frame", "Absent on this frame")
        self.line(self.new, self.absent)
        self.strip = FrameStrip()
        self.rows.addWidget(QLabel("Your frames (click to go there)"))
        self.rows.addWidget(self.strip)
        self._add_actions()
        self.choices = {role: self._choice(role) for role in LAYER_TITLES}
        layers = QWidget()
        form = QFormLayout(layers)
        form.setContentsMargins(0, 0, 0, 0)
        for role, choice in self.choices.items():
            form.addRow(LAYER_TITLES[role], choice)
        self.rows.addWidget(
            Fold(
                "Layers", layers, tooltip="Which layers are drawn on; yours can be taken over", is_open=False
            )
        )
        self._connect()

    def set_drawings(self, drawings: Drawings | None) -> None:
        """Show the drawings of another movie."""
        self._drawings = drawings
        self.setEnabled(drawings is not None)
        if drawings is not None:
            drawings.changed.connect(self.refresh)
            self._attempt(drawings.take_own)
        self.refresh()

    def release(self) -> None:
        """Stop following the viewer."""
        for choice in self.choices.values():
            choice.release()

    def refresh(self) -> None:
        """Show what is drawn now."""
        drawings = self._drawings
        if drawings is None:
            self.table.set_value((), 0)
            self.strip.set_value(())
            return
        for role, choice in self.choices.items():
            choice.blockSignals(True)
            choice.set_value(drawings.layers.get(role))
            choice.blockSignals(False)
        entries = [
            Entry(
                label,
                drawings.names.get(label, ""),
                frames,
                drawings.colour(label),
                label not in drawings.colours.hidden,
            )
            for label, frames in drawings.objects.items()
        ]
        self.table.set_value(entries, drawings.label)
        self.strip.set_value(drawings.frames)
        self.show_frame()

    def show_frame(self) -> None:
        """Follow the viewer to another frame."""
        frame = self._frame()
        self.strip.mark(frame)
        self.absent.blockSignals(True)
        drawings = self._drawings
        self.absent.setChecked(drawings is not None and (frame, drawings.label) in drawings.absent)
        self.absent.setEnabled(drawings is not None and frame is not None)
        self.absent.blockSignals(False)
        if drawings is not None and frame is None:
            self._put_down(drawings)

    def _put_down(self, drawings: Drawings) -> None:
        """Put the brush down where there is no frame to draw on: napari would paint elsewhere, or fail."""
        layers: list[Any] = list(drawings.layers.values())
        in_hand = [each for each in layers if each.mode not in ("pan_zoom", "transform")]
        for layer in in_hand:
            layer.mode = "pan_zoom"
        if in_hand:
            name = drawings.view.name
            self.problem.emit(
                f"What is shown is no frame of {name!r}; press Paint or another tool to go there."
            )

    def _add_actions(self) -> None:
        self.box_to_mask = button(
            "Box to mask",
            "The network turns the boxes on this frame into masks, which you can correct",
            lambda: self.asked.emit("box to mask"),
        )
        self.use_result = button(
            "Use result (J)",
            "Take the result of this frame over as your annotation, to correct it (key J)",
            lambda: self.asked.emit("use result"),
            name="Use this frame of the result as annotation",
        )
        self.import_masks = button(
            "Import\N{HORIZONTAL ELLIPSIS}",
            "Masks drawn elsewhere: PNG masks (choose one or several), a label stack, or boxes as CSV",
            lambda: self.asked.emit("import"),
            name="Import masks",
        )
        self.line(self.box_to_mask, self.use_result, self.import_masks)

    def _choice(self, role: str) -> LayerChoice:
        kinds = Shapes if role == "shapes" else Labels
        return LayerChoice(
            self._viewer,
            kinds,
            title=LAYER_TITLES[role],
            tooltip="Made when you draw; or choose a layer of yours to take it over",
            nothing="(made when you draw)",
            accept=lambda layer: role_of(layer) == role,
        )

    def _connect(self) -> None:
        self.table.chosen.connect(lambda label: self._tell(lambda drawings: drawings.choose(label)))
        self.table.renamed.connect(
            lambda label, name: self._tell(lambda drawings: drawings.rename(label, name))
        )
        self.table.shown.connect(
            lambda label, on: self._tell(lambda drawings: drawings.show(label, visible=on))
        )
        self.strip.chosen.connect(self.went)
        self.absent.toggled.connect(self._mark_absent)
        for role, choice in self.choices.items():
            choice.changed.connect(lambda layer, role=role: self._take(role, layer))

    def _take(self, role: str, layer: Layer | None) -> None:
        self._tell(lambda drawings: drawings.take(role, layer))

    def _use(self, title: str) -> None:
        if self._drawings is None:
            return
        role, mode, _ = TOOLS[title]
        if self._frame() is None:  # beside the movie, or on another plane: strokes would go astray
            self._drawings.view.go_to(self._viewer.dims)
        layer: Any = self._drawings.ensure(role)
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = mode
        self._drawings.choose(self._drawings.label)
        self._drawings.show(self._drawings.label, visible=True)  # strokes that are not seen go astray

    def _new_object(self) -> None:
        self._tell(Drawings.new_object)

    def _mark_absent(self, checked: bool) -> None:
        drawings, frame = self._drawings, self._frame()
        if drawings is not None and frame is not None:
            self._attempt(lambda: drawings.set_absent(frame, drawings.label, absent=checked))
            self.show_frame()

    def _tell(self, act: Callable[[Drawings], Any]) -> None:
        """Ask the drawings for something, if there is a movie."""
        drawings = self._drawings
        if drawings is not None:
            self._attempt(lambda: act(drawings))

    def _attempt(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except MaskTrackError as error:
            self.problem.emit(str(error))
