"""napari with the dock, in which somebody paints without a pause while it works; killed by test_killed.py.

python killed_painter.py FOLDER MOVIE, and for each napari a line "FIRST LOG" on standard input
"""

import os
import sys
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import napari
import numpy as np
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_masktrack.io.session import is_session
from napari_masktrack.propagation import FrameResult
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine
from napari_masktrack.widgets.preferences import Preferences

BRUSH, TOUCHES = 9, 25
"""Width of a stroke; on this many touches in a row the mouse is not let go, on as many it is after each."""


class Busy:
    """A network that answers quickly and always the same."""

    def finetune(self, movie, annotations, config):
        for step in range(1, 4):
            time.sleep(0.02)
            yield SimpleNamespace(step=step, steps=3, loss=1.0, seconds=0.0)

    def propagate(self, movie, annotations, config, *, frames=None, **more):
        for frame in range(len(movie)):
            time.sleep(0.03)
            yield FrameResult(frame, np.full(movie.shape, 7, np.uint16), {7: 1.0}, {7: 0})

    def save(self, path):
        path.write_bytes(b"weights")

    def description(self):
        return {"model": "busy"}


class Painter:
    """Touches the layer fifty times a second, each time with the next id, and writes down when."""

    def __init__(self, dock, log, first):
        self.dock, self.log, self.numbers = dock, log, count(first)
        self.layer = dock.workspace.drawings.ensure("masks")
        self.layer.brush_size = BRUSH
        self.stroke = ExitStack()
        self.timer = QTimer(interval=20)
        self.timer.timeout.connect(self.touch)
        self.timer.start()

    def touch(self):
        number = next(self.numbers)
        if number % TOUCHES == 0:
            self.stroke.close()
            self.dock.workspace.go_to(number // TOUCHES % len(self.dock.workspace.view))
            if number // TOUCHES % 2:
                self.stroke.enter_context(self.layer.block_history())
        frame = self.dock.workspace.frame
        self.layer.paint((frame, 20, 20), number)
        print("touch", frame, number, time.time(), file=self.log, flush=True)
        if not self.dock.runner.is_running and number % 10 == 0:
            self.dock.bar.run.click()


def work(folder, movie, log, first):
    """Open napari, and paint until the end."""
    preferences = Preferences(autosave=True, session_folder=folder.parent)
    Preferences.read = classmethod(lambda cls: preferences)
    viewer = Viewer()
    viewer.open(movie, plugin="napari")
    dock = MaskTrackDock(viewer, Engine(lambda model, device: Busy()))
    viewer.window.add_dock_widget(dock, name="MaskTrack")
    with log.open("a") as lines:
        print("opening", os.getpid(), file=lines, flush=True)
        (dock.sessions.open if is_session(folder) else dock.sessions.create)(folder)
        painter = Painter(dock, lines, first)
        napari.run()
        del painter


def main():
    """Work each time in a process of its own where that can be split off: then all is imported only once."""
    folder, movie = map(Path, sys.argv[1:3])
    for line in sys.stdin:
        first, log = line.split(maxsplit=1)
        child = os.fork() if hasattr(os, "fork") else 0
        if not child:
            work(folder, movie, Path(log.strip()), int(first))
        os.waitpid(child, 0)
        sys.stdout.write("dead\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
