"""Layers to draw on and to show results in, and what is drawn into them by the program."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from numpy.typing import NDArray

from napari_masktrack.errors import AnnotationError, ConfigError
from napari_masktrack.io.masks import check_ids
from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.layers.frames import FrameArray, SparseFrames
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.placement import align, over

NAMES = {
    "masks": "{} masks",
    "scribbles": "{} scribbles",
    "beside": "{} not object",
    "shapes": "{} shapes",
    "result": "{} result",
    "probability": "{} probability",
}
"""Roles of layers, and how a layer is named after its movie."""

HOLLOW = 2
"""Pixels of the outline of strokes that say what is not the object: told by more than colour."""

SPARSE_FROM = 2**28
"""Bytes from which on a label array keeps only its painted frames."""

_KEY = "masktrack"
_SIGNED = "signed"  # by the layer to which the notes belong, with its id
_NOT_COPIED = ("session", "sessions", "problems")


def notes_of(layer: Layer) -> dict[str, Any]:
    """Give what this plugin keeps in a layer's metadata; may be written into.

    napari hands a layer's metadata to its copy as they are, so that both would write into the same
    notes. Notes that another layer signed are therefore copied, without what is true of that layer
    only: in which session it is.
    """
    notes: dict[str, Any] = layer.metadata.setdefault(_KEY, {})
    if notes.get(_SIGNED, str(layer.unique_id)) != str(layer.unique_id):
        notes = deepcopy({name: value for name, value in notes.items() if name not in _NOT_COPIED})
        notes[_SIGNED] = str(layer.unique_id)
        layer.metadata[_KEY] = notes
    return notes


def sign_notes(layer: Layer) -> None:
    """Say that a layer's notes are its own; a copy that is made of it gets others."""
    if _KEY in layer.metadata:
        notes_of(layer)[_SIGNED] = str(layer.unique_id)


def _noted(layer: Layer) -> Mapping[str, Any]:
    """Give a layer's notes without making any."""
    return notes_of(layer) if _KEY in layer.metadata else {}


def role_of(layer: Layer) -> str | None:
    """Give a layer's role, a key of `NAMES`: as it was made, else masks or shapes by its kind; else None."""
    role = _noted(layer).get("role")
    if role is None and isinstance(layer, Labels | Shapes):
        return "masks" if isinstance(layer, Labels) else "shapes"
    return role if role in NAMES else None


def belonging(view: LayerMovie, role: str) -> dict[str, Any]:
    """Give name, notes and placement of a layer that belongs to a movie, as arguments for a new layer."""
    notes = {"role": role, **_origin(view)}
    return {"name": NAMES[role].format(view.name), "metadata": {_KEY: notes}, **over(view)}


def belongs_to(layer: Layer, view: LayerMovie, shown: Iterable[Layer]) -> bool:
    """Whether a layer was made here for a movie.

    It is told by the movie's layer, whatever that is called by now; by name if it was made for a layer
    that is gone, as one that was saved and opened again.

    Parameters
    ----------
    layer : napari layer
    view : LayerMovie
    shown : iterable of napari layers
        All that are in the viewer.
    """
    notes, movie = _noted(layer), _made_for(layer, shown)
    same = notes.get("movie") == view.movie.name if movie is None else movie is view.layer
    return same and bool(notes.get("axes", view.axes) == view.axes)


def claim(layer: Layer, view: LayerMovie, shown: Iterable[Layer]) -> None:
    """Note that a layer made here is this movie's, unless it is that of another movie in the viewer."""
    noted = _noted(layer)
    free = _made_for(layer, shown) in (None, view.layer) and noted.get("axes", view.axes) == view.axes
    if "movie" in noted and free:
        notes_of(layer).update(_origin(view))


def disclaim(layer: Layer) -> None:
    """Note that a layer is no movie's any more; the inverse of `claim`."""
    for name in ("movie", "layer"):
        notes_of(layer).pop(name, None)


def _origin(view: LayerMovie) -> dict[str, Any]:
    return {"movie": view.movie.name, "layer": str(view.layer.unique_id), "axes": view.axes}


