"""The rows of the paper's table 1, and the networks that they are trained for."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_masktrack import tracker
from napari_masktrack.config import AblationConfig, FinetuneConfig, PropagationConfig
from napari_masktrack.core.deformation import as_box
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.streams import MotionMovie, TwoStreams
from napari_masktrack.errors import ConfigError
from napari_masktrack.evaluation import ablation
from napari_masktrack.evaluation.ablation import Shown
from napari_masktrack.evaluation.ablation_rows import FULL, ROWS, choose_rows
from napari_masktrack.evaluation.ablation_training import FEWER, Trainings, fewer
from napari_masktrack.evaluation.methods import Answer, Settings, carry
from napari_masktrack.evaluation.problems import Problem
from napari_masktrack.evaluation.tasks import AnalysisTask
from napari_masktrack.model.checkpoint import build_network, load_checkpoint, save_checkpoint
from napari_masktrack.model.registry import NETWORKS
from napari_masktrack.model.vgg16 import DeepLabVGG16
from napari_masktrack.training import offline
from napari_masktrack.training.datasets import Dataset
from napari_masktrack.training.online import SAMPLES
from napari_masktrack.training.samples import SampleConfig, make_clip, rough_guidance
from napari_masktrack.training.scenes import Scene
from napari_masktrack.training.train import fed_back

PAPER = {
    "flow-crf": 80.3, "flow": 78.4, "masktrack": 74.8, "no-finetuning": 69.9, "no-offline": 57.6,
    "fewer-images": 73.2, "video": 72.0, "no-dilation": 72.4, "no-deformation": 17.1, "no-nonrigid": 73.3,
    "boxes": 69.6, "no-mask": 72.5,
}  # fmt: skip
CHANGES = {
    "flow-crf": 1.9, "flow": 3.6, "no-finetuning": -4.9, "no-offline": -17.2, "fewer-images": -1.6,
    "video": -2.8, "no-dilation": -2.4, "no-deformation": -57.7, "no-nonrigid": -1.5, "boxes": -5.2,
    "no-mask": -2.3,
}  # fmt: skip
RECIPE = """
[train]
backbone = "vgg16"
batch = 1
size = 64

