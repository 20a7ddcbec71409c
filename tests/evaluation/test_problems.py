"""A damaged or incomplete data set is refused by the name of the file, before any work."""

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.given import annotate
from napari_masktrack.evaluation.methods import Settings, carry
from napari_masktrack.evaluation.protocols import find_problems
from napari_masktrack.evaluation.results import find_result, read_result
from napari_masktrack.evaluation.scores import judge

MASK = "00003.png"


@pytest.fixture
def truth(davis):
    return davis / "Annotations" / "480p" / "bear"


@pytest.fixture
def opening(davis):
    return lambda: find_problems("davis", davis, EvaluationConfig())[0].open()


def test_a_missing_mask(truth, opening):
    (truth / MASK).unlink()
    with pytest.raises(InputError, match=r"480p/bear has masks for 5 of 6 frame\(s\): 00003 is missing"):
        opening()


def test_a_mask_without_frame(truth, opening):
    (truth / MASK).rename(truth / "00009.png")
    with pytest.raises(InputError, match=r"00009\.png belongs to none of the 6 frame"):
        opening()


def test_a_mask_of_another_size(truth, opening):
    Image.new("L", (10, 24)).save(truth / MASK)
    with pytest.raises(InputError, match=r"00003\.png has 24 x 10 pixels.*24 x 32"):
        opening()


def test_a_frame_of_another_size(davis, opening):
    Image.new("RGB", (10, 24)).save(davis / "JPEGImages" / "480p" / "bear" / "00002.jpg")
    with pytest.raises(InputError, match=r"00002\.jpg is 24 x 10"):
        opening()


def test_a_truncated_mask(truth, opening):
    whole = (truth / MASK).read_bytes()
    (truth / MASK).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"00003\.png cannot be read"):
        opening()


def test_a_mask_in_colours(truth, opening):
    Image.new("RGB", (32, 24), (128, 0, 0)).save(truth / MASK)
    with pytest.raises(InputError, match=r"00003\.png shows colours"):
        opening()


def test_a_first_mask_without_object(truth, opening):
    Image.new("L", (32, 24)).save(truth / "00000.png")
    with pytest.raises(InputError, match=r"00000\.png shows no object"):
        opening()


def test_a_sequence_too_short_to_judge(davis, truth, opening):
    for frame in range(2, 6):
        (truth / f"{frame:05}.png").unlink()
        (davis / "JPEGImages" / "480p" / "bear" / f"{frame:05}.jpg").unlink()
    with pytest.raises(InputError, match="No frame of 'bear' would be judged"):
        opening()


def test_masks_with_16_bits_palettes_or_three_equal_channels_are_read(tmp_path, make, moving):
    for kind, label in (("deep", 60_000), ("palette", 3), ("rgb", 255)):
        folder = tmp_path / kind
        make.frames(folder / "images", moving)
        make.masks(folder / "labels", moving * label, kind=kind)
        opened = find_problems("folder", folder, EvaluationConfig())[0].open()
        assert opened.labels == (label,)
        np.testing.assert_array_equal(opened.truth(2), moving[2] * label)


def smooth(labels, *values):
    """Give grey masks whose outlines have a value in between."""
    images = labels * np.array(values, np.uint16)[:, None, None]
    images[:, 7] = images[:, 8] // 3
    return images


@pytest.mark.parametrize("kind", ["grey", "deep"])
def test_smoothed_outlines_are_cut_at_half_of_255_on_all_frames_of_a_folder(
    truth, opening, make, moving, kind
):
    make.masks(truth, smooth(moving, 255, 200, 255, 140, 255, 255), kind=kind)
    for frame in range(6):
        np.testing.assert_array_equal(opening().truth(frame), moving[frame])


def test_elsewhere_everything_but_0_is_the_object_on_all_frames_of_a_folder(truth, opening, make, moving):
    images = smooth(moving, 3, 255, 3, 3, 255, 3)
    for kind in ("palette", "deep"):
        make.masks(truth, images if kind == "palette" else 2 * images, kind=kind)
        for frame in range(6):
            np.testing.assert_array_equal(opening().truth(frame), images[frame] > 0)


def test_results_of_one_object_are_cut_alike_on_all_frames(tmp_path, davis, make, moving):
    make.masks(tmp_path / "theirs" / "bear", smooth(moving, 255, 200, 255, 140, 255, 255))
    opened = find_problems("davis", davis, EvaluationConfig())[0].open()
    found = read_result(opened, find_result(opened, tmp_path / "theirs" / "bear"))
    for frame, labels in found:
        np.testing.assert_array_equal(labels, moving[frame])


def test_jpeg_masks_are_cut_at_half_of_the_brightest_value_of_the_folder(tmp_path, make, moving):
    make.frames(tmp_path / "JPEGImages" / "cow" / "shot", moving)
    levels = np.array((255, 100, 255, 255, 255, 255), np.uint16)[:, None, None]
    make.masks(tmp_path / "Annotations" / "cow" / "shot", moving * levels, ending=".jpg")
    opened = find_problems("youtube-objects", tmp_path, EvaluationConfig())[0].open()
    assert [bool(opened.truth(frame).any()) for frame in range(6)] == [True, False, True, True, True, True]


@pytest.mark.parametrize("method", ["box-oracle", "grabcut-oracle"])
def test_masks_of_half_size_are_enlarged_wherever_they_guide(tmp_path, make, moving, method):
    make.frames(tmp_path / "JPEGImages" / "cow" / "shot", moving)
    make.masks(tmp_path / "Annotations" / "cow" / "shot", moving[:, ::2, ::2])
    opened = find_problems("youtube-objects", tmp_path, EvaluationConfig())[0].open()
    annotations = annotate(opened, [0, 3])
    np.testing.assert_array_equal(annotations.label_image(3, opened.movie.shape), moving[3])
    answers = [(each.frame, each.labels) for each in carry(opened, Settings(method=method))]
    assert answers[1][1].shape == moving.shape[1:]
    assert judge(opened, answers).columns()["J mean"] == 1


def test_other_frames_can_be_annotated_with_their_truth(tmp_path, make, moving):
    make.frames(tmp_path / "images", moving)
    make.masks(tmp_path / "labels", moving)
    opened = find_problems("folder", tmp_path, EvaluationConfig())[0].open()
    annotations = opened.annotate([2, 4])
    assert annotations.frames == (2, 4)
    np.testing.assert_array_equal(annotations.label_image(4, opened.movie.shape), moving[4])
