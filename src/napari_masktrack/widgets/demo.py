"""napari on a movie with its first frame annotated and the dock open, ready for the button."""

from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.errors import MaskTrackError, WorkError
from napari_masktrack.io.readers import read_annotations

if TYPE_CHECKING:
    import napari

    from napari_masktrack.widgets.dock import MaskTrackDock


def open_demo(folder: Path) -> None:
    """Open napari on what `masktrack demo` wrote, and wait until its window is closed.

    Parameters
    ----------
    folder : Path
        Holds ``movie.tif`` and the folder ``annotations``.

    Raises
    ------
    WorkError
        No window can be opened here.
    """
    # torch first: imported after Qt it fails on Windows.
    from napari_masktrack.tracker import Tracker  # noqa: F401

    try:
        import napari

        viewer = napari.Viewer()
        show_demo(viewer, folder)
    except MaskTrackError:
        raise
    except Exception as error:
        raise WorkError(
            f"napari cannot open a window ({error}); install napari-masktrack[all], and start this on a "
            "computer with a screen."
        ) from error
    napari.run()


def show_demo(viewer: "napari.Viewer", folder: Path) -> None:
    """Show movie, annotation and dock in a viewer."""
    from napari_masktrack.widgets.dock import MaskTrackDock

    viewer.open(folder / "movie.tif", plugin="napari", name="cells")
    dock = MaskTrackDock(viewer)
    viewer.window.add_dock_widget(dock, name="MaskTrack")
    dock.attempt(lambda: _draw(dock, folder / "annotations"))
    dock.workspace.go_to(0)
    dock.bar.say("Press the button: the first frame is painted already.")


def _draw(dock: "MaskTrackDock", folder: Path) -> None:
    drawings = dock.workspace.require_drawings()
    found = read_annotations(folder, drawings.view.movie)
    for frame in found.frames:
        drawings.paint(frame, found.label_image(frame, drawings.view.layout.size))