[[data]]
images = "images"
masks = "masks"
"""
Y, X = np.indices((120, 160))
ELLIPSE = ((Y - 60) / 18) ** 2 + ((X - 80) / 30) ** 2 < 1


# The table


def test_every_row_has_the_papers_number_and_difference():
    assert {name: row.paper for name, row in ROWS.items()} == PAPER
    assert list(ROWS) == list(PAPER)
    found = {name: round(row.paper - ROWS[row.base].paper, 1) for name, row in ROWS.items() if name != FULL}
    assert found == CHANGES


def test_rows_are_chosen_by_name_in_the_order_of_the_table():
    assert list(choose_rows("boxes, masktrack")) == ["masktrack", "boxes"]
    assert choose_rows("all") == ROWS
    with pytest.raises(ConfigError, match="There is no row 'box'; choose of flow-crf"):
        choose_rows("masktrack,box")


# What rows change


def clips(name, base, count=12, **scene):
    """Clips of an ellipse, made as the row has them made."""
    image = np.where(ELLIPSE[..., None], np.uint8(220), np.uint8(40)).repeat(3, axis=-1)
    config = replace(base, size=96, **ROWS[name].samples)
    seen = Scene(image, ELLIPSE, np.ones_like(ELLIPSE), other=np.roll(ELLIPSE, 40, axis=0), **scene)
    return [make_clip(seen, np.random.default_rng(seed), config) for seed in range(count)]


def roundness(mask):
    """Area over that of the ellipse with the same moments: 1 for whatever affine motion made of one."""
    y, x = np.nonzero(mask)
    return len(y) / (4 * np.pi * np.sqrt(np.linalg.det(np.cov(np.stack([y, x])))))


each_kind = pytest.mark.parametrize(
    "base",
    [SampleConfig(), SAMPLES, SampleConfig(stray=1.0, reference=1.0)],
    ids=["offline", "online", "as a recipe may have it"],
)


@each_kind
@pytest.mark.parametrize("scene", [{}, {"trace": np.roll(ELLIPSE, 20, axis=1)}, {"lost": True}])
def test_without_deformation_guidance_is_the_target(base, scene):
    for clip in clips("no-deformation", base, **scene):
        assert all(np.array_equal(view.guidance, view.target) for view in clip.views)
    full = clips(FULL, base, **scene)
    assert not any(np.array_equal(view.guidance, view.target) for clip in full for view in clip.views)


@each_kind
def test_without_non_rigid_deformation_an_ellipse_stays_one(base):
    def worst(name):
        config = replace(base, box=0.0, empty=0.0, dilation=False, **ROWS[name].samples)
        masks = [rough_guidance(ELLIPSE, np.random.default_rng(seed), config, jump=1.0) for seed in range(12)]
        return max(abs(roundness(mask) - 1) for mask in masks)

    assert worst("no-nonrigid") < 0.005 < worst(FULL)


@each_kind
def test_without_dilation_guidance_keeps_its_size_on_the_whole(base):
    def growth(name):
        config = replace(base, box=0.0, empty=0.0, lobe=0.0, **ROWS[name].samples)
        masks = [rough_guidance(ELLIPSE, np.random.default_rng(seed), config, jump=0.0) for seed in range(40)]
        return np.mean([mask.sum() for mask in masks]) / ELLIPSE.sum()

    assert growth("no-dilation") == pytest.approx(1.0, abs=0.01)
    assert growth(FULL) > 1.05


@each_kind
def test_boxes_are_boxes_in_the_networks_eyes_too(base):
    for view in (view for clip in clips("boxes", base) for view in clip.views):
        assert view.guidance.any()
        assert region_similarity(view.guidance, as_box(view.guidance)) > 0.99


@each_kind
def test_without_mask_input_there_is_no_guidance(base):
    made = clips("no-mask", base)
    assert not any(view.guidance.any() for clip in made for view in clip.views)
    assert all(clip.reference is None for clip in made)


@pytest.mark.parametrize("name", ROWS)
def test_own_answers_are_fed_back_only_where_that_keeps_the_rows_promise(name):
    (clip,) = clips(name, SampleConfig(), count=1)
    target = torch.from_numpy(clip.views[0].target)[None, None].float()
    drawn = fed_back(target * 2 - 1, [clip], target).isnan().all()
    assert bool(drawn) == (name in ("no-deformation", "boxes", "no-mask"))


@pytest.mark.parametrize("name", ROWS)
def test_while_carrying_the_network_is_shown_what_the_row_says(name):
    seen = []

    def segment(images, guidance):
        seen.append(guidance)
        return np.zeros(guidance.shape, np.float32)

    given = np.stack([ELLIPSE, ~ELLIPSE])
    Shown(segment, ROWS[name].shown)(np.zeros((*given.shape, 3), np.uint8), given)
    expected = {"boxes": np.stack([as_box(mask) for mask in given]), "no-mask": np.zeros_like(given)}
    assert np.array_equal(seen[0], expected.get(name, given))


@pytest.fixture
def recalling(tmp_path):
    """Weights of a network whose answer depends on the annotated frame."""
    torch.manual_seed(0)
    network = build_network({"network": "masknet", "backbone": "mobilenet", "matching": 4})
    with torch.no_grad():
        for parameter in network.matching.parameters():
            parameter.normal_()
    save_checkpoint(tmp_path / "recalling.safetensors", network)
    return str(tmp_path / "recalling.safetensors")


@pytest.mark.parametrize("flow", [False, True])
def test_the_row_of_the_full_system_gives_the_masks_of_the_tracker(task, recalling, flow):
    opened = task.problems[0].open()

    def masks(events):
        return np.stack([event.labels for event in events if isinstance(event, Answer)])

    def settings(**changes):
        propagation = replace(task.settings.propagation, flow=flow, **changes)
        return replace(task.settings, model=recalling, finetune=None, propagation=propagation)

    plain = masks(carry(opened, settings()))
    assert np.array_equal(masks(ablation.ablated(opened, settings(), ROWS[FULL])), plain)
    assert not np.array_equal(masks(carry(opened, settings(reference=False))), plain)


def test_without_mask_input_nothing_is_compared_with_the_annotated_mask_either(task):
    (cell,) = ablation.cells(task, Trainings.of(AblationConfig(), task.folder, "cpu"), ["no-mask"])
    assert not cell.settings.propagation.reference
    assert cell.settings.finetune == replace(task.settings.finetune, recall=0.0)
    assert ROWS["no-finetuning"].tuning(task.settings.finetune) is None


def test_the_papers_share_of_the_images_is_left_always_the_same_ones(tmp_path):
    whole = Dataset(tuple((tmp_path / f"{n}.png", tmp_path / f"{n}.png") for n in range(100)))
    part = fewer(whole, FEWER)
    assert len(part.pairs) == 44
    assert set(part.pairs) < set(whole.pairs)
    assert part == fewer(whole, FEWER)
    assert len(fewer(part, 0.001).pairs) == 1


# Training and running them


@pytest.fixture
def task(tmp_path, make, monkeypatch):
    """A movie, pictures to train on, and the paper's network, a sixteenth as wide."""
    monkeypatch.setitem(NETWORKS, "vgg16", functools.partial(DeepLabVGG16, width=0.0625))
    labels = make.squares(*((4, 2 + frame) for frame in range(4)))
    make.frames(tmp_path / "square" / "images", labels)
    make.masks(tmp_path / "square" / "labels", labels)
    make.frames(tmp_path / "train" / "images", labels, ending=".png")
    make.masks(tmp_path / "train" / "masks", labels)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "out").mkdir()
    truth = tuple(sorted((tmp_path / "square" / "labels").iterdir()))
    problem = Problem(name="square", images=tmp_path / "square" / "images", truth=truth)
    return AnalysisTask(
        protocol="folder", problems=(problem,),
        settings=Settings(
            device="cpu", finetune=FinetuneConfig(steps=1, batch=1, size=64),
            propagation=PropagationConfig(crop_size=64, flip=False),
        ),
        folder=tmp_path / "out",
    )  # fmt: skip


