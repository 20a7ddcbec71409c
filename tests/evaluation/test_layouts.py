"""Data sets are found in the folders in which they are downloaded."""

import numpy as np
import pytest

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.protocols import PROTOCOLS, find_problems, leave_out_unjudged
from napari_masktrack.evaluation.scores import judge


def find(protocol, data, *wanted, excluded=(), **settings):
    return find_problems(protocol, data, EvaluationConfig(**settings), wanted, excluded=excluded)


def two_objects(make):
    labels = make.squares((2, 2), (2, 4), (2, 6), (2, 8))
    labels[:, 14:22, 20:28] = 2
    return labels


def test_davis_2016_is_one_object_judged_on_all_but_the_first_and_last_frame(davis):
    (problem,) = find("davis", davis)
    opened = problem.open()
    assert problem.name == "bear"
    assert (opened.given, opened.labels, opened.counted_frames) == (0, (1,), (1, 2, 3, 4))
    assert set(np.unique(opened.truth(3))) == {0, 1}


def test_davis_2016_joins_the_objects_of_2017(tmp_path, make):
    data = make.davis(tmp_path, {"bear": two_objects(make)})
    opened = find("davis", data)[0].open()
    assert opened.labels == (1,)
    assert np.count_nonzero(opened.truth(0)) == 2 * 64


def test_davis_2017_has_an_object_per_id_of_the_palette_and_void_is_none(tmp_path, make):
    labels = two_objects(make)
    labels[1, 0, :5] = 255
    data = make.davis(tmp_path, {"bear": labels}, year="2017")
    opened = find("davis", data, year="2017")[0].open()
    assert opened.labels == (1, 2)
    np.testing.assert_array_equal(opened.truth(1), np.where(labels[1] == 255, 0, labels[1]))


def test_the_lists_of_the_first_release_name_files(davis):
    (davis / "ImageSets" / "2016" / "val.txt").unlink()
    lines = "".join(f"/JPEGImages/480p/bear/{i:05}.jpg /Annotations/480p/bear/{i:05}.png\n" for i in range(6))
    (davis / "ImageSets" / "480p").mkdir()
    (davis / "ImageSets" / "480p" / "trainval.txt").write_text(lines)
    assert [each.name for each in find("davis", davis, set="trainval")] == ["bear"]


@pytest.mark.parametrize("together", ["trainval", "train,val"])
def test_sets_can_be_joined_where_the_data_set_has_no_list_of_all(tmp_path, make, moving, together):
    data = make.davis(tmp_path, {"bear": moving, "bus": moving})
    lists = data / "ImageSets" / "2016"
    (lists / "val.txt").write_text("bear\n")
    with pytest.raises(InputError, match=r"no .*2016/train\.txt; choose one of val with --set"):
        find("davis", data, set=together)
    (lists / "train.txt").write_text("bus\n")
    assert [each.name for each in find("davis", data, set=together)] == ["bus", "bear"]
    (lists / "trainval.txt").write_text("bear\n")
    assert [each.name for each in find("davis", data, set="trainval")] == ["bear"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"set": "test"}, r"2016/test\.txt; choose one of val"), ({"year": "2017"}, r"2017/val\.txt; check")],
)
def test_a_set_that_is_not_there_is_refused_by_the_name_of_its_file(davis, settings, said):
    with pytest.raises(InputError, match=said):
        find("davis", davis, **settings)


def test_a_sequence_of_the_set_without_frames_is_refused(davis):
    (davis / "ImageSets" / "2016" / "val.txt").write_text("bear\nunicorn\n")
    with pytest.raises(InputError, match=r"val\.txt names the sequence unicorn.*no .*480p/unicorn"):
        find("davis", davis)


def test_what_is_left_out_needs_no_files(davis):
    (davis / "ImageSets" / "2016" / "val.txt").write_text("bear\nunicorn\n")
    assert [each.name for each in find("davis", davis, "bear")] == ["bear"]
    assert [each.name for each in find("davis", davis, excluded=["unicorn"])] == ["bear"]
    with pytest.raises(InputError, match=r"no .*480p/unicorn; .*leave it out: --exclude unicorn\."):
        find("davis", davis, "bear", "unicorn")
    with pytest.raises(InputError, match="no sequence dragon"):
        find("davis", davis, excluded=["dragon"])
    with pytest.raises(InputError, match=r"No sequence of .* is left"):
        find("davis", davis, "bear", excluded=["bear"])


