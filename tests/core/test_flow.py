"""Optical flow: known motion is found, masks follow it, and bad flow is noticed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_masktrack.core.flow import PRESETS, MaskWarp, flow_magnitude_image, optical_flow, warp, warp_mask
from napari_masktrack.errors import InputError

SHAPE = (120, 160)


def texture(seed: int, shape: tuple[int, int] = SHAPE, *, grain: float = 4) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), grain)
    return np.round(255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def disc(y: float, x: float, radius: float, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rows, columns = np.indices(shape, sparse=True)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def scene(dy: int, dx: int, *, camera: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A textured disc on a textured ground, moved by dy, dx; and its mask."""
    ground, thing = np.roll(texture(1), camera, 1), np.roll(texture(2), (dy, dx), (0, 1))
    mask = disc(60 + dy, 70 + dx, 22)
    return np.where(mask, thing, ground).astype(np.uint8), mask


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_shift_is_found_in_pixels_x_first(preset):
    image = texture(0)
    flow = optical_flow(image, np.roll(image, (-2, 4), (0, 1)), preset=preset)
    assert flow.dtype == np.float32
    assert flow.shape == (*SHAPE, 2)
    assert np.median(flow[20:-20, 20:-20], axis=(0, 1)) == pytest.approx([4, -2], abs=0.3)


def test_colour_and_grey_frames_give_the_same_flow():
    first, second = texture(0), np.roll(texture(0), 3, 1)
    colour = optical_flow(*(np.repeat(image[..., None], 3, 2) for image in (first, second)))
    assert np.allclose(colour, optical_flow(first, second))


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (300, 1), (5, 9), (8, 100), (16, 400), (24, 400), (63, 65), (64, 700)]
)
def test_small_and_narrow_frames_are_no_problem(shape):
    first, second = np.random.default_rng(0).integers(0, 256, (2, *shape)).astype(np.uint8)
    for preset in (None, *PRESETS):
        flow = optical_flow(first, second, preset=preset)
        assert flow.shape == (*shape, 2)
        assert np.isfinite(flow).all()
    moved, _ = warp(np.ones(shape, bool), first, second)
    assert moved.shape == shape
    assert flow_magnitude_image(first, second, None).shape == (*shape, 3)


def test_a_mask_follows_the_flow_exactly_when_it_is_whole_pixels():
    mask = disc(60, 70, 20)
    flow = np.zeros((*SHAPE, 2), np.float32)
    flow[:] = -7, 3
    assert (warp_mask(mask, flow) == np.roll(mask, (-3, 7), (0, 1))).all()


def test_a_mask_that_leaves_the_frame_is_cut_off():
    mask = np.zeros(SHAPE, bool)
    mask[:10] = True
    flow = np.zeros((*SHAPE, 2), np.float32)
    flow[..., 1] = 6
    moved = warp_mask(mask, flow)
    assert moved[:4].all()
    assert not moved[4:].any()
    assert not warp_mask(mask, flow * 10).any()


@pytest.mark.parametrize("camera", [0, -4])
def test_a_mask_follows_its_object(camera):
    previous, mask = scene(0, 0)
    current, truth = scene(3, 6, camera=camera)
    moved, trusted = warp(mask, previous, current)
    assert trusted
    assert overlap(moved, truth) > 0.85 > overlap(mask, truth)


def test_a_change_of_brightness_does_not_shake_the_trust():
    previous, mask = scene(0, 0)
    current, truth = scene(3, 6)
    moved, trusted = warp(mask, previous, (current * 0.6 + 40).astype(np.uint8))
    assert trusted
    assert overlap(moved, truth) > 0.85


