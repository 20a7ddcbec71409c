"""COCO annotations name the images as the movie's files are named, so that other programs find them."""

import json

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.io.coco import image_names
from napari_masktrack.io.exporters import open_writer
from napari_masktrack.io.readers import open_movie

pytest.importorskip("pycocotools")

NAMES = ("cell 2.jpg", "cell 10.jpg", "cell 11.JPG")
SHAPE = (24, 40)


@pytest.fixture
def folder(tmp_path):
    """Write three frames with names of their own."""
    place = tmp_path / "movie"
    place.mkdir()
    for name in NAMES:
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(place / name, format="JPEG")
    return place


def written(path, those, **options):
    """Write some frames, and return the names and numbers of their images."""
    with open_writer(path, shape=SHAPE, labels_max=1, **options) as writer:
        for frame in those:
            writer.write(frame, np.ones(SHAPE, int))
    return [(each["file_name"], each["frame_index"]) for each in json.loads(path.read_text())["images"]]


def test_images_are_named_as_the_files_of_a_folder(folder, tmp_path):
    names = image_names(open_movie(folder), folder)
    assert names == NAMES
    found = written(tmp_path / "a.json", (2, 0), frames=3, images=names)
    assert found == [(NAMES[0], 0), (NAMES[2], 2)]


def test_a_range_has_the_names_of_its_own_frames(folder, tmp_path):
    names = image_names(open_movie(folder), folder)
    assert written(tmp_path / "a.json", (1, 2), frames=2, first=1, images=names) == [
        (NAMES[1], 1), (NAMES[2], 2)
    ]  # fmt: skip


def test_a_single_image_is_named_as_its_file(folder):
    place = folder / NAMES[1]
    assert image_names(open_movie(place), place) == (NAMES[1],)


def test_frames_that_are_no_files_are_named_by_their_index(tmp_path):
    import tifffile

    place = tmp_path / "movie.tif"
    tifffile.imwrite(
        place, np.zeros((3, *SHAPE), np.uint8), photometric="minisblack", metadata={"axes": "TYX"}
    )
    names = image_names(open_movie(place), place)
    assert names == ()
    assert written(tmp_path / "a.json", (1,), frames=3, images=names) == [("00001.png", 1)]


def test_a_folder_that_has_changed_since_gives_no_wrong_names(folder):
    movie = open_movie(folder)
    (folder / NAMES[0]).unlink()
    assert image_names(movie, folder) == ()