@pytest.mark.parametrize(
    ("protocol", "images", "truth"),
    [
        ("segtrack", "JPEGImages/{}", "GroundTruth/{}"),
        ("youtube-objects", "JPEGImages/cat/{}", "Annotations/cat/{}"),
        ("folder", "{}/images", "{}/labels"),
        ("ctc", "{}", "{}_GT/TRA"),
    ],
)
def test_other_data_sets_may_be_incomplete_as_well_where_that_does_not_count(
    tmp_path, make, moving, protocol, images, truth
):
    for name in ("whole", "broken"):
        make.frames(tmp_path / images.format(name), moving)
        make.masks(tmp_path / truth.format(name), moving)
    for path in (tmp_path / truth.format("broken")).iterdir():
        path.unlink()
    with pytest.raises(InputError, match="broken"):
        find(protocol, tmp_path)
    assert [each.title for each in find(protocol, tmp_path, "whole")] == ["whole"]
    assert [each.title for each in find(protocol, tmp_path, excluded=["broken"])] == ["whole"]


def test_each_object_of_segtrack_is_its_own_problem(tmp_path, make):
    labels = two_objects(make)
    for name in ("bmx", "girl"):
        make.frames(tmp_path / "JPEGImages" / name, labels, name=f"{name}_{{}}", ending=".png")
    make.masks(tmp_path / "GroundTruth" / "girl", labels == 1, kind="rgb")
    for label in (1, 2):
        folder = tmp_path / "GroundTruth" / "bmx" / str(label)
        make.masks(folder, labels == label, name="other_{}", kind="binary")
    problems = find("segtrack", tmp_path)
    assert [each.name for each in problems] == ["bmx/1", "bmx/2", "girl"]
    for problem, label in zip(problems, (1, 2, 1), strict=True):
        opened = problem.open()
        assert opened.counted_frames == (1, 2, 3)
        np.testing.assert_array_equal(opened.truth(2), labels[2] == label)
    assert [each.name for each in find("segtrack", tmp_path, "bmx/2")] == ["bmx/2"]


@pytest.fixture
def segtrack(tmp_path, make, moving):
    make.frames(tmp_path / "JPEGImages" / "girl", moving, name="girl_{}")
    make.masks(tmp_path / "GroundTruth" / "girl", moving, name="girl_{}", kind="binary")
    return tmp_path


def test_masks_of_segtrack_belong_to_the_frames_of_their_names(segtrack, moving):
    (segtrack / "GroundTruth" / "girl" / "girl_2.png").unlink()
    with pytest.raises(InputError, match=r"GroundTruth/girl has masks for 5 of 6 frame.*: girl_2 is missing"):
        find("segtrack", segtrack)[0].open()
    (segtrack / "JPEGImages" / "girl" / "girl_2.jpg").unlink()
    (segtrack / "JPEGImages" / "girl" / "girl_0.jpg").rename(segtrack / "JPEGImages" / "girl" / "girl_9.jpg")
    truth = segtrack / "GroundTruth" / "girl"
    (truth / "girl_0.png").rename(truth / "girl_9.PNG")
    np.testing.assert_array_equal(find("segtrack", segtrack)[0].open().truth(4), moving[0])


def test_masks_of_segtrack_with_other_names_must_be_as_many_as_frames(segtrack):
    truth = segtrack / "GroundTruth" / "girl"
    for path in sorted(truth.iterdir()):
        path.rename(truth / path.name.replace("girl", "mask"))
    assert len(find("segtrack", segtrack)[0].open().true_frames) == 6
    (truth / "mask_2.png").unlink()
    with pytest.raises(InputError, match=r"girl/mask_0\.png has the name of no frame, and 5 mask.*6 frame"):
        find("segtrack", segtrack)[0].open()


def test_youtube_objects_as_downloaded_has_masks_of_some_frames_in_jpeg(tmp_path, make):
    labels = make.squares(*((8, 4 + 2 * frame) for frame in range(8)))
    shot = ("cat", "data", "0001", "shots", "003")
    make.frames(tmp_path.joinpath("v1", *shot), labels, name="frame{:04}")
    truth = tmp_path.joinpath("youtube_masks", *shot, "labels")
    make.masks(truth, labels, name="{:05}", kind="binary", ending=".jpg")
    for frame in (0, 2, 3, 5, 7):
        (truth / f"{frame:05}.jpg").unlink()
    (problem,) = find("youtube-objects", tmp_path)
    opened = problem.open()
    assert (problem.name, problem.group) == ("cat/0001/003", "cat")
    assert (opened.given, opened.frames, opened.counted_frames) == (1, range(1, 7), (4, 6))
    np.testing.assert_array_equal(opened.truth(4), labels[4])


def test_youtube_objects_may_be_sorted_by_class(tmp_path, make, moving):
    make.frames(tmp_path / "JPEGImages" / "dog" / "first", moving)
    make.masks(tmp_path / "Annotations" / "dog" / "first", moving[::2], name="{:04}0")
    with pytest.raises(InputError, match=r"00010\.png belongs to none of the 6 frame"):
        find("youtube-objects", tmp_path)[0].open()
    for path in sorted((tmp_path / "Annotations" / "dog" / "first").glob("*.png")):
        path.rename(path.with_name(f"{2 * int(path.stem) // 10:05}.png"))
    assert find("youtube-objects", tmp_path)[0].open().counted_frames == (2, 4)