def options(task, rows, **changes):
    data = task.folder.parent
    return AblationConfig(
        rows=rows, recipe=str(data / "recipe.toml"), train_data=str(data / "train"), train_steps=2, **changes
    )


def run(task):
    steps = ablation.analyse(task)
    while True:
        try:
            assert 0 <= next(steps).share <= 1
        except StopIteration as end:
            return end.value


def weights(task):
    return {path.name: load_checkpoint(path).notes for path in (task.folder / "weights").iterdir()}


def test_rows_are_trained_once_run_and_shown_beside_the_papers_numbers(task):
    rows = "masktrack,no-finetuning,no-offline,fewer-images,no-deformation,boxes,no-mask"
    lines = run(replace(task, options=options(task, rows)))
    notes = list(weights(task).values())
    assert len(notes) == 6, "the full system without fine-tuning has the network of the full system"
    assert sorted(each["steps"] for each in notes) == ["0", "2", "2", "2", "2", "2"]
    assert sorted(each["data"].split()[0] for each in notes if "data" in each) == ["2", "4", "4", "4", "4"]
    assert any("exact=True" in each.get("settings", "") for each in notes)
    table = [line.split(" | ") for line in lines if line.startswith("| ")]
    assert [line[2] for line in table[2:]] == [f"`{name}`" for name in rows.split(",")]
    assert [line[3:5] for line in table[2:5]] == [["74.8", "-"], ["69.9", "-4.9"], ["57.6", "-17.2"]]
    assert "Reduced schedule: networks were trained from random weights for 2 steps" in lines[-1]
    found = json.loads((task.folder / "ablation.json").read_text())["rows"]
    assert all(0 <= row["J"] <= 100 for row in found)
    assert found[1]["change"] == pytest.approx(found[1]["J"] - found[0]["J"])


def test_what_is_trained_and_measured_already_is_taken_over(task, monkeypatch):
    run(replace(task, options=options(task, "masktrack,no-dilation")))
    before = weights(task)

    def fails(*args, **kwargs):
        raise AssertionError("done already")

    monkeypatch.setattr(offline, "train", fails)
    monkeypatch.setattr(ablation, "ablated", fails)
    run(replace(task, options=options(task, "no-dilation,masktrack")))
    assert weights(task) == before
    with pytest.raises(AssertionError, match="done already"):
        run(replace(task, options=options(task, "no-nonrigid")))


def test_an_interrupted_training_goes_on_from_its_checkpoint(task, monkeypatch):
    monkeypatch.setattr("napari_masktrack.evaluation.ablation_training._KEEP_EVERY", 1)
    task = replace(task, options=options(task, "masktrack"))
    steps = ablation.analyse(task)
    assert "training 1 of 1" in next(steps).text
    steps.close()
    assert [path.name.endswith(".training.safetensors") for path in (task.folder / "weights").iterdir()] == [
        True
    ]
    texts = [progress.text for progress in ablation.analyse(task)]
    assert len([text for text in texts if "training" in text]) == 1
    assert [note["steps"] for note in weights(task).values()] == ["2"]


def test_without_pictures_only_rows_of_the_network_that_is_there_are_run(task, tmp_path):
    (tmp_path / "given").mkdir()
    run(replace(task, options=options(task, "masktrack")))
    (made,) = (task.folder / "weights").iterdir()
    settings = replace(task.settings, model=str(made), finetune=None)
    task = replace(task, settings=settings, folder=tmp_path / "given")
    lines = run(replace(task, options=AblationConfig(rows="masktrack,no-finetuning")))
    assert "left out, for want of --train-data" in lines[-1]
    assert not (task.folder / "weights").exists()
    with pytest.raises(ConfigError, match="The row 'boxes' needs a network of its own; give --train-data"):
        run(replace(task, options=AblationConfig(rows="masktrack,boxes")))
    with pytest.raises(ConfigError, match="The row 'video' needs a network of its own; give --video-data"):
        run(replace(task, settings=replace(settings, model=None), options=options(task, "video")))


