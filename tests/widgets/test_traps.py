"""Traps that no other test covers; the whole list is in docs/architecture.md."""

import os
import subprocess
import sys
from types import ModuleType

import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes, Surface, Tracks, Vectors

from napari_masktrack.errors import WorkError
from napari_masktrack.widgets.engine import load_tracker
from napari_masktrack.widgets.keys import KEYS


@pytest.fixture
def without_torch(monkeypatch):
    """A process in which torch was not imported yet, and a tracker that is one in name only."""
    module = ModuleType("tracker")
    module.Tracker = lambda model, device: (model, device)
    monkeypatch.setitem(sys.modules, "napari_masktrack.tracker", module)
    for name in ("torch", "triton"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield module
    sys.modules.pop("triton", None)


on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="triton is a part of torch on Linux only"
)


@on_linux
@pytest.mark.parametrize("before", [(), ("torch",), ("torch", "triton")], ids=" and ".join)
def test_torch_never_imports_triton_after_a_canvas(without_torch, monkeypatch, before):
    """Unless triton was imported before, torch alone or not at all: then it stays as it is."""
    modules = {name: ModuleType(name) for name in before}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert load_tracker("default", "cpu") == ("default", "cpu")
    assert sys.modules["triton"] is modules.get("triton")


TORCH_FIRST = """
import torch
import napari
import numpy as np
from napari_masktrack.widgets.engine import load_tracker

viewer = napari.Viewer()
viewer.add_image(np.zeros((4, 4)))
viewer.screenshot()
load_tracker("default", "cpu")
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
print("made")
viewer.close()
"""


@on_linux
def test_the_first_optimiser_is_made_beside_a_canvas_although_torch_was_imported_first(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TORCH_FIRST],
        env={**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "made"), done.stderr[-2000:]


def test_a_torch_that_does_not_start_is_told_with_what_to_do(without_torch, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari_masktrack.tracker", None)
    with pytest.raises(WorkError, match="masktrack demo --viewer"):
        load_tracker("default", "cpu")


@pytest.mark.parametrize("kind", [Image, Labels, Points, Shapes, Surface, Tracks, Vectors, ViewerModel])
def test_the_keys_are_free_in_napari(kind):
    taken = {str(key).upper() for key in [*kind.class_keymap]}
    assert not taken & set(KEYS)


def test_the_keys_go_to_frames_and_take_results_over(dock, paint, finish):
    for frame in (1, 6):
        paint(dock, frame)
    dock.bar.run.click()
    finish(dock)
    press = {str(key): action for key, action in dock.viewer.keymap.items()}
    dock.workspace.go_to(3)
    press["K"](dock.viewer)
    assert dock.workspace.frame == 6
    press["H"](dock.viewer)
    assert dock.workspace.frame == 1
    press["N"](dock.viewer)
    assert dock.workspace.frame not in (1, 6)
    press["J"](dock.viewer)
    assert dock.workspace.frame in dock.workspace.drawings.frames