@pytest.fixture
def shots(tmp_path, make, moving):
    """Two shots of YouTube-Objects; of the second one only the first frame has a mask."""
    for name, count in (("first", 6), ("second", 1)):
        make.frames(tmp_path / "JPEGImages" / "cow" / name, moving)
        make.masks(tmp_path / "Annotations" / "cow" / name, moving[:count])
    return tmp_path


def test_shots_without_a_frame_to_judge_are_left_out_by_name(shots):
    judged, left_out = leave_out_unjudged("youtube-objects", find("youtube-objects", shots))
    assert ([each.name for each in judged], left_out) == (["cow/first"], ("cow/second",))
    with pytest.raises(
        InputError, match=r"No frame of 'cow/second' would.*leave it out: --exclude cow/second"
    ):
        leave_out_unjudged("youtube-objects", find("youtube-objects", shots, "cow/second"))


def test_where_nothing_may_be_left_out_all_sequences_without_a_frame_to_judge_are_named(
    tmp_path, make, moving
):
    for name, count in (("a", 1), ("b", 6), ("c", 1)):
        make.frames(tmp_path / name / "images", moving)
        make.masks(tmp_path / name / "labels", moving[:count])
    with pytest.raises(
        InputError, match=r"No frame of a, c would be judged.*leave them out: --exclude a,c\."
    ):
        leave_out_unjudged("folder", find("folder", tmp_path, sparse=True))
    assert leave_out_unjudged("folder", find("folder", tmp_path, "b", sparse=True))[1] == ()


def test_masks_of_youtube_objects_may_be_smaller_than_the_frames(tmp_path, make, moving):
    make.frames(tmp_path / "JPEGImages" / "cow" / "shot", moving)
    make.masks(tmp_path / "Annotations" / "cow" / "shot", moving[:, ::2, ::2])
    opened = find("youtube-objects", tmp_path)[0].open()
    np.testing.assert_array_equal(opened.annotations.label_image(0, opened.movie.shape), moving[0])
    np.testing.assert_array_equal(opened.truth(2), moving[2, ::2, ::2])
    score = judge(opened, ((frame, moving[frame]) for frame in opened.counted_frames))
    assert score.objects[0].values["J"] == [1] * 5
    smaller = judge(opened, ((frame, moving[frame, ::2, ::2]) for frame in opened.counted_frames))
    assert smaller == score


@pytest.mark.parametrize(("height", "width", "fits"), [(12, 16, True), (11, 15, True), (13, 15, False)])
def test_masks_of_youtube_objects_have_the_frames_aspect_ratio_but_for_less_than_a_pixel(
    tmp_path, make, moving, height, width, fits
):
    make.frames(tmp_path / "JPEGImages" / "cow" / "shot", moving)
    make.masks(tmp_path / "Annotations" / "cow" / "shot", moving[:, :height, :width])
    problem = find("youtube-objects", tmp_path)[0]
    if fits:
        assert len(problem.open().true_frames) == 6
    else:
        with pytest.raises(InputError, match=r"00000\.png has 13 x 15 pixels, .* 24 x 32 .*or enlarged"):
            problem.open()


def test_folders_with_images_and_labels_are_found_two_levels_deep(tmp_path, make, moving):
    for name in ("alone", "group/one", "group/two"):
        make.frames(tmp_path / name / "images", moving)
        make.masks(tmp_path / name / "labels", moving)
    assert [each.name for each in find("folder", tmp_path)] == ["alone", "group/one", "group/two"]
    assert [each.name for each in find("folder", tmp_path, "two", "alone")] == ["alone", "group/two"]
    assert find("folder", tmp_path / "alone")[0].name == "alone"
    assert find("folder", tmp_path)[0].open().counted_frames == (1, 2, 3, 4, 5)
    assert find("folder", tmp_path, skip_last=True)[0].open().counted_frames == (1, 2, 3, 4)
    assert find("folder", tmp_path, limit=3)[0].open().counted_frames == (1, 2)


def test_a_sparse_truth_judges_only_what_it_shows(tmp_path, make, moving):
    make.frames(tmp_path / "images", moving)
    make.masks(tmp_path / "labels", moving)
    (tmp_path / "labels" / "00003.png").unlink()
    with pytest.raises(InputError, match=r"labels has masks for 5 of 6 frame\(s\): 00003 is missing"):
        find("folder", tmp_path)[0].open()
    assert find("folder", tmp_path, sparse=True)[0].open().counted_frames == (1, 2, 4, 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_empty_or_missing_data_folder_is_refused(tmp_path, protocol):
    with pytest.raises(InputError, match=str(tmp_path)):
        find(protocol, tmp_path)
    with pytest.raises(InputError, match=r"There is no folder .*nowhere"):
        find(protocol, tmp_path / "nowhere")


def test_an_unknown_sequence_is_refused(davis):
    with pytest.raises(InputError, match="no sequence unicorn"):
        find("davis", davis, "unicorn")
