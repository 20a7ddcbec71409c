"""The Cell Tracking Challenge: found, followed and judged by its own metrics."""

import shutil

import numpy as np
import pytest
import tifffile

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import ConfigError, InputError
from napari_masktrack.evaluation import ctc
from napari_masktrack.evaluation.jobs import Finished
from napari_masktrack.evaluation.methods import Settings
from napari_masktrack.evaluation.protocols import find_problems
from napari_masktrack.evaluation.run import Evaluation, evaluate, prepare


def write(folder, pattern, labels):
    folder.mkdir(parents=True, exist_ok=True)
    for frame, image in enumerate(labels):
        tifffile.imwrite(folder / pattern.format(frame), image.astype(np.uint16), compression="lzw")


@pytest.fixture
def cells(make):
    """Two cells that stand still, on five frames."""
    labels = make.squares(*[(2, 2)] * 5, label=4)
    labels[:, 14:22, 20:28] = 7
    return labels


@pytest.fixture
def data(tmp_path, make, cells):
    make.frames(tmp_path / "data" / "01", cells, name="t{:03}", ending=".tif")
    markers = np.zeros_like(cells)
    for y, x in ((5, 5), (17, 23)):
        markers[:, y : y + 2, x : x + 2] = cells[:, y : y + 2, x : x + 2]
    write(tmp_path / "data" / "01_GT" / "TRA", "man_track{:03}.tif", markers)
    (tmp_path / "data" / "01_GT" / "TRA" / "man_track.txt").write_text("4 0 4 0\n7 0 4 0\n")
    write(tmp_path / "data" / "01_GT" / "SEG", "man_seg{:03}.tif", np.where(cells == 4, 1, cells)[:3])
    return tmp_path / "data"


def problem(data):
    return find_problems("ctc", data, EvaluationConfig())[0]


def evaluation(data, settings=None):
    problems = (problem(data),)
    return Evaluation(protocol="ctc", problems=problems, results=data.parent / "results", settings=settings)


def judged(evaluation):
    steps = evaluate(evaluation, prepare(evaluation))
    return next(step.result for step in steps if isinstance(step, Finished))


@pytest.fixture
def perfect(data, cells):
    folder = data.parent / "results" / "01_RES"
    write(folder, "mask{:03}.tif", cells)
    (folder / "res_track.txt").write_text("4 0 4 0\n7 0 4 0\n")
    return folder


def table(folder, *lines):
    (folder / "res_track.txt").write_text("\n".join(lines))


def test_the_given_masks_have_the_outlines_of_seg_and_the_ids_of_tra(data, cells):
    opened = problem(data).open()
    assert opened.labels == (4, 7)
    np.testing.assert_array_equal(opened.annotations.label_image(0, opened.movie.shape), cells[0])


def test_the_silver_truth_gives_outlines_where_the_gold_one_has_none(data, cells):
    (data / "01_ST").mkdir()
    (data / "01_GT" / "SEG").rename(data / "01_ST" / "SEG")
    opened = problem(data).open()
    np.testing.assert_array_equal(opened.annotations.label_image(0, opened.movie.shape), cells[0])
    shutil.rmtree(data / "01_ST")
    assert np.count_nonzero(problem(data).open().annotations.label_image(0, opened.movie.shape)) == 8


def test_each_object_has_its_best_outline_gold_before_silver_before_marker(data, cells):
    """The gold truth outlines cell 4 alone, the silver one both, cell 4 too large."""
    silver = np.where(cells[:1] == 7, 3, 0)
    silver[0, 1:15, 1:22][silver[0, 1:15, 1:22] == 0] = 2
    write(data / "01_ST" / "SEG", "man_seg{:03}.tif", silver)
    write(data / "01_GT" / "SEG", "man_seg{:03}.tif", np.where(cells == 4, 9, 0)[:1])
    opened = problem(data).open()
    np.testing.assert_array_equal(opened.annotations.label_image(0, opened.movie.shape), cells[0])
    shutil.rmtree(data / "01_ST")
    found = problem(data).open().annotations.label_image(0, opened.movie.shape)
    assert [np.count_nonzero(found == label) for label in (4, 7)] == [64, 4]


