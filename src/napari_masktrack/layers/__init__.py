"""napari layers and our types: movies, annotations, results and sessions; napari without Qt.

Everything here runs on the main thread. What it gives to the engine (`Movie`, `Annotations`) may
be used in any thread.
"""

from napari_masktrack.layers.axes import AxesGuess, LayerAxes, guess_axes
from napari_masktrack.layers.colours import ObjectColours, colours_of, give_colours
from napari_masktrack.layers.create import (
    absent_marks,
    add_shapes,
    choose_object,
    mark_absent,
    new_labels,
    new_shapes,
    notes_of,
    paint_frame,
    role_of,
)
from napari_masktrack.layers.description import describe_layer
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.movie import LayerMovie, Layout, movie_of
from napari_masktrack.layers.probability import ProbabilityStore
from napari_masktrack.layers.reading import read_annotations, read_shapes
from napari_masktrack.layers.result import ResultStore
from napari_masktrack.layers.session import SessionLink, restore_layers

__all__ = [
    "AnnotationIndex",
    "AxesGuess",
    "LayerAxes",
    "LayerMovie",
    "Layout",
    "ObjectColours",
    "ProbabilityStore",
    "ResultStore",
    "SessionLink",
    "absent_marks",
    "add_shapes",
    "choose_object",
    "colours_of",
    "describe_layer",
    "give_colours",
    "guess_axes",
    "mark_absent",
    "movie_of",
    "new_labels",
    "new_shapes",
    "notes_of",
    "paint_frame",
    "read_annotations",
    "read_shapes",
    "restore_layers",
    "role_of",
]
