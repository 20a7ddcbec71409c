"""Take the pictures of the user guide in a real window, of the synthetic movie only.

xvfb-run -a -s "-screen 0 1400x900x24" python docs/make_screenshots.py
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_masktrack.core.synthetic import synthetic_movie
from napari_masktrack.widgets import MaskTrackDock

FOLDER = Path(__file__).parent / "images"
SIZE = (1280, 800)
"""Of a 13-inch laptop."""


class Stage:
    """The window, and what is needed to wait for it and to take its picture."""

    def __init__(self) -> None:
        self.truth = synthetic_movie()
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        self.viewer.add_image(self.truth.images, name="cells", axis_labels=("t", "y", "x"))
        self.dock = MaskTrackDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="MaskTrack")

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = 0.6) -> None:
        """Let the window live until something is so, or for a while."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def take(self, name: str, *, top: str | None = None) -> None:
        """Save a picture; `top` is the heading of the section that is scrolled to."""
        if top is not None:
            fold = self.dock.folds[top]
            fold.set_open()
            self.wait()
            bar = self.dock.area.verticalScrollBar()
            bar.setValue(fold.mapTo(self.dock.area.widget(), fold.rect().topLeft()).y())
        self.wait()
        self.viewer.window.screenshot(str(FOLDER / f"{name}.png"), canvas_only=False, flash=False)

    def fold(self, *titles: str) -> None:
        """Show these sections only."""
        for title, fold in self.dock.folds.items():
            fold.set_open(is_open=title in titles)


def main() -> None:
    """Go through the loop once."""
    FOLDER.mkdir(exist_ok=True)
    stage = Stage()
    dock, viewer, truth = stage.dock, stage.viewer, stage.truth
    dock.sessions.create(Path(tempfile.mkdtemp()) / "cells.masktrack")
    stage.wait(seconds=1.5)
    viewer.dims.set_point(0, 0)
    stage.take("1-movie")
    dock.annotate.tools["Paint"].click()
    dock.workspace.drawings.paint(0, truth.frame(0).labels)
    stage.take("2-annotate")
    stage.fold("3  Fine-tune")
    dock.bar.run.click()
    stage.wait(lambda: len(dock.finetune.plot.value()) > 12, 120)
    stage.take("3-fine-tune", top="3  Fine-tune")
    stage.wait(lambda: dock.workspace.result is not None and len(dock.workspace.result.done) > 15, 300)
    stage.fold("4  Propagate")
    viewer.layers["cells masks"].visible = False
    stage.take("4-propagate", top="4  Propagate")
    stage.wait(lambda: not dock.runner.is_running, 600)
    reference = viewer.add_labels(np.array(truth.labels), name="truth", visible=False)
    stage.fold("5  Review")
    dock.commands.go_to_next()
    stage.take("5-review", top="5  Review")
    dock.review.reference.set_value(reference)
    dock.review.compute.click()
    stage.wait(lambda: not dock.runner.is_running, 120)
    dock.area.ensureWidgetVisible(dock.review.table)
    stage.take("6-iou")
    stage.fold("6  Save")
    stage.take("7-save", top="6  Save")
    dock.release()
    viewer.close()


if __name__ == "__main__":
    sys.exit(main())
