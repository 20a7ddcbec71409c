"""Let the network turn the boxes on a frame into masks; what is painted already stays as it is."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.errors import AnnotationError
from napari_masktrack.layers.reading import numbered_shapes
from napari_masktrack.widgets.drawings import Drawings

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock


def box_to_mask(dock: "MaskTrackDock") -> None:
    """Put a mask in the place of each box on the frame that is shown.

    Raises
    ------
    AnnotationError
        There is no box, or masks cannot be painted on the layer of masks.
    """
    view, drawings = dock.workspace.require_movie(), dock.workspace.require_drawings()
    frame = dock.workspace.frame
    drawings.settle()
    boxes = [shape for shape in drawings.shapes if shape.frame == frame and shape.kind == "rectangle"]
    if frame is None or not boxes:
        raise AnnotationError("There is no box on this frame; press 'Box' and draw one around the object.")
    here = Annotations(box.annotation(view.movie.shape) for box in boxes)
    drawings.check_paintable(here.labels)
    elsewhere = [item for item in drawings.read().items if item.frame != frame and item.label in here.labels]
    annotations = Annotations([*here.items, *elsewhere])  # what is known of the objects already
    settings = replace(dock.propagate.value(), edges=False, crf=False)  # neither moves the outline in a box
    plan = dock.commands.plan(annotations=annotations, propagation=settings)
    plan = replace(plan, frames=range(frame, frame + 1), crf_search=None)

    def take(item: Any) -> None:
        if not hasattr(item, "labels"):
            return
        dock.runner.advance()
        for label in here.labels:
            if not drawings.fill(frame, np.where(item.labels == label, label, 0)):
                dock.complain(f"The network finds nothing unpainted in the box of object {label}; paint it.")
                continue
            remove_boxes(drawings, frame, label)
        drawings.settle()
        drawings.viewer.layers.selection.active = drawings.layers["masks"]

    dock.runner.start(lambda: dock.runner.engine.run(plan), "box to mask", take)


def remove_boxes(drawings: Drawings, frame: int, label: int) -> None:
    """Take the boxes of an object off a frame."""
    layer = drawings.layers.get("shapes")
    if not isinstance(layer, Shapes):
        return
    layer.selected_data = {
        number
        for number, shape in numbered_shapes(layer, drawings.view).items()
        if (shape.frame, shape.label, shape.kind) == (frame, label, "rectangle")
    }
    layer.remove_selected()
