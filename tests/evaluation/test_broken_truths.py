"""The truth of every layout, broken in every way: it works as it should, or the error names the file."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.protocols import find_problems

AT = 2
"""The frame whose mask is broken."""


@dataclass(frozen=True)
class Layout:
    """Where one data set has frames and masks, and what their files are called."""

    protocol: str
    images: str
    truth: str
    frame: str = "{:05}"
    mask: str = "{:05}"
    ending: str = ".png"
    year: str = "2016"
    sparse: bool = False

    @property
    def single(self):
        return self.protocol in ("segtrack", "youtube-objects") or (self.protocol, self.year) == (
            "davis",
            "2016",
        )


LAYOUTS = {
    "davis-2016": Layout("davis", "JPEGImages/480p/bear", "Annotations/480p/bear"),
    "davis-2017": Layout("davis", "JPEGImages/480p/bear", "Annotations/480p/bear", year="2017"),
    "segtrack": Layout("segtrack", "JPEGImages/bear", "GroundTruth/bear/1", "bear_{:02}", "bear_{:02}"),
    "segtrack by order": Layout("segtrack", "JPEGImages/bear", "GroundTruth/bear", "bear_{:02}", "gt{}"),
    "youtube-objects": Layout(
        "youtube-objects", "v1/cow/data/0001/shots/002", "youtube_masks/cow/data/0001/shots/002/labels",
        "frame{:04}", sparse=True,
    ),
    "ctc": Layout("ctc", "01", "01_GT/TRA", "t{:03}", "man_track{:03}", ".tif"),
    "folder": Layout("folder", "bear/images", "bear/labels"),
}  # fmt: skip


@dataclass
class DataSet:
    """A data set on disk."""

    layout: Layout
    place: Path
    labels: np.ndarray

    def mask(self, frame):
        return self.place / self.layout.truth / f"{self.layout.mask.format(frame)}{self.layout.ending}"

    def open(self):
        """Open the only problem, and read all of its truth."""
        (problem,) = find_problems(self.layout.protocol, self.place, EvaluationConfig(year=self.layout.year))
        opened = problem.open()
        return {frame: opened.truth(frame) for frame in opened.true_frames}

    def rewrite(self, *pictures):
        """Replace the mask of one frame, or of all; TIFF files as the challenge's own programs write them."""
        for frame, picture in enumerate(pictures) if len(pictures) > 1 else [(AT, pictures[0])]:
            if self.layout.ending == ".tif" and picture.mode != "P":
                tifffile.imwrite(self.mask(frame), np.asarray(picture))
            else:
                picture.save(self.mask(frame))

    def check(self, labels):
        """Check that the truth is read as these ids, or as one object."""
        for frame, truth in self.open().items():
            np.testing.assert_array_equal(truth, labels[frame] > 0 if self.layout.single else labels[frame])


@pytest.fixture(params=LAYOUTS)
def data(request, tmp_path, make, moving):
    layout = LAYOUTS[request.param]
    make.frames(
        tmp_path / layout.images,
        moving,
        name=layout.frame,
        ending=".tif" if layout.ending == ".tif" else ".jpg",
    )
    found = DataSet(layout, tmp_path, moving)
    (tmp_path / layout.truth).mkdir(parents=True)
    found.rewrite(*(Image.fromarray(image.astype(np.uint8)) for image in moving))
    if layout.protocol == "davis":
        (tmp_path / "ImageSets" / layout.year).mkdir(parents=True)
        (tmp_path / "ImageSets" / layout.year / "val.txt").write_text("bear\n")
    return found


def refused(data):
    with pytest.raises(InputError) as error:
        data.open()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_truth_is_read(data):
    data.check(data.labels)


def test_a_missing_mask(data):
    data.mask(AT).unlink()
    if data.layout.sparse:
        assert AT not in data.open()
    elif data.layout.mask == "gt{}":
        assert f"{data.mask(0)} has the name of no frame, and 5 mask(s)" in refused(data)
    else:
        said = (
            f"{data.mask(AT).parent} has masks for 5 of 6 frame(s): {data.layout.frame.format(AT)} is missing"
        )
        assert said in refused(data)


def test_one_frame_too_few(data):
    sorted((data.place / data.layout.images).iterdir())[-1].unlink()
    assert str(data.mask(0 if data.layout.mask == "gt{}" else 5)) in refused(data)


def test_one_mask_too_many(data):
    shutil.copy(data.mask(AT), data.mask(7))
    assert str(data.mask(0 if data.layout.mask == "gt{}" else 7)) in refused(data)


def test_a_mask_of_another_size(data):
    data.rewrite(Image.new("L", (10, 24)))
    assert f"{data.mask(AT)} has 24 x 10 pixels" in refused(data)


def test_a_mask_in_colours(data):
    data.rewrite(Image.new("RGB", (32, 24), (128, 0, 0)))
    assert f"{data.mask(AT)} shows colours" in refused(data)


def test_masks_with_three_equal_channels(data):
    data.rewrite(*(Image.fromarray(image.astype(np.uint8)).convert("RGB") for image in data.labels))
    data.check(data.labels)


def test_palette_masks(data, make):
    data.rewrite(*(make.palette(3 * image) for image in data.labels))
    data.check(3 * data.labels)


def test_masks_with_16_bits(data):
    data.rewrite(*(Image.fromarray(300 * image) for image in data.labels))
    data.check(300 * data.labels)


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_a_truncated_mask(data, share):
    whole = data.mask(AT).read_bytes()
    data.mask(AT).write_bytes(whole[: int(share * len(whole))])
    assert str(data.mask(AT)) in refused(data)