def test_frames_of_videos_can_be_trained_on(task, tmp_path, make):
    labels = make.squares((2, 2), (3, 3), (4, 4))
    make.frames(tmp_path / "videos" / "one" / "images", labels, ending=".png")
    make.masks(tmp_path / "videos" / "one" / "labels", labels)
    run(replace(task, options=options(task, "video", video_data=str(tmp_path / "videos"))))
    assert [note["data"] for note in weights(task).values()] == ["3 images of one"]


def test_only_the_tracker_has_ingredients(task):
    with pytest.raises(ConfigError, match="An ablation is of masktrack, not of 'copy'"):
        ablation.analyse(replace(task, settings=replace(task.settings, method="copy")))


def test_a_model_beside_pictures_to_train_on_is_refused(task):
    settings = replace(task.settings, model="default")
    with pytest.raises(ConfigError, match="each row has a network trained for it; leave --model out"):
        ablation.analyse(replace(task, settings=settings, options=options(task, "masktrack")))


@pytest.fixture
def begun(task):
    """A recipe that begins with a whole network."""
    data = task.folder.parent
    save_checkpoint(data / "train" / "start.safetensors", build_network({"network": "vgg16"}))
    (data / "recipe.toml").write_text('start = "start.safetensors"\n' + RECIPE)
    return data / "train" / "start.safetensors"


def test_without_a_pretrained_trunk_there_is_no_row_without_offline_training(task, begun):
    with pytest.raises(ConfigError, match="'no-offline' needs a network of its own; give a recipe with 'pre"):
        ablation.analyse(replace(task, options=options(task, "masktrack,no-offline")))
    assert not list(task.folder.iterdir())
    trainings = Trainings.of(options(task, "all"), task.folder, "cpu")
    lines = ablation.exhibit(task, ROWS, {FULL: [{"J mean": 0.5}]}, trainings).lines
    assert (
        "Left out: no-offline needs a recipe with 'pretrained', the weights of the trunk alone" in lines[-1]
    )
    assert "; video needs --video-data" in lines[-1]


def test_another_beginning_other_data_and_other_ways_to_use_them_make_another_network(task, begun):
    def path():
        return Trainings.of(options(task, FULL), task.folder, "cpu").path(ROWS[FULL])

    known = [path()]
    assert path() == known[0]
    save_checkpoint(begun, build_network({"network": "vgg16"}), {"steps": "7"})
    known.append(path())
    (task.folder.parent / "recipe.toml").write_text(
        'start = "start.safetensors"\n' + RECIPE + "instances = true\n"
    )
    known.append(path())
    mask = next((task.folder.parent / "train" / "masks").iterdir())
    mask.write_bytes(mask.read_bytes() + b"0")
    known.append(path())
    text = (task.folder.parent / "recipe.toml").read_text()
    (task.folder.parent / "recipe.toml").write_text("mean_with = [1]\n" + text)
    known.append(path())
    assert len(set(known)) == 5


@pytest.mark.parametrize("name", ["no-dilation", "boxes"])
def test_the_flow_the_search_and_the_second_network_are_had_in_rows_with_other_guidance(
    name, task, monkeypatch
):
    torch.manual_seed(0)
    save_checkpoint(task.folder / "tiny.safetensors", build_network({"network": "vgg16"}))
    seen, tuned, searched = [], [], []

    class Spy(TwoStreams):
        def __call__(self, images, guidance):
            seen.append((images.shape[-1], guidance, self.motion is not None))
            return super().__call__(images, guidance)

    def finetuned(network, movie, annotations, config, *, samples):
        tuned.append((type(movie), samples))
        return iter(())

    monkeypatch.setattr(tracker, "TwoStreams", Spy)
    monkeypatch.setattr(tracker, "finetune", finetuned)
    monkeypatch.setattr(tracker.Tracker, "fit_crf", lambda *_: searched.append(True) or iter(()))
    settings = replace(
        task.settings, model=str(task.folder / "tiny.safetensors"), finetune_flow=True, crf_search=True,
        propagation=replace(task.settings.propagation, flow=True, crf=True),
    )  # fmt: skip
    assert len(list(ablation.ablated(task.problems[0].open(), settings, ROWS[name]))) == 4
    assert tuned == [(kind, replace(SAMPLES, **ROWS[name].samples)) for kind in (Movie, MotionMovie)]
    assert [(planes, second) for planes, _, second in seen] == [(4, True)] * 3
    assert searched == [True]
    if name == "boxes":
        assert all(np.array_equal(mask, as_box(mask)) for _, guidance, _ in seen for mask in guidance)
