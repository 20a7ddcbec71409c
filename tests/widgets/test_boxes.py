"""Boxes that became masks are taken away, and no other shape."""

import numpy as np
from napari.components import ViewerModel

from napari_masktrack.layers import LayerAxes, LayerMovie
from napari_masktrack.widgets.boxes import remove_boxes
from napari_masktrack.widgets.drawings import Drawings


def box(frame, plane, y0):
    """Give the corners of a box on a plane of a volume."""
    return np.array([(frame, plane, y, x) for y, x in ((y0, 3), (y0, 9), (y0 + 6, 9), (y0 + 6, 3))], float)


def test_boxes_on_other_planes_stay(qapp):
    viewer = ViewerModel()
    volume = viewer.add_image(np.zeros((4, 5, 20, 30), np.uint8), name="volume")
    view = LayerMovie(volume, LayerAxes(frame=0, planes={1: 2}))
    drawings = Drawings(viewer, view)
    shapes = drawings.ensure("shapes")
    moved = -int(shapes.translate[1])
    for plane, y0 in ((4, 1), (2, 2), (2, 12), (0, 3)):
        shapes.add(box(1 if y0 != 12 else 3, plane + moved, y0), shape_type="rectangle")
    drawings.settle()
    assert [shape.frame for shape in drawings.shapes] == [1, 3]
    remove_boxes(drawings, 1, 1)
    assert sorted(float(each[0, 2]) for each in shapes.data) == [1, 3, 12]
    drawings.release()
