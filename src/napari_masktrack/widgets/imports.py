"""Take over masks and boxes that were drawn elsewhere; what is painted already stays as it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.errors import InputError
from napari_masktrack.io.masks import read_mask_files
from napari_masktrack.io.readers import read_annotations, read_boxes
from napari_masktrack.io.session_drawings import DrawnShape
from napari_masktrack.layers.create import add_shapes
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.widgets.drawings import Drawings
from napari_masktrack.widgets.engine import Phase
from napari_masktrack.widgets.files import with_frame_names
from napari_masktrack.widgets.slices import Slices

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock


class Imports:
    """Reads files in the dock's thread, then paints frame by frame while the window lives.

    Parameters
    ----------
    dock : MaskTrackDock
    """

    def __init__(self, dock: "MaskTrackDock") -> None:
        self.dock, self.workspace, self.runner = dock, dock.workspace, dock.runner
        self._slices = Slices(dock)
        self._slices.failed.connect(dock.complain)

    def ask(self) -> None:
        """Ask for masks or boxes drawn elsewhere."""
        self.workspace.require_movie()
        names, _ = QFileDialog.getOpenFileNames(
            self.dock, "Masks drawn elsewhere", "", "Masks or boxes (*.png *.tif *.tiff *.csv);;All files (*)"
        )
        if names:
            self.start(*map(Path, names))

    def start(self, path: Path, *more: Path) -> None:
        """Take masks or boxes from a file or folder, or masks from several files.

        Raises
        ------
        InputError
            There is no movie, something is being worked on, or nothing can be painted on the layer of masks.
        """
        self.runner.require_idle()
        view, drawings = self.workspace.require_movie(), self.workspace.require_drawings()
        drawings.check_paintable(())
        what = f"{len(more) + 1} files" if more else path.name
        found: list[Annotations] = []

        def work() -> Iterator[Any]:
            yield Phase(f"Reading {what}")
            yield read(path, more, view)

        def end(_ending: str) -> None:
            if found and self.workspace.drawings is drawings:
                self.dock.attempt(lambda: self._draw(drawings, found[0], what))

        self.runner.start(work, "importing", found.append, then=end)

    def finish(self) -> None:
        """Draw all that was read, now."""
        self._slices.finish()

    def release(self) -> None:
        """Leave undrawn what is not drawn yet."""
        self._slices.drop()

    def _draw(self, drawings: Drawings, found: Annotations, what: str) -> None:
        """Draw what was read; say how much it was, and where there was something already."""
        drawings.check_paintable(found.labels)
        taken: list[int] = []

        def say() -> None:
            drawings.settle()
            objects, frames, held = len(found.labels), len(found.frames), len(taken)
            kept = f" {held} of these frames held something already, which is kept." if held else ""
            self.dock.bar.say(f"Imported {what}: {objects} object(s) on {frames} frame(s).{kept}", "good")

        self._slices.start(self._drawing(drawings, found, taken), say)

    def _drawing(self, drawings: Drawings, found: Annotations, taken: list[int]) -> Iterator[int]:
        """Draw one frame at each step; notes the frames that held something."""
        for frame in found.frames:
            if self.workspace.drawings is not drawings:
                raise InputError("The movie was changed, so the import was stopped.")
            items = found.at(frame)
            boxes = [DrawnShape.of_box(item) for item in items if not item.exact]  # type: ignore[arg-type]
            if boxes:
                add_shapes(drawings.ensure("shapes"), drawings.view, boxes)
            else:
                if drawings.painted(frame).any():
                    taken.append(frame)
                drawings.fill(frame, found.label_image(frame, drawings.view.layout.size))
            yield frame
        yield from drawings.notice()


def read(path: Path, more: tuple[Path, ...], view: LayerMovie) -> Annotations:
    """Read a file or folder of masks, several files of masks, or boxes.

    Raises
    ------
    InputError
        Something cannot be read, or does not fit the movie.
    """
    if path.suffix.lower() == ".csv":
        return read_boxes(path, view.movie)
    movie = with_frame_names(view)
    return read_mask_files([path, *more], movie) if more else read_annotations(path, movie)
