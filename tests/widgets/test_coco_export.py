"""COCO files from the window name their images as the files of the movie's frames."""

import json

import numpy as np
import pytest
from napari.layers._source import layer_source
from PIL import Image

from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine
from napari_masktrack.widgets.exports import export

NAMES = [f"cell {number}.png" for number in range(4, 12)]  # not in the order of their letters
USUAL = [f"{frame:05d}.png" for frame in range(len(NAMES))]


@pytest.fixture
def folder(tmp_path, truth):
    place = tmp_path / "images"
    place.mkdir()
    for name, image in zip(NAMES, truth.images, strict=True):
        Image.fromarray(image).save(place / name)
    return place


@pytest.fixture
def exported(viewer, tracker, truth, paint, finish, qtbot, tmp_path):
    """Export the result of a movie that came from a place, and give the names of its images."""
    docks = []

    def act(place, *, saved=False):
        pytest.importorskip("pycocotools")
        with layer_source(path=None if place is None else str(place)):
            viewer.add_image(truth.images, name="cells")
        dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
        docks.append(dock)
        dock.finetune.set_value("off")
        paint(dock, 0)
        if saved:
            qtbot.waitUntil(lambda: dock.sessions.session is not None)
        dock.bar.run.click()
        finish(dock)
        export(dock, tmp_path / "a.json", "coco")
        finish(dock)
        return [each["file_name"] for each in json.loads((tmp_path / "a.json").read_text())["images"]]

    yield act
    for dock in docks:
        dock.release()


def test_images_are_named_as_the_files_of_the_folder_that_was_opened(exported, folder):
    assert exported(folder) == NAMES


def test_images_are_named_as_their_files_where_a_session_knows_them(saving, exported, folder):
    assert exported(folder, saved=True) == NAMES


def test_images_of_a_movie_that_is_no_file_are_named_by_their_index(exported):
    assert exported(None) == USUAL


def test_a_folder_with_other_images_gives_no_names(exported, folder):
    for name in NAMES:
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(folder / name)
    assert exported(folder) == USUAL
