"""Results are computed once, judged as often as wanted, and never overwritten."""

import multiprocessing
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_masktrack.config import EvaluationConfig, FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Absent, Annotations, Box
from napari_masktrack.errors import InputError, OutputError
from napari_masktrack.evaluation.jobs import Finished
from napari_masktrack.evaluation.methods import Settings, as_boxes
from napari_masktrack.evaluation.protocols import find_problems
from napari_masktrack.evaluation.results import filling
from napari_masktrack.evaluation.run import Evaluation, evaluate, made_otherwise, prepare
from napari_masktrack.io.session_files import read_json, read_labels, write_json
from napari_masktrack.model.checkpoint import load_checkpoint, save_checkpoint

COPY = Settings(method="copy")


@pytest.fixture
def evaluation(tmp_path, make, moving):
    data = make.davis(tmp_path / "data", {"bear": moving, "bus": moving[::-1].copy()}, kind="binary")
    problems = tuple(find_problems("davis", data, EvaluationConfig()))
    return Evaluation(protocol="davis", problems=problems, results=tmp_path / "results", settings=COPY)


def run(evaluation):
    found = {
        step.index: step.result
        for step in evaluate(evaluation, prepare(evaluation))
        if isinstance(step, Finished)
    }
    return [found[index] for index in range(len(evaluation.problems))]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_missing_results_are_computed_with_a_record_of_how(evaluation):
    bear, bus = run(evaluation)
    assert [each.score.name for each in (bear, bus)] == ["bear", "bus"]
    folder = evaluation.results / "bear"
    assert sorted(path.name for path in folder.iterdir()) == [f"{i:05}.png" for i in range(6)] + ["run.json"]
    assert bear.record == read_json(folder / "run.json")
    assert bear.record["method"] == "copy"
    assert bear.record["frames"] == 6
    assert bear.record["seconds_per_frame"] >= 0


def test_finished_results_are_kept_and_not_computed_again(evaluation):
    before = run(evaluation)
    files = contents(evaluation.results)
    assert prepare(evaluation) == ()
    assert run(evaluation) == before
    assert contents(evaluation.results) == files


def test_an_interrupted_run_leaves_whole_results_only_and_goes_on_from_there(evaluation):
    missing = prepare(evaluation)
    steps = evaluate(evaluation, missing)
    next(step for step in steps if isinstance(step, Finished))
    next(steps)
    steps.close()
    assert [path.name for path in evaluation.results.iterdir()] == ["bear"]
    kept = contents(evaluation.results)
    assert [problem.name for problem in prepare(evaluation)] == ["bus"]
    assert len(run(evaluation)) == 2
    assert kept.items() <= contents(evaluation.results).items()


def test_two_jobs_give_what_one_gives(evaluation, tmp_path):
    alone = run(evaluation)
    together = run(replace(evaluation, results=tmp_path / "other", jobs=2))
    assert [each.score for each in together] == [each.score for each in alone]


def test_two_jobs_that_are_interrupted_end_and_leave_whole_results_only(evaluation):
    evaluation = replace(evaluation, jobs=2)
    steps = evaluate(evaluation, prepare(evaluation))
    next(steps)
    steps.close()
    assert multiprocessing.active_children() == []
    names = {path.name for path in evaluation.results.iterdir()} if evaluation.results.is_dir() else set()
    assert names <= {"bear", "bus"}
    assert len(run(evaluation)) == 2


def test_results_of_others_are_judged_but_not_mixed_with_ours(evaluation, make, moving):
    make.masks(evaluation.results / "bear", moving, kind="binary")
    with pytest.raises(InputError, match=r"no result .*bus \(1 of 2 missing\)"):
        prepare(evaluation)
    make.masks(evaluation.results / "bus", moving[::-1], kind="palette")
    before = contents(evaluation.results)
    assert [each.score.columns()["J mean"] for each in run(evaluation)] == [1, 1]
    assert [each.record for each in run(evaluation)] == [None, None]
    assert contents(evaluation.results) == before


def test_without_settings_nothing_is_computed(evaluation):
    with pytest.raises(InputError, match=r"no result .*bear \(2 of 2 missing\)"):
        prepare(replace(evaluation, settings=None))