def _made_for(layer: Layer, shown: Iterable[Layer]) -> Layer | None:
    """Give the movie's layer for which a layer was made; None if it is gone, or if nothing says which."""
    movie = _noted(layer).get("layer")
    return next((each for each in shown if str(each.unique_id) == movie), None)


def new_labels(
    view: LayerMovie, role: str = "masks", *, array: Any = None, sparse_from: int = SPARSE_FROM
) -> Labels:
    """Make a label layer that lies exactly over a movie, 16 bits, so that it holds every id.

    Parameters
    ----------
    view : LayerMovie
    role : str, default: "masks"
        A key of `NAMES`: 'masks' to paint whole objects, 'scribbles' for strokes on them, 'beside' for
        strokes that say where object k is not, 'result'.
    array : array-like, optional
        Of the view's `Layout`; empty if it is left out.
    sparse_from : int, optional
        Bytes from which on an empty array keeps only its painted frames.

    Returns
    -------
    napari.layers.Labels
        Not yet in a viewer.

    Raises
    ------
    ConfigError
        There is no such role.
    """
    if role not in NAMES or role in ("shapes", "probability"):
        raise ConfigError(f"A label layer cannot be {role!r}; use masks, scribbles, beside or result.")
    layout = view.layout
    if array is None:
        bytes_needed = 2 * int(np.prod(layout.shape, dtype=np.int64))
        sparse = bytes_needed > sparse_from
        array = FrameArray(layout, SparseFrames(layout.size)) if sparse else np.zeros(layout.shape, np.uint16)
    layer = Labels(array, **belonging(view, role))
    layer.contour = HOLLOW if role == "beside" else 0
    return layer


def new_shapes(view: LayerMovie) -> Shapes:
    """Make a shapes layer that lies exactly over a movie; each shape has its object's id as ``label``.

    Returns
    -------
    napari.layers.Shapes
        Not yet in a viewer. What is drawn next gets the id of `choose_object`.
    """
    return Shapes(
        ndim=view.layer.ndim,
        features={"label": np.empty(0, int)},
        feature_defaults={"label": 1},
        face_color="transparent",
        **belonging(view, "shapes"),
    )


def paint_frame(layer: Labels, view: LayerMovie, frame: int, image: NDArray[Any]) -> None:
    """Replace a frame of a layer to draw on, in one step that the user can undo.

    Parameters
    ----------
    layer : napari.layers.Labels
        Made by `new_labels` for this movie.
    view : LayerMovie
    frame : int
    image : array, (Y, X), bool or integer
        Ids from 0 to 65535.

    Raises
    ------
    AnnotationError
        Frame, size or ids do not fit, or the layer; see `check_paintable`.
    """
    if image.shape != view.layout.size:
        raise AnnotationError(
            f"An image of {image.shape} cannot be put into {layer.name!r}, whose frames have "
            f"{view.layout.size}; give one of the movie's size."
        )
    if not 0 <= frame < view.layout.frames:
        raise AnnotationError(f"There is no frame {frame} in {layer.name!r}; give 0 to {len(view) - 1}.")
    check_ids(image, f"The image for frame {frame}")
    check_paintable(layer, view, [int(image.max(initial=0))])
    layout = view.layout
    old = np.asarray(layer.data[layout.key(frame)])
    rows, columns = np.nonzero(old != image)
    if not rows.size:
        return
    place: list[NDArray[Any]] = [np.zeros_like(rows)] * len(layout.shape)
    place[layout.rows], place[layout.columns] = rows, columns
    if layout.frame is not None:
        place[layout.frame] = np.full_like(rows, frame)
    layer.data_setitem(tuple(place), image[rows, columns].astype(layer.data.dtype))


