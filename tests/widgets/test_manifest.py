"""What napari is told: valid, everything it names exists, narrow patterns, nothing heavy at the start."""

import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from napari.plugins import menu_item_template
from napari.settings import NapariSettings
from npe2 import PluginManifest
from PIL import Image

import napari_masktrack
from napari_masktrack.errors import WorkError
from napari_masktrack.io.readers import open_movie
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.widgets import files, samples
from napari_masktrack.widgets.preferences import open_sessions_here

MANIFEST = PluginManifest.from_file(f"{napari_masktrack.__path__[0]}/napari.yaml")
COMMANDS = MANIFEST.contributions.commands


@pytest.mark.parametrize("page", ["README.md", "docs/user-guide.md"])
def test_the_pages_name_the_entry_of_the_menu(page):
    (widget,) = MANIFEST.contributions.widgets
    entry = menu_item_template.format(MANIFEST.display_name, widget.display_name)
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    assert f"*Plugins > {entry}*" in text


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
    reader = files.get_reader(str(tmp_path / "masks"))
    ((labels, about, kind),) = reader(str(tmp_path / "masks"))
    assert (about["name"], kind) == ("masks", "labels")
    assert np.array_equal(labels, truth.labels)


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (("00002", "00010"), (2, 10)),
        (("mask007", "mask012"), (7, 12)),
        (("exp2_frame_9", "exp2_frame_10"), (0, 1)),
        (("20240131", "20240201"), (0, 1)),
        (("cell", "nucleus"), (0, 1)),
        (("a3", "b3"), (0, 1)),
    ],
)
def test_only_a_name_that_is_one_index_says_the_frame_of_a_mask(tmp_path, names, frames):
    folder = tmp_path / "masks"
    folder.mkdir()
    for label, name in enumerate(names, start=1):
        Image.fromarray(np.full((4, 5), label, np.uint8)).save(folder / f"{name}.png")
    ((labels, _, _),) = files.read_masks(folder)
    assert labels.shape == (frames[-1] + 1, 4, 5)
    assert [int(labels[frame].max()) for frame in frames] == [1, 2]


def test_a_few_masks_of_a_long_movie_take_little_memory(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for label, frame in enumerate((0, 99_999), start=1):
        Image.fromarray(np.full((400, 500), label, np.uint8)).save(folder / f"{frame:05d}.png")
    ((labels, about, _),) = files.read_masks(folder)
    layer = Labels(labels, **about)
    assert (layer.data.shape, layer.data.source.written) == ((100_000, 400, 500), (0, 99_999))
    assert np.all(layer.data[99_999] == 2)


@pytest.fixture
def readers(npe2pm):
    """napari's look-up with this plugin and napari's own readers."""
    import napari_builtins

    npe2pm.register(PluginManifest.from_file(f"{napari_builtins.__path__[0]}/builtins.yaml"))
    with npe2pm.tmp_plugin(manifest=f"{napari_masktrack.__path__[0]}/napari.yaml"):
        yield npe2pm


@pytest.fixture
def session(tmp_path, truth):
    tifffile.imwrite(tmp_path / "movie.tif", truth.images, metadata={"axes": "TYX"})
    movie = open_movie(tmp_path / "movie.tif")
    reference = MovieReference.of(movie, path=tmp_path / "movie.tif")
    with Session.create(tmp_path / "mine.masktrack", reference) as made:
        made.save_annotation(2, truth.frame(2).labels)
    return made.folder


def test_one_reader_of_ours_is_offered_a_folder_and_none_a_file_but_that_of_a_session(readers, session):
    def offered(path):
        return [each.command for each in readers.iter_compatible_readers([str(path)])]

    assert sorted(offered(session)) == ["napari-masktrack.read", "napari.get_reader"]
    assert offered(session / "session.json") == ["napari-masktrack.read"]
    assert "napari-masktrack.read" not in offered(session.parent / "movie.tif")


def test_a_session_opens_without_asking_which_plugin_is_meant(readers, session, monkeypatch):
    settings = NapariSettings(config_path=None)
    monkeypatch.setattr("napari.settings._SETTINGS", settings)
    settings.plugins.extension2reader = {"*.tif": "napari"}
    open_sessions_here()
    assert settings.plugins.extension2reader == {"*.tif": "napari", "*.masktrack/": "napari-masktrack"}
    for path in (session, session / "session.json"):
        viewer = ViewerModel()
        viewer.open(path, plugin=None)  # as for what is dropped on the window
        assert [layer.name for layer in viewer.layers] == ["movie", "movie masks"]
    settings.plugins.extension2reader = {"*.masktrack/": "napari"}
    open_sessions_here()
    assert settings.plugins.extension2reader == {"*.masktrack/": "napari"}


@pytest.mark.parametrize("name", ["cells", "masks of others.d", "images"])
def test_folders_of_pictures_that_do_not_say_that_they_are_masks_are_left_alone(truth, tmp_path, name):
    files.write_png(str(tmp_path / name), truth.labels, {})
    assert files.get_reader(str(tmp_path / name)) is None
    assert files.get_reader(str(tmp_path)) is None
    assert files.get_reader([str(tmp_path / name)]) is None


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


def test_a_window_that_cannot_draw_is_told_in_one_line(tmp_path, monkeypatch):
    from napari_masktrack.widgets import demo

    def fail(viewer, folder):
        raise AttributeError("no canvas")

    monkeypatch.setattr("napari.Viewer", object)
    monkeypatch.setattr(demo, "show_demo", fail)
    with pytest.raises(WorkError, match=r"cannot open a window \(no canvas\).*with a screen"):
        demo.open_demo(tmp_path)