def test_flow_at_reduced_resolution_comes_close():
    shape = (480, 640)
    coarse = np.repeat(np.repeat(texture(3), 4, 0), 4, 1)
    mask = disc(240, 300, 80, shape)
    current, truth = np.roll(coarse, (8, -12), (0, 1)), np.roll(mask, (8, -12), (0, 1))
    warping = MaskWarp(coarse, current, longest_side=320)
    moved, trusted = warping.warp(mask)
    assert trusted
    assert warping.flow.shape == (*shape, 2)
    assert overlap(moved, truth) > 0.95


def test_one_flow_moves_the_masks_of_many_objects():
    previous, mask = scene(0, 0)
    current, _ = scene(3, 6)
    warping = MaskWarp(previous, current)
    for part in (mask, mask & disc(60, 70, 12), disc(20, 20, 10)):
        moved, trusted = warping.warp(part)
        again, same = warp(part, previous, current)
        assert trusted == same
        assert (moved == again).all()


@pytest.mark.parametrize("grain", [0.5, 1])
def test_the_object_stays_when_the_scene_is_cut(grain):
    shape = (480, 640)
    mask = disc(240, 280, 80, shape)
    for seed in range(3):
        moved, trusted = warp(
            mask, texture(seed, shape, grain=grain), texture(100 + seed, shape, grain=grain)
        )
        assert not trusted
        assert (moved == mask).all()


def test_a_torn_mask_is_not_trusted():
    image, mask = texture(0), disc(60, 70, 20)
    warping = MaskWarp(image, image)
    warping.flow = warping.flow + np.float32(500)
    moved, trusted = warping.warp(mask)
    assert not trusted
    assert (moved == mask).all()


def test_nothing_to_see_and_nothing_to_move_give_the_mask_back():
    flat, image, mask = np.full(SHAPE, 7, np.uint8), texture(0), disc(60, 70, 20)
    moved, _ = warp(mask, flat, flat)
    assert (moved == mask).all()
    assert moved is not mask
    moved, trusted = warp(mask & False, image, image)
    assert not trusted
    assert not moved.any()
    assert (warp(mask, image, image)[0] == mask).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: optical_flow(texture(0), texture(0, (50, 60))),
        lambda: optical_flow(texture(0) / 255, texture(0)),
        lambda: MaskWarp(texture(0), texture(0)).warp(np.zeros((50, 60), bool)),
        lambda: warp_mask(np.zeros((50, 60), bool), np.zeros((*SHAPE, 2), np.float32)),
    ],
)
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(InputError, match="give"):
        make()


@pytest.mark.parametrize("camera", [0, 5])
def test_the_magnitude_image_shows_the_moving_object_and_not_the_camera(camera):
    frames = [scene(0, (6 + camera) * t, camera=camera * t)[0] for t in (-1, 0, 1)]
    mask = scene(0, 0)[1]
    for before, after in ((frames[0], frames[2]), (None, frames[2]), (frames[0], None)):
        image = flow_magnitude_image(before, frames[1], after)
        assert image.dtype == np.uint8
        assert image.max() == 255
        assert (image[..., 0] == image[..., 1]).all()
        assert (image[..., 0] == image[..., 2]).all()
        assert image[mask].mean() > 4 * image[~mask].mean()


def test_the_magnitude_image_is_black_without_motion():
    image = texture(0)
    assert not flow_magnitude_image(image, image, image).any()
    assert not flow_magnitude_image(None, image, None).any()


def test_importing_opencv_leaves_the_variables_of_qt_alone(tmp_path):
    (tmp_path / "cv2.py").write_text(
        "import os\nos.environ['QT_QPA_PLATFORM_PLUGIN_PATH'] = os.environ['QT_QPA_FONTDIR'] = 'opencv'\n"
    )
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]);"
        "from napari_masktrack.core._opencv import cv2; cv2();"
        "print(os.environ['QT_QPA_PLATFORM_PLUGIN_PATH'], 'QT_QPA_FONTDIR' in os.environ)"
    )
    given = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
    given["QT_QPA_PLATFORM_PLUGIN_PATH"] = "mine"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine", "False"]
