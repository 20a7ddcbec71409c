"""Pictures of frames with their objects: what is drawn, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.errors import OutputError
from napari_masktrack.io.overlay import COLOURS, draw_overlay, overlay_sheet, save_overlay


def test_an_overlay_colours_objects_and_leaves_the_rest():
    image = np.full((60, 80, 3), 100, np.uint8)
    labels = np.zeros((60, 80), int)
    labels[10:50, 10:50] = 2
    picture = draw_overlay(image, labels)
    assert (picture[labels == 0] == 100).all()
    assert tuple(picture[10, 30]) == COLOURS[1], "the outline has the object's colour"
    assert tuple(picture[49, 12]) == COLOURS[1]
    fill = picture[14, 14].astype(int)
    assert (np.abs(fill - 100) < np.abs(np.array(COLOURS[1]) - 100)).all()
    assert picture[25:35, 25:35].min(axis=2).max() > 160, "the id is written inside"
    assert (image == 100).all(), "the image itself is left alone"


@pytest.mark.parametrize("labels", [np.zeros((60, 80), np.uint16), np.full((60, 80), 65535, np.uint16)])
def test_an_overlay_of_nothing_or_everything_works(tmp_path, labels):
    save_overlay(tmp_path / "a.png", np.zeros((60, 80, 3), np.uint8), labels)
    assert Image.open(tmp_path / "a.png").size == (80, 60)


def test_a_sheet_holds_all_frames(tmp_path):
    tiles = [(frame, np.zeros((60, 80, 3), np.uint8), np.eye(60, 80, dtype=int)) for frame in range(5)]
    overlay_sheet(tmp_path / "sheet.png", tiles, columns=3)
    assert Image.open(tmp_path / "sheet.png").size == (3 * 84 - 4, 2 * 64 - 4)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("a.png", np.zeros((9, 9), int), "do not fit"),
        ("a.doc", np.zeros((60, 80), int), r"end it in \.png"),
        ("no/a.png", np.zeros((60, 80), int), "cannot be written"),
    ],
)
def test_bad_pictures_are_refused(tmp_path, name, labels, message):
    with pytest.raises(OutputError, match=message):
        save_overlay(tmp_path / name, np.zeros((60, 80, 3), np.uint8), labels)


def test_a_sheet_of_nothing_is_refused(tmp_path):
    with pytest.raises(OutputError, match="at least one frame"):
        overlay_sheet(tmp_path / "a.png", [])