def test_a_run_is_not_continued_with_other_settings(evaluation):
    run(evaluation)
    shutil.rmtree(evaluation.results / "bus")
    with pytest.raises(OutputError, match=r"bear was made with other settings \(method: copy, now warp\)"):
        prepare(replace(evaluation, settings=Settings(method="warp")))
    assert [each.name for each in prepare(evaluation)] == ["bus"]


@pytest.fixture
def foreign(evaluation, make, moving):
    make.masks(evaluation.results / "bus", moving[::-1])
    make.masks(evaluation.results / "bear", moving)
    return evaluation.results / "bear"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "00003.png").unlink(), r"no .*bear/00003\.png"),
        (lambda folder: Image.new("L", (5, 5)).save(folder / "00003.png"), r"00003\.png has 5 x 5 pixels"),
        (lambda folder: Image.new("L", (32, 24)).save(folder / "00006.png"), r"00006\.png belongs to none"),
        (lambda folder: (folder / "00003.png").write_bytes(b"\x89PNG"), r"00003\.png cannot be read"),
        (lambda folder: [path.rename(path.with_suffix(".txt")) for path in folder.glob("*.png")], "no masks"),
    ],
)  # fmt: skip
def test_a_damaged_result_is_refused_by_the_name_of_the_file(evaluation, foreign, damage, said):
    damage(foreign)
    with pytest.raises(InputError, match=said):
        prepare(evaluation)


def test_a_result_in_colours_is_refused_by_the_name_of_the_file(evaluation, foreign):
    Image.new("RGB", (32, 24), (0, 128, 0)).save(foreign / "00003.png")
    with pytest.raises(InputError, match=r"bear/00003\.png shows colours"):
        prepare(evaluation)


def test_results_may_have_16_bits_palettes_or_three_equal_channels(evaluation, make, moving):
    for kind in ("deep", "palette", "rgb"):
        other = replace(evaluation, results=evaluation.results.with_name(kind))
        make.masks(other.results / "bear", moving, kind=kind)
        make.masks(other.results / "bus", moving[::-1], kind=kind)
        assert [each.score.columns()["J mean"] for each in run(other)] == [1, 1]


def test_frames_that_do_not_count_need_no_mask(evaluation, foreign):
    for frame in (0, 5):
        (foreign / f"{frame:05}.png").unlink()
    assert run(evaluation)[0].score.columns()["J mean"] == 1


def test_the_result_of_another_program_is_not_replaced_by_one_finished_later(tmp_path):
    folder = tmp_path / "bear"

    def two_programs():
        with filling(folder) as part:
            (part / "00000.png").write_text("ours")
            folder.mkdir()
            (folder / "00000.png").write_text("theirs")

    with pytest.raises(OutputError, match="filled by another program"):
        two_programs()
    assert [path.name for path in tmp_path.iterdir()] == ["bear"]
    assert (folder / "00000.png").read_text() == "theirs"


