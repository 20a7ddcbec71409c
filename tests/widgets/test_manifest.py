"""What napari is told: valid, everything it names exists, narrow patterns, nothing heavy at the start."""

import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import entry_points

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_masktrack
from napari_masktrack.widgets import files, samples

MANIFEST = PluginManifest.from_file(f"{napari_masktrack.__path__[0]}/napari.yaml")
COMMANDS = MANIFEST.contributions.commands


def test_the_manifest_is_valid_and_names_the_package():
    assert MANIFEST.name == "napari-masktrack"
    assert MANIFEST.contributions.menus.keys() == {"napari/layers/segment", "napari/layers/track"}
    assert set(MANIFEST.contributions.configurations["general"].properties) == {
        "device",
        "model_folder",
        "autosave",
        "session_folder",
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
def test_every_command_exists(command):
    assert callable(command.python_name.split(":") and _load(command.python_name))


def _load(name):
    module, attribute = name.split(":")
    return getattr(__import__(module, fromlist=[attribute]), attribute)


@pytest.mark.parametrize("path", ["data", "images", "movie.tif", "cells.png", "my.zarr", "result"])
def test_no_reader_takes_files_and_folders_of_others(path):
    patterns = [pattern for reader in MANIFEST.contributions.readers for pattern in reader.filename_patterns]
    assert not any(fnmatch(path, pattern) for pattern in patterns)


def test_the_samples_are_the_synthetic_movie(truth):
    ((images, about, kind),) = samples.cells()
    assert (images.shape, kind, about["name"]) == ((40, 240, 320), "image", "cells")
    _, (painted, about, kind) = samples.annotated_cells()
    assert kind == "labels"
    assert painted[0].any()
    assert not painted[1:].any()


@pytest.mark.parametrize(("kind", "ending"), [("png", ".masks"), ("tif", ".tif"), ("zarr", ".zarr")])
def test_label_layers_are_written(truth, tmp_path, kind, ending):
    path = str(tmp_path / f"cells{ending}")
    assert getattr(files, f"write_{kind}")(path, truth.labels, {"name": "cells"}) == [path]


def test_a_folder_of_masks_is_written_and_read_back(truth, tmp_path):
    files.write_png(str(tmp_path / "masks"), truth.labels, {})
    reader = files.get_mask_reader(str(tmp_path / "masks"))
    ((labels, about, kind),) = reader(str(tmp_path / "masks"))
    assert (about["name"], kind) == ("masks", "labels")
    assert np.array_equal(labels, truth.labels)
    assert files.get_mask_reader(str(tmp_path)) is None


def test_the_manifest_is_found_by_napari():
    names = {each.value for each in entry_points(group="napari.manifest")}
    assert "napari_masktrack:napari.yaml" in names


QUICK = """
import sys, time
import napari
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
import napari.qt.threading, napari._qt.qt_main_window
application = QApplication([])
viewer = ViewerModel()
began = time.process_time()
from napari_masktrack.widgets import MaskTrackDock
dock = MaskTrackDock(viewer)
seconds = time.process_time() - began
heavy = {"torch", "cv2", "safetensors", "zarr", "triton"} & set(sys.modules)
print(f"{seconds:.2f}", sorted(heavy))
assert "torch" not in sys.modules and "cv2" not in sys.modules, heavy
assert seconds < 1, seconds
dock.release()
"""


def test_the_dock_opens_within_a_second_and_loads_no_torch():
    environment = {"QT_QPA_PLATFORM": "offscreen"}
    import os

    done = subprocess.run(
        [sys.executable, "-c", QUICK], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_napari_opens_the_dock_from_the_menu_and_it_works(
    make_napari_viewer, npe2pm, truth, tracker, paint, finish
):
    with npe2pm.tmp_plugin(manifest=f"{napari_masktrack.__path__[0]}/napari.yaml"):
        viewer = make_napari_viewer()
        _, dock = viewer.window.add_plugin_dock_widget("napari-masktrack", "MaskTrack")
        viewer.add_image(truth.images, name="cells")
        dock.runner.engine._load = lambda model, device: tracker
        dock.finetune.set_value("off")
        dock.annotate.tools["Paint"].click()
        assert viewer.layers.selection.active is dock.workspace.drawings.layers["masks"]
        paint(dock, 0)
        dock.bar.run.click()
        finish(dock)
        assert dock.workspace.result.layer in viewer.layers
        assert len(dock.workspace.result.done) == len(truth)
        dock.release()


def test_the_demo_shows_movie_painted_frame_and_dock(make_napari_viewer, truth, tmp_path):
    import tifffile

    from napari_masktrack.widgets.demo import show_demo

    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    files.write_png(str(tmp_path / "annotations"), truth.labels[:1], {})
    viewer = make_napari_viewer()
    show_demo(viewer, tmp_path)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells masks"]
    assert np.array_equal(viewer.layers["cells masks"].data[0], truth.labels[0])