def test_an_outline_around_two_objects_hides_neither(data, cells):
    write(data / "01_GT" / "SEG", "man_seg{:03}.tif", np.ones_like(cells[:1]))
    opened = problem(data).open()
    assert opened.labels == (4, 7)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda gold: (gold / "TRA" / "man_track.txt").unlink(), r"no .*01_GT/TRA/man_track\.txt"),
        (lambda gold: (gold / "TRA" / "man_track.txt").write_text("4 0"), r"man_track\.txt is no table"),
        (lambda gold: tifffile.imwrite(gold / "SEG" / "man_seg002.tif", np.zeros((4, 4), np.uint16)), "g002"),
        (lambda gold: (gold / "SEG" / "man_seg002.tif").write_bytes(b"II*"), r"man_seg002\.tif cannot be"),
    ],
)
def test_a_broken_gold_truth_is_refused_by_the_name_of_the_file(data, damage, said):
    damage(data / "01_GT")
    with pytest.raises(InputError, match=said):
        prepare(evaluation(data, Settings(method="copy")))


def test_several_data_sets_lie_in_folders_of_their_names(data):
    data.rename(data.with_name("Fluo"))
    assert [each.name for each in find_problems("ctc", data.parent, EvaluationConfig())] == ["Fluo/01"]


def test_a_perfect_result_scores_one(data, perfect):
    assert judged(evaluation(data)).score.columns() == {"SEG": 1, "DET": 1, "TRA": 1}


def test_a_cell_that_is_never_found_costs_what_the_challenge_says(data, perfect, cells):
    write(perfect, "mask{:03}.tif", np.where(cells == 7, 0, cells))
    (perfect / "res_track.txt").write_text("4 0 4 0\n")
    columns = judged(evaluation(data)).score.columns()
    # DET and TRA: 5 missed cells weigh 10 each, of 10; 4 missed links 1.5 each, of 8.
    assert columns["SEG"] == pytest.approx(0.5)
    assert columns["DET"] == pytest.approx(1 - 5 / 10)
    assert columns["TRA"] == pytest.approx(1 - (5 * 10 + 4 * 1.5) / (10 * 10 + 8 * 1.5))


def test_results_are_computed_in_the_format_of_the_challenge(data):
    score = judged(evaluation(data, Settings(method="copy"))).score
    assert score.columns() == {"SEG": 1, "DET": 1, "TRA": 1}
    assert (data.parent / "results" / "01_RES" / "res_track.txt").read_text() == "4 0 4 0\n7 0 4 0\n"


def test_without_outlines_there_is_no_seg(data, perfect):
    shutil.rmtree(data / "01_GT" / "SEG")
    assert judged(evaluation(data)).score.columns() == {"DET": 1, "TRA": 1}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "mask003.tif").unlink(), r"01_RES has 4 mask\(s\), but .*01 has 5"),
        (lambda folder: (folder / "res_track.txt").unlink(), r"no .*res_track\.txt"),
        (lambda folder: tifffile.imwrite(folder / "mask003.tif", np.zeros((4, 4), np.uint16)), "has 4 x 4"),
        (lambda folder: (folder / "mask003.tif").write_bytes(b"II*"), r"mask003\.tif cannot be read"),
        (lambda folder: table(folder, "4 0 x 0"), r"res_track\.txt cannot be read"),
        (lambda folder: table(folder, ""), r"res_track\.txt is no table of tracks"),
        (lambda folder: table(folder, "4 0 4", "7 0 4"), r"res_track\.txt is no table of tracks"),
        (lambda folder: table(folder, "4 0 4 0", "4 0 4 0"), r"res_track\.txt .*not unique"),
        (lambda folder: table(folder, "4 3 2 0"), r"res_track\.txt is not valid \(Track ends before birth"),
        (lambda folder: table(folder, "4 0 4 9"), r"res_track\.txt cannot be judged"),
        (lambda folder: table(folder, "4 0 5 0", "7 0 4 0"), "has track 4 end on frame 5, but the last one"),
    ],
)
def test_an_incomplete_result_is_refused_by_the_name_of_the_file(data, perfect, damage, said):
    damage(perfect)
    with pytest.raises(InputError, match=said):
        prepare(evaluation(data))


def test_a_result_against_the_rules_is_refused_with_the_reason(data, perfect):
    table(perfect, "4 0 4 0")
    with pytest.raises(InputError, match=r"01_RES is not valid \(Label 7 in mask .*mask000\.tif"):
        judged(evaluation(data))


def test_without_the_library_the_error_says_how_to_install_it(data, perfect, monkeypatch):
    monkeypatch.setattr(ctc, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install py-ctcmetrics\.$"):
        prepare(evaluation(data))