def test_what_a_killed_run_left_is_removed_but_not_what_another_one_works_on(tmp_path):
    folder = tmp_path / "be[ar]"
    working = filling(folder)
    part = working.__enter__()
    killed = tmp_path / ".be[ar].killed.part"
    shutil.copytree(part.parent, killed)
    with filling(folder) as other:
        assert other != part
        assert part.is_dir()
        assert not killed.exists()
        (other / "00000.png").write_text("ours")
    with pytest.raises(OutputError, match="filled by another program"):
        working.__exit__(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["be[ar]"]
    assert [path.name for path in folder.iterdir()] == ["00000.png"]


def test_every_nth_frame_can_be_annotated_from_the_truth(evaluation):
    every = replace(
        evaluation, settings=replace(COPY, every=3), results=evaluation.results.with_name("every")
    )
    for few, many in zip(run(evaluation), run(every), strict=True):
        assert many.score.objects[0].values["J"][2] == 1
        assert few.score.objects[0].values["J"][2] < 1
        assert many.record["every"] == 3
        assert "every" not in few.record
    shutil.rmtree(every.results / "bus")
    with pytest.raises(OutputError, match="every: 3, now 0"):
        prepare(replace(every, settings=COPY))
    with pytest.raises(InputError, match="makes no use of annotations"):
        prepare(replace(every, settings=Settings(method="box-oracle", every=3)))


@pytest.mark.parametrize("method", ["masktrack", "box"])
def test_the_tracker_is_fine_tuned_and_timed(evaluation, weights, method):
    settings = Settings(
        method=method,
        model=str(weights),
        device="cpu",
        finetune=FinetuneConfig(steps=1, batch=1, size=64),
        propagation=PropagationConfig(crop_size=64),
    )
    (judged,) = run(replace(evaluation, problems=evaluation.problems[:1], settings=settings))
    assert 0 <= judged.score.columns()["J mean"] <= 1
    # an untrained network is not sure enough of what the box holds to learn from it
    assert judged.record["finetuning_steps"] == (method == "masktrack")
    assert judged.record["seconds"] > judged.record["finetuning_seconds"] >= 0
    assert (judged.record["finetuning_seconds"] > 0) == (method == "masktrack")
    assert judged.record["propagation"]["crop_size"] == 64
    assert judged.record["weights"] == "untrained.safetensors"
    assert len(judged.record["weights_sha256"]) == 64
    assert "(finetune: on, now off)" in refusal(evaluation, replace(settings, finetune=None))


def test_a_run_is_not_continued_with_other_weights_of_the_same_name(evaluation, weights, tmp_path):
    model = tmp_path / "net.safetensors"
    shutil.copy(weights, model)
    settings = Settings(
        model=str(model), device="cpu", finetune=None, propagation=PropagationConfig(crop_size=64)
    )
    (bear, _) = evaluation.problems
    run(replace(evaluation, problems=(bear,), settings=settings))
    assert len(prepare(replace(evaluation, settings=settings))) == 1
    network = load_checkpoint(model).network
    save_checkpoint(model, network, {"steps": "1"})
    assert "bear was made with other weights" in refusal(evaluation, settings)


def test_complete_results_made_with_other_weights_are_said_to_be_that(evaluation, weights, tmp_path):
    model = tmp_path / "net.safetensors"
    shutil.copy(weights, model)
    settings = Settings(
        model=str(model), device="cpu", finetune=None, propagation=PropagationConfig(crop_size=64)
    )
    evaluation = replace(evaluation, problems=evaluation.problems[:1], settings=settings)
    run(evaluation)
    assert made_otherwise(evaluation) == ""
    before = load_checkpoint(model)
    save_checkpoint(model, before.network, {"steps": "1"})
    now = load_checkpoint(model).sha256[:8]
    expected = f"bear was made with other weights of that name ({before.sha256[:8]}, now {now})"
    assert made_otherwise(evaluation).endswith(expected)
    assert made_otherwise(replace(evaluation, settings=None)) == ""


@pytest.fixture
def by_both(tmp_path, make, moving):
    """The same two sequences by the rules of 2016, computed, and by those of 2017."""
    data = make.davis(tmp_path / "both", {"bear": moving, "bus": moving[::-1].copy()})
    shutil.copytree(data / "ImageSets" / "2016", data / "ImageSets" / "2017")
    former, later = (
        Evaluation(
            protocol="davis", results=tmp_path / "results", settings=COPY,
            problems=tuple(find_problems("davis", data, EvaluationConfig(year=year))),
        )
        for year in ("2016", "2017")
    )  # fmt: skip
    run(former)
    return former, later


def test_a_run_is_not_continued_by_other_rules_or_from_other_data(by_both, make, moving):
    former, later = by_both
    assert made_otherwise(former) == ""
    assert "bear was made by other rules or from other data (single: True, now" in made_otherwise(later)
    shutil.rmtree(former.results / "bus")
    assert "(single: True, now False)" in refusal(later, COPY)
    shorter = tuple(replace(each, limit=4) for each in former.problems)
    assert "(limit: 0, now 4)" in refusal(replace(former, problems=shorter), COPY)
    make.masks(former.problems[0].truth[0].parent, moving[1:2], kind="palette")
    assert "from other data (given: " in refusal(former, COPY)


def test_of_an_older_record_only_what_it_says_of_the_data_is_compared(by_both):
    _, later = by_both
    shutil.rmtree(later.results / "bus")
    path = later.results / "bear" / "run.json"
    record = read_json(path)
    del record["data"]["single"]
    write_json(path, record)
    assert "(void: None, now 255)" in refusal(later, COPY)
    del record["data"]
    write_json(path, record)
    assert [each.name for each in prepare(later)] == ["bus"]


def refusal(evaluation, settings):
    with pytest.raises(OutputError) as refused:
        prepare(replace(evaluation, settings=settings))
    return str(refused.value)


def test_boxes_are_those_around_the_masks():
    labels = np.zeros((10, 12), np.uint8)
    labels[2:5, 3] = labels[4, 3:9] = 2
    boxes = as_boxes(Annotations.from_labels({1: labels}), labels.shape)
    assert boxes == Annotations([Box(1, 2, (2, 3, 5, 9))])


def test_what_is_absent_stays_so_where_masks_become_boxes():
    absent = Annotations([Absent(3, 2)])
    assert as_boxes(absent, (10, 12)) == absent


def test_results_find_their_frames_where_these_are_named_by_other_numbers(tmp_path, make):
    labels = make.squares(*((8, 2 * frame) for frame in range(12)))
    make.frames(tmp_path / "data" / "images", labels, name="{:04}0")
    make.masks(tmp_path / "data" / "labels", labels, name="{:04}0")
    problems = tuple(find_problems("folder", tmp_path / "data", EvaluationConfig()))
    settings = Settings(method="box-oracle")
    (judged,) = run(
        Evaluation(protocol="folder", problems=problems, results=tmp_path / "results", settings=settings)
    )
    assert judged.score.objects[0].values["J"] == [1.0] * 11


def test_an_oracle_draws_nothing_where_there_is_no_truth(tmp_path, make, moving):
    make.frames(tmp_path / "data" / "images", moving)
    make.masks(tmp_path / "data" / "labels", moving)
    (tmp_path / "data" / "labels" / "00002.png").unlink()
    problems = tuple(find_problems("folder", tmp_path / "data", EvaluationConfig(sparse=True)))
    settings = Settings(method="box-oracle")
    (judged,) = run(
        Evaluation(protocol="folder", problems=problems, results=tmp_path / "results", settings=settings)
    )
    assert judged.score.objects[0].frames == [1, 3, 4, 5]


def test_a_long_sequence_with_large_ids_survives_the_way_over_the_disk(tmp_path, make):
    labels = make.squares(*[(8, 4)] * 300, label=40_000)
    make.frames(tmp_path / "data" / "images", labels)
    make.masks(tmp_path / "data" / "labels", labels, kind="deep")
    problems = tuple(find_problems("folder", tmp_path / "data", EvaluationConfig()))
    (judged,) = run(
        Evaluation(protocol="folder", problems=problems, results=tmp_path / "results", settings=COPY)
    )
    assert len(judged.score.objects[0].frames) == 299
    assert judged.score.columns()["J mean"] == 1
    assert read_labels(tmp_path / "results" / "data" / "00299.png").max() == 40_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda settings: settings.update(speed=3), "speed: 3, now not known"),
        (lambda settings: settings.pop("warp"), "warp: not known, now True"),
    ],
)
def test_settings_that_came_or_went_between_versions_are_named(evaluation, weights, change, said):
    settings = Settings(
        model=str(weights), device="cpu", finetune=None, propagation=PropagationConfig(crop_size=64)
    )
    run(replace(evaluation, problems=evaluation.problems[:1], settings=settings))
    record = read_json(evaluation.results / "bear" / "run.json")
    change(record["propagation"])
    write_json(evaluation.results / "bear" / "run.json", record)
    assert f"bear was made with other settings ({said})" in refusal(evaluation, settings)


def test_a_place_for_results_that_cannot_be_written_is_refused_before_any_work(evaluation):
    evaluation.results.write_text("a file")
    with pytest.raises(OutputError, match="results is a file, but a folder is needed"):
        prepare(replace(evaluation, results=evaluation.results / "further" / "in"))
