"""Write the result of a dock to files, in its thread."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.errors import InputError
from napari_masktrack.io.coco import CocoWriter, image_names
from napari_masktrack.io.exporters import EXPORTERS, open_writer
from napari_masktrack.layers import LayerMovie
from napari_masktrack.widgets.engine import Phase

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock


def ask_export(dock: "MaskTrackDock") -> None:
    """Ask where to, and export; raises as `export`, and if there is no movie.

    The name of a file gets the ending of its kind, or other programs would not know it.
    """
    kind = dock.save.format.currentData()
    suffixes = EXPORTERS[kind].suffixes
    start = f"{dock.workspace.require_movie().movie.name}-masks{suffixes[0] if suffixes else ''}"
    # nothing is ever replaced, so there is nothing to confirm
    options = QFileDialog.Option.DontConfirmOverwrite
    name, _ = QFileDialog.getSaveFileName(dock, "Export the masks", start, options=options)
    if name:
        ends = not suffixes or name.lower().endswith(tuple(suffixes))
        export(dock, Path(name if ends else name + suffixes[0]), kind)


def export(dock: "MaskTrackDock", path: Path, kind: str) -> None:
    """Write the frames that have a result; the dock says how it went.

    Parameters
    ----------
    dock : MaskTrackDock
    path : Path
    kind : str
        A key of `EXPORTERS`.

    Raises
    ------
    InputError
        Something is being worked on, there is no result, or the place cannot be used.
    """
    dock.runner.require_idle()
    result = dock.workspace.result
    if result is None or not result.done:
        raise InputError("There is no result to export yet; propagate first.")
    view, array, frames = result.view, result.layer.data, result.done
    writer = open_writer(path, frames=len(view), shape=view.movie.shape, labels_max=65535, kind=kind)

    place = _place(dock)

    def work() -> Iterator[Any]:
        yield Phase("Exporting", len(frames))
        if isinstance(writer, CocoWriter):
            writer.images = _file_names(view, place)
        with writer:
            for frame in frames:
                writer.write(frame, np.asarray(array[view.layout.key(frame)]))
                yield frame

    def end(ending: str) -> None:
        if ending == "done":
            missing = len(view) - len(frames)
            rest = f"; {missing} frames had no result" if missing else ""
            dock.bar.say(f"Exported {len(frames)} frames to {path}{rest}.", "good")

    dock.runner.start(work, "export", lambda _: dock.runner.advance(), then=end)


def _place(dock: "MaskTrackDock") -> Path | None:
    """Give where the movie was opened from, as far as its layer or its session knows."""
    view, session = dock.workspace.require_movie(), dock.workspace.session
    if session is not None:
        with suppress(InputError):  # it was in memory only, or is not there any more
            return session.movie.find(session.folder)
    return None if view.layer.source.path is None else Path(view.layer.source.path)


def _file_names(view: LayerMovie, place: Path | None) -> tuple[str, ...]:
    """Name the frames as their files, in any thread; none where they are no files, or have changed since."""
    if place is None or not (place.is_dir() or len(view) == 1):
        return ()
    try:
        reference = view.reference()
        return image_names(reference.open(place.parent, place), place)
    except InputError:  # what lies there is not what the layer shows
        return ()