def check_paintable(layer: Labels, view: LayerMovie, labels: Iterable[int]) -> None:
    """Refuse a layer of the user into whose pixels those of the movie cannot be written as they are.

    Parameters
    ----------
    layer : napari.layers.Labels
    view : LayerMovie
    labels : iterable of int
        The ids that are to be painted.

    Raises
    ------
    AnnotationError
        It has another size, does not lie as the movie does, or its type does not hold an id; or its
        array takes no pixels: it is lazy, read-only or of several resolutions.
    """
    shape = tuple(layer.data.shape)
    advice = f"choose '(made when you draw)' under Layers, or a layer made for {view.movie.name!r}"
    if shape != view.layout.shape:
        raise AnnotationError(
            f"{layer.name!r} has shape {shape}, but layers to paint on have {view.layout.shape}; {advice}."
        )
    lies, last = align(layer, shape, view), len(view) - 1
    if not lies.is_plain or (lies.own_frame(0), lies.own_frame(last)) != (0, last):
        raise AnnotationError(
            f"{layer.name!r} is shifted or scaled against {view.layer.name!r}, so that nothing can be "
            f"painted into it from here; give it the movie's transform, or {advice}."
        )
    if not _takes_pixels(layer):
        raise AnnotationError(
            f"{layer.name!r} is lazy, read-only or of several resolutions, so that nothing can be painted "
            f"into it; {advice}."
        )
    _check_holds(layer, max(labels, default=0))


def _takes_pixels(layer: Labels) -> bool:
    """Whether the array of a layer can be written into, pixel by pixel."""
    if layer.multiscale:
        return False
    array: Any = layer.data
    if isinstance(array, np.ndarray):
        return bool(array.flags.writeable)
    lazy = callable(getattr(array, "__dask_graph__", None)) and array.__dask_graph__() is not None
    return hasattr(array, "__setitem__") and not lazy and not getattr(array, "read_only", False)


def add_shapes(layer: Shapes, view: LayerMovie, shapes: Iterable[DrawnShape]) -> None:
    """Draw shapes into a layer made by `new_shapes`, each with its id and width."""
    chosen = layer.feature_defaults
    for shape in shapes:
        corners = np.zeros((len(shape.vertices), view.layer.ndim))
        if view.layout.frame is not None:
            corners[:, view.layout.frame] = shape.frame
        corners[:, [view.layout.rows, view.layout.columns]] = shape.vertices
        layer.feature_defaults = {"label": shape.label}
        layer.add(corners, shape_type=shape.kind, edge_width=shape.width)
    layer.feature_defaults = chosen


def choose_object(label: int, layers: Iterable[Layer], *, colour: Iterable[float] | None = None) -> None:
    """Draw this object from now on, in all the layers that are drawn on.

    Parameters
    ----------
    label : int
    layers : iterable of napari layers
    colour : four floats, optional
        Red, green, blue and alpha of shapes that are drawn next; as before if it is left out.

    Raises
    ------
    AnnotationError
        A label layer's type does not hold the id; no layer is changed.
    """
    chosen = [layer for layer in layers if role_of(layer) not in (None, "result")]
    labels = [layer for layer in chosen if isinstance(layer, Labels)]
    for layer in labels:
        _check_holds(layer, label)
    for layer in chosen:
        if isinstance(layer, Labels):
            layer.selected_label = label
        else:
            layer.selected_data = set()
            layer.feature_defaults = {"label": label}
            if colour is not None:
                layer.current_edge_color = np.array(list(colour), float)


def _check_holds(layer: Labels, label: int) -> None:
    largest = np.iinfo(layer.data.dtype).max
    if label > largest:
        raise AnnotationError(
            f"{layer.name!r} holds ids up to {largest}, not {label}; copy it into a layer made here."
        )


def absent_marks(layer: Labels) -> tuple[tuple[int, int], ...]:
    """Give the frames and objects that are marked absent; they are kept in the layer's metadata."""
    marks = _noted(layer).get("absent", [])
    return tuple(sorted({(int(frame), int(label)) for frame, label in marks}))


def mark_absent(layer: Labels, frame: int, label: int, *, absent: bool = True) -> None:
    """Say that an object is not on a frame, or take that back."""
    marks = set(absent_marks(layer))
    marks = marks | {(frame, label)} if absent else marks - {(frame, label)}
    notes_of(layer)["absent"] = [list(mark) for mark in sorted(marks)]
