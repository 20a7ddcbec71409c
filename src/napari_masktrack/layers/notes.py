"""What an image layer remembers while it is open: how it is seen as a movie, and in which sessions."""

from pathlib import Path

from napari.layers import Image

from napari_masktrack.errors import MovieError
from napari_masktrack.layers.axes import LayerAxes, check_axes
from napari_masktrack.layers.create import notes_of
from napari_masktrack.layers.movie import LayerMovie


def remember_view(view: LayerMovie) -> None:
    """Note how a layer is seen, for the next time that it is the movie."""
    notes_of(view.layer)["seen"] = (view.axes, view.channel)


def remembered_view(layer: Image) -> tuple[LayerAxes, int | None] | None:
    """Give the axes and the channel as which a layer was seen last; None if it never was, or is another."""
    seen: tuple[LayerAxes, int | None] | None = notes_of(layer).get("seen")
    try:
        if seen is not None:
            check_axes(layer, seen[0])
    except MovieError:
        return None
    return seen


def remember_session(view: LayerMovie, folder: Path) -> None:
    """Note in which session the work on a movie is; each plane of a layer may have its own."""
    notes_of(view.layer).setdefault("sessions", {})[view.axes] = str(folder.absolute())


def remembered_session(view: LayerMovie) -> Path | None:
    """Give the folder of the session that a movie had last; None if it had none."""
    folder = notes_of(view.layer).get("sessions", {}).get(view.axes)
    return None if folder is None else Path(folder)


def forget_session(view: LayerMovie) -> None:
    """Let the next work on a movie begin another session."""
    notes_of(view.layer).get("sessions", {}).pop(view.axes, None)
