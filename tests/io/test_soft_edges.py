"""A mask with soft edges is told from a mask of many objects."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import MaskTrackWarning
from napari_masktrack.io.readers import read_annotations

SHAPE = (96, 128)
MOVIE = Movie(np.zeros((2, *SHAPE), np.uint8), name="cells")


def disk(radius=25):
    y, x = np.indices(SHAPE)
    return np.hypot(y - 48, x - 64) < radius


def blurred(sigma):
    return gaussian_filter(disk() * 255.0, sigma).astype(np.uint8)


def smoothed():
    """A disk that was drawn four times larger and then reduced."""
    large = Image.new("L", (SHAPE[1] * 4, SHAPE[0] * 4))
    ImageDraw.Draw(large).ellipse((150, 90, 350, 290), fill=255)
    return np.asarray(large.resize(SHAPE[::-1], Image.Resampling.LANCZOS))


def scattered(*, size, step, count=20):
    """Squares of `size` pixels in a grid."""
    image = np.zeros(SHAPE, np.uint8)
    for label in range(count):
        y, x = 5 + step * (label // 5), 5 + step * (label % 5)
        image[y : y + size, x : x + size] = label + 1
    return image


def threads():
    """Twenty objects that are one pixel thin."""
    image = np.zeros(SHAPE, np.uint8)
    for label in range(20):
        image[4 + 4 * label, 10:100] = label + 1
    return image


def save(tmp_path, image):
    (tmp_path / "masks").mkdir()
    Image.fromarray(image).save(tmp_path / "masks" / "00000.png")
    return tmp_path / "masks"


@pytest.mark.parametrize("image", [blurred(1), blurred(3), blurred(8), smoothed()])
def test_a_soft_edge_is_warned_of(tmp_path, image):
    folder = save(tmp_path, image)
    with pytest.warns(MaskTrackWarning, match=r"ids in .*00000\.png are rims or single pixels"):
        found = read_annotations(folder, MOVIE)
    assert len(found.labels) == len(np.unique(image)) - 1


@pytest.mark.parametrize(
    "image",
    [
        scattered(size=4, step=9),
        scattered(size=3, step=3),
        scattered(size=9, step=9),
        threads(),
        disk().astype(np.uint8) * 255,
        disk() * np.uint8(100) + disk(24) * np.uint8(55),
    ],
    ids=["small cells", "tiny cells that touch", "tiles", "threads", "one object", "one object with a rim"],
)
def test_true_objects_are_not_warned_of(tmp_path, image):
    folder = save(tmp_path, image)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MaskTrackWarning)
        found = read_annotations(folder, MOVIE)
    assert len(found.labels) == len(np.unique(image)) - 1


def test_of_a_stack_each_painted_frame_is_looked_at(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "stack.tif", np.stack([np.zeros(SHAPE, np.uint8), blurred(2)]))
    with pytest.warns(MaskTrackWarning, match=r"stack\.tif"):
        read_annotations(tmp_path / "stack.tif", MOVIE)
