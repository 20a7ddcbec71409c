"""Write the result of a dock to files, in its thread."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog

from napari_masktrack.errors import InputError
from napari_masktrack.io.exporters import EXPORTERS, open_writer
from napari_masktrack.widgets.engine import Phase

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock


def ask_export(dock: "MaskTrackDock") -> None:
    """Ask where to, and export; raises as `export`, and if there is no movie."""
    kind = dock.save.format.currentData()
    suffixes = EXPORTERS[kind].suffixes
    start = f"{dock.workspace.require_movie().movie.name}-masks{suffixes[0] if suffixes else ''}"
    name, _ = QFileDialog.getSaveFileName(dock, "Export the masks", start)
    if name:
        export(dock, Path(name), kind)


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

    def work() -> Iterator[Any]:
        yield Phase("Exporting", len(frames))
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
