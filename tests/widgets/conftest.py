"""A viewer, a dock with a fake network, and a small movie whose truth is known."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtWidgets import QDockWidget, QPushButton
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.filters import threshold_otsu

from napari_masktrack.config import FINETUNE
from napari_masktrack.core.crf import CrfConfig
from napari_masktrack.core.crf_search import SearchStep
from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.propagation import Headway, propagate
from napari_masktrack.widgets.engine import Engine
from napari_masktrack.widgets.preferences import Preferences

CONFIG = SyntheticConfig(frames=8, shape=(96, 128), objects=2, cross=False, leave=False, noise=0.01)


def by_brightness(images, guidance):
    """Answer with what is bright near the guidance."""
    grey = gaussian_filter(images.mean(axis=-1), (0, 2, 2))
    near = np.stack([binary_dilation(mask, iterations=8) for mask in guidance])
    levels = np.array([0.7 * threshold_otsu(g) for g in grey])[:, None, None]
    return np.where(near & (grey > levels), 0.95, 0.02).astype(np.float32)


class FakeTracker:
    """Drives the real propagation with a threshold; fine-tuning only waits."""

    def __init__(self, model="default", device="auto"):
        self.model, self.steps, self.closed = model, 0, threading.Event()
        self.step_seconds = self.frame_seconds = 0.0
        self.fail = None
        self.crf, self.tries, self.streams = CrfConfig(), 3, []
        self.on_edges = None

    def finetune(self, movie, annotations, config, *, stream="image"):
        annotations.check(len(movie), movie.shape)
        self.streams.append(stream)
        try:
            for step in range(1, config.steps + 1):
                time.sleep(self.step_seconds)
                if self.fail is not None:
                    raise self.fail
                self.steps += 1
                yield SimpleNamespace(step=step, steps=config.steps, loss=1 / step, seconds=0.0)
        finally:
            self.closed.set()

    def fit_crf(self, movie, annotations, config):
        try:
            for step in range(1, self.tries + 1):
                time.sleep(self.step_seconds)
                self.crf = CrfConfig(appearance=self.crf.appearance + 1)
                yield SearchStep(step, self.tries, self.crf, 0.5 + step / 10)
        finally:
            self.closed.set()

    def propagate(self, movie, annotations, config, *, frames=None, **more):
        for item in propagate(movie, annotations, by_brightness, config, frames=frames, **more):
            if isinstance(item, Headway) or not more.get("headway"):
                time.sleep(self.frame_seconds)
            yield item

    def save(self, path):
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(b"weights")
        partial.replace(path)  # the file appears as a whole, as that of a real tracker does

    def description(self):
        return {"model": str(self.model), "weights_sha256": "0", "napari_masktrack": "test"}


READ_PREFERENCES = Preferences.read
"""As it is before `plain_preferences` replaces it."""


@pytest.fixture(scope="session")
def truth():
    return synthetic_movie(CONFIG)


@pytest.fixture
def tracker():
    return FakeTracker()


@pytest.fixture(autouse=True)
def plain_preferences(monkeypatch, tmp_path):
    """Nobody's own preferences count, and nothing is saved in anybody's home."""
    mine = Preferences(autosave=False, session_folder=tmp_path / "sessions")
    monkeypatch.setattr(Preferences, "read", classmethod(lambda cls: mine))
    monkeypatch.setattr("napari_masktrack.widgets.sessions.open_sessions_here", lambda: None)


@pytest.fixture
def saving(monkeypatch, tmp_path):
    """Work is saved as one works, and sessions begin by themselves."""
    mine = Preferences(autosave=True, session_folder=tmp_path / "sessions")
    monkeypatch.setattr(Preferences, "read", classmethod(lambda cls: mine))


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer, truth, tracker):
    """A dock on the synthetic movie; the network is the fake one."""
    from napari_masktrack.widgets import MaskTrackDock

    viewer.add_image(truth.images, name="cells")
    widget = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    viewer.window.add_dock_widget(widget, name="MaskTrack")
    widget.finetune.details.set_value(type(FINETUNE["quick"])(steps=3))
    yield widget
    widget.release()


def frame_of(dock):
    """Give the frame that napari puts around a dock."""
    parent = dock.parent()
    while not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def press(dock, button):
    """Press one of the buttons that napari puts on the frame of a dock: 'Close', 'Hide' or 'Float'."""
    frame_of(dock).titleBarWidget().findChild(QPushButton, f"QTitleBar{button}Button").click()


@pytest.fixture
def paint(truth):
    """Paint the true masks of a frame, as a user who is precise."""

    def act(dock, frame, *labels):
        image = truth.frame(frame).labels
        image = np.where(np.isin(image, labels), image, 0) if labels else image
        dock.workspace.drawings.paint(frame, image)

    return act


@pytest.fixture
def finish(qtbot):
    """Wait for the work of a dock to end."""

    def act(dock, timeout=60_000):
        work, stores = dock.runner, (dock.workspace.result, dock.workspace.probability)
        qtbot.waitUntil(lambda: not work.is_running, timeout=timeout)
        qtbot.waitUntil(lambda: not any(each and each.is_reverting for each in stores), timeout=timeout)

    return act
