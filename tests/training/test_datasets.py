"""Images with masks on disk become an endless stream of scenes."""

from itertools import islice

import cv2
import numpy as np
import pytest

from napari_masktrack.errors import InputError
from napari_masktrack.training.datasets import Dataset, find_pairs, read_scene, stream

SHAPE = (60, 80)


def rng(seed=0):
    return np.random.default_rng(seed)


def write(folder, name, *, mask=None, image=None):
    (folder / "images").mkdir(exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    if image is None:
        image = np.full((*SHAPE, 3), (200, 100, 30), np.uint8)  # blue, green, red
    if mask is None:
        mask = np.zeros(SHAPE, np.uint8)
        mask[20:40, 30:50] = 255
    cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


def dataset(folder, **options):
    return Dataset(find_pairs(folder / "images", folder / "masks"), **options)


def test_images_and_masks_are_paired_by_name_whatever_their_ending(tmp_path):
    for name in ("b", "a"):
        write(tmp_path, name)
    (tmp_path / "images" / "alone.png").write_bytes(b"")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    (tmp_path / "masks" / "b.png").rename(tmp_path / "masks" / "b.PNG")
    pairs = find_pairs(tmp_path / "images", tmp_path / "masks")
    assert [(i.name, m.name) for i, m in pairs] == [("a.png", "a.png"), ("b.png", "b.PNG")]


def test_missing_folders_and_masks_are_refused(tmp_path):
    write(tmp_path, "a")
    with pytest.raises(InputError, match="nowhere is not a folder"):
        find_pairs(tmp_path / "images", tmp_path / "nowhere")
    (tmp_path / "masks" / "a.png").rename(tmp_path / "masks" / "other.png")
    with pytest.raises(InputError, match=r"No image in .* has a mask of the same name"):
        find_pairs(tmp_path / "images", tmp_path / "masks")


@pytest.mark.parametrize("planes", [1, 3])
def test_deep_images_are_scaled_as_movies_are_not_cut_to_their_upper_byte(tmp_path, planes):
    image = np.linspace(100, 4095, 60 * 80).reshape(SHAPE).astype(np.uint16)
    write(tmp_path, "a", image=image if planes == 1 else np.stack([image] * planes, axis=-1))
    scene = read_scene(dataset(tmp_path), 0, rng())
    assert scene.image.dtype == np.uint8
    assert scene.image.shape == (*SHAPE, 3)
    assert scene.image.min() < 5
    assert scene.image.max() > 250


def test_a_scene_holds_rgb_and_the_mask(tmp_path):
    write(tmp_path, "a")
    scene = read_scene(dataset(tmp_path, jump=2.0), 0, rng())
    assert scene.image.shape == (*SHAPE, 3)
    assert scene.image[0, 0].tolist() == [30, 100, 200]
    assert scene.image.flags["C_CONTIGUOUS"]
    assert scene.target.sum() == 400
    assert scene.target[20:40, 30:50].all()
    assert scene.known.all()
    assert scene.jump == 2.0


def test_each_instance_is_an_object_of_its_own(tmp_path):
    mask = np.zeros(SHAPE, np.uint16)
    mask[5:15, 5:15], mask[30:50, 40:60] = 1, 900
    write(tmp_path, "a", mask=mask)
    areas = {read_scene(dataset(tmp_path, instances=True), 0, rng(seed)).target.sum() for seed in range(20)}
    assert areas == {100, 400}
    assert read_scene(dataset(tmp_path), 0, rng()).target.sum() == 500


def test_instances_may_be_told_apart_by_colour_and_alpha_says_nothing(tmp_path):
    mask = np.zeros((*SHAPE, 4), np.uint8)
    mask[..., 3] = 255
    mask[5:15, 5:15, 2] = 128  # red and green of DAVIS' palette: the largest value is the same
    mask[30:50, 40:60, 1] = 128
    write(tmp_path, "a", mask=mask)
    areas = {read_scene(dataset(tmp_path, instances=True), 0, rng(seed)).target.sum() for seed in range(20)}
    assert areas == {100, 400}
    assert read_scene(dataset(tmp_path), 0, rng()).target.sum() == 500


def test_an_empty_mask_gives_no_scene(tmp_path):
    write(tmp_path, "a", mask=np.zeros(SHAPE, np.uint8))
    assert read_scene(dataset(tmp_path), 0, rng()) is None
    assert read_scene(dataset(tmp_path, instances=True), 0, rng()) is None


def test_files_that_do_not_fit_or_cannot_be_read_are_refused_by_name(tmp_path):
    write(tmp_path, "a", mask=np.ones((9, 9), np.uint8))
    with pytest.raises(InputError, match=r"a\.png is \(9, 9\).*one size"):
        read_scene(dataset(tmp_path), 0, rng())
    (tmp_path / "masks" / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"masks.a\.png cannot be read"):
        read_scene(dataset(tmp_path), 0, rng())


def test_the_stream_takes_data_sets_by_weight_and_never_ends(tmp_path):
    for name, side in (("small", 8), ("large", 30)):
        mask = np.zeros(SHAPE, np.uint8)
        mask[10 : 10 + side, 10 : 10 + side] = 1
        (tmp_path / name).mkdir()
        write(tmp_path / name, "x", mask=mask)
    sets = [dataset(tmp_path / "small", weight=3.0), dataset(tmp_path / "large", weight=1.0)]
    areas = [scene.target.sum() for scene in islice(stream(sets, rng(), others=0, dreams=0), 200)]
    assert set(areas) == {64, 900}
    assert 0.65 < areas.count(64) / 200 < 0.85
    off = [dataset(tmp_path / "small", weight=0.0), sets[1]]
    assert {scene.target.sum() for scene in islice(stream(off, rng(), others=0, dreams=0), 20)} == {900}


def test_the_same_seed_gives_the_same_stream(tmp_path):
    for name in "abc":
        write(tmp_path, name)
    one, other = (stream([dataset(tmp_path)], rng(4), others=0.5, dreams=0.5) for _ in range(2))
    for first, second in islice(zip(one, other, strict=True), 12):
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.target, second.target)


def test_masks_without_any_object_end_the_stream_with_an_error_instead_of_going_on_for_ever(tmp_path):
    write(tmp_path, "a", mask=np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match="show no object"):
        next(stream([dataset(tmp_path)], rng(), others=0, dreams=0))


def test_letters_of_any_script_in_a_path_do_not_matter(tmp_path, monkeypatch):
    write(tmp_path, "a")
    for kind in ("images", "masks"):
        (tmp_path / kind / "a.png").rename(tmp_path / kind / "Zelle-\u7d30\u80de.png")
    monkeypatch.setattr(cv2, "imread", lambda *_: None)  # what it gives on Windows for such a path
    assert read_scene(dataset(tmp_path), 0, rng()).target.sum() == 400
