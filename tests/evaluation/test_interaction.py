"""A simulated user who annotates one frame after the other."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_masktrack.config import FinetuneConfig, InteractionConfig, PropagationConfig
from napari_masktrack.evaluation import interaction
from napari_masktrack.evaluation.interaction import mean_curve, needed
from napari_masktrack.evaluation.methods import METHODS, Answer, Settings
from napari_masktrack.evaluation.problems import Problem
from napari_masktrack.evaluation.recorded import Recorded
from napari_masktrack.evaluation.scores import judge
from napari_masktrack.evaluation.strategies import STRATEGIES, Round
from napari_masktrack.evaluation.tasks import AnalysisTask
from napari_masktrack.model.checkpoint import build_network, load_checkpoint, save_checkpoint
from napari_masktrack.tracker import Tracker

FRAMES = 9


@pytest.fixture
def problem(tmp_path, make):
    """A square that moves on by two pixels per frame."""
    labels = make.squares(*((4, 2 + 2 * frame) for frame in range(FRAMES)))
    make.frames(tmp_path / "square" / "images", labels)
    make.masks(tmp_path / "square" / "labels", labels)
    truth = tuple(sorted((tmp_path / "square" / "labels").iterdir()))
    return Problem(name="square", images=tmp_path / "square" / "images", truth=truth)


@pytest.fixture
def task(tmp_path, problem):
    (tmp_path / "out").mkdir()
    return AnalysisTask(
        protocol="folder", problems=(problem,), settings=Settings(method="copy"), folder=tmp_path / "out",
        options=InteractionConfig(most=4, goal=1.0),
    )  # fmt: skip


def known(problem, annotated, *, confidence=None, bad=(), source=None, agreement=None):
    """What is known when all masks are right, but for those on the bad frames."""
    opened, recorded = problem.open(), Recorded()
    for frame in opened.true_frames:
        labels = opened.truth(frame)
        if frame in bad:
            labels[:, :10] = 0
        sure = {} if confidence is None else {1: float(confidence[frame])}
        agreed = {1: agreement[frame]} if agreement and frame in agreement else {}
        recorded.add(Answer(frame, labels, sure, {} if source is None else {1: source[frame]}, agreed))
    return Round(opened, annotated, recorded, judge(opened, recorded.pairs()))


def run(task):
    steps = interaction.analyse(task)
    while True:
        try:
            assert 0 <= next(steps).share <= 1
        except StopIteration as end:
            return end.value


def rounds(task, strategy):
    content = json.loads((task.folder / "interaction.json").read_text())
    return content["sequences"][strategy]["square"]


# Which frame is next


def test_the_programs_own_suggestion_is_followed(problem):
    confidence = np.full(FRAMES, 0.95)
    confidence[[0, 6]] = 0.1
    assert STRATEGIES["suggested"](known(problem, (0,), confidence=confidence)) == 6


def test_masks_that_disagree_where_two_annotations_meet_are_suggested(problem):
    source = [0, 0, 0, 0, 8, 8, 8, 8, 8]
    now = known(problem, (0, 8), confidence=np.full(FRAMES, 0.95), bad=(4,), source=source)
    assert STRATEGIES["suggested"](now) in (3, 4)


def test_where_both_sides_were_compared_that_is_what_counts(problem):
    confidence = np.full(FRAMES, 0.95)
    now = known(problem, (0, 8), confidence=confidence, agreement={2: 0.9, 3: 0.2, 4: 0.8})
    assert STRATEGIES["suggested"](now) == 3


def test_without_any_confidence_and_for_equal_spacing_the_farthest_frame_is_next(problem):
    order = [0]
    for _ in range(4):
        order.append(STRATEGIES["equal"](known(problem, tuple(order))))
    assert order == [0, 8, 4, 2, 6]
    assert STRATEGIES["suggested"](known(problem, (0, 8))) == 4


def test_the_worst_frame_is_the_one_with_the_lowest_j(problem):
    assert STRATEGIES["worst"](known(problem, (0,), bad=(2, 3))) == 2
    assert STRATEGIES["worst"](known(problem, (0, 2), bad=(2, 3))) == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frames_without_truth_and_annotated_ones_are_never_next(strategy, problem):
    sparse = replace(problem, truth=problem.truth[::4], sparse=True)
    confidence = np.full(FRAMES, 0.3)
    assert STRATEGIES[strategy](known(sparse, (0, 8), confidence=confidence)) == 4
    assert STRATEGIES[strategy](known(sparse, (0, 4, 8), confidence=confidence)) is None


# The loop


def test_every_round_annotates_one_more_frame_and_copies_get_better(task):
    lines = run(task)
    for strategy in STRATEGIES:
        found = rounds(task, strategy)
        assert [len(each["annotated"]) for each in found] == [1, 2, 3, 4]
        assert [each["annotated"][-1] for each in found[1:]] == [each["next"] for each in found[:-1]]
        values = [each["J"] for each in found]
        assert values == sorted(values)
    assert rounds(task, "equal")[-1]["annotated"] == [0, 8, 4, 2]
    assert lines[0] == "| annotated frames | suggested | equal | worst |"
    assert len([line for line in lines if line.startswith("| ")]) == 2 + 4 + 2 + 3


def test_it_ends_when_the_goal_is_reached_and_says_how_many_frames_that_took(task):
    lines = run(replace(task, options=InteractionConfig(strategy="equal", most=9, goal=0.5)))
    found = rounds(task, "equal")
    assert [each["J"] >= 0.5 for each in found] == [*[False] * (len(found) - 1), True]
    assert f"| equal | {len(found)} | 1 | 0 | {len(found)}.0 | {len(found)} | 0.0 |" in lines


def test_a_goal_out_of_reach_is_said_never_to_be_reached(task):
    lines = run(replace(task, options=InteractionConfig(strategy="worst", most=2, goal=0.99)))
    assert "| worst | never | 0 | 1 | - | 2 | - |" in lines


def test_what_a_strategy_saves_is_counted_against_equally_spaced_frames(task):
    def sequence(*values):
        return [{"annotated": list(range(n + 1)), "J": value, "next": 9} for n, value in enumerate(values)]

    found = {
        "suggested": [sequence(0.7, 0.95), sequence(0.4, 0.5, 0.6)],
        "equal": [sequence(0.7, 0.8, 0.9, 0.9, 0.95), sequence(0.4, 0.5, 0.6)],
    }
    options = InteractionConfig(most=5, goal=0.95)
    lines = interaction.exhibit(task, options, found, ["square", "other"]).lines
    assert "| suggested | never | 1 | 1 | 2.0 | 5 | 37.5 |" in lines
    assert "| equal | never | 1 | 1 | 5.0 | 8 | 0.0 |" in lines


def test_a_sequence_that_ended_stays_as_good_as_it_was():
    short, long = [{"J": 0.95}], [{"J": 0.5}, {"J": 0.7}, {"J": 0.85}]
    curve = mean_curve([short, long], 3)
    assert curve == pytest.approx([0.725, 0.825, 0.9])
    assert needed(curve, 0.9 - 1e-9) == 3
    assert needed(curve, 0.95) is None


def test_an_interrupted_run_goes_on_with_the_next_round(task, monkeypatch):
    runs, copy = [], METHODS["copy"]

    def counted(opened, annotations, settings):
        runs.append(annotations.frames)
        return copy(opened, annotations, settings)

    monkeypatch.setitem(METHODS, "copy", counted)
    task = replace(task, options=InteractionConfig(strategy="equal", most=4, goal=1.0))
    steps = interaction.analyse(task)
    while len(runs) < 3:
        next(steps)
    steps.close()
    run(task)
    assert runs == [(0,), (0, 8), (0, 4, 8), (0, 4, 8), (0, 2, 4, 8)]
    run(task)
    run(replace(task, options=InteractionConfig(strategy="equal", most=2, goal=1.0)))
    assert len(runs) == 5
    assert len(rounds(task, "equal")) == 2
    run(replace(task, options=InteractionConfig(strategy="equal", most=5, goal=1.0)))
    assert runs[5:] == [(0, 2, 4, 6, 8)]


# With a network


@pytest.fixture
def learning(task, tmp_path):
    """The paper's network, a sixteenth as wide, and one step of fine-tuning per round."""
    torch.manual_seed(0)
    weights = tmp_path / "tiny.safetensors"
    save_checkpoint(weights, build_network({"network": "vgg16", "width": 0.0625}))
    settings = Settings(
        model=str(weights), device="cpu", finetune=FinetuneConfig(steps=1, batch=1, size=64, rate=0.01),
        propagation=PropagationConfig(crop_size=64, flip=False),
    )  # fmt: skip
    options = InteractionConfig(strategy="equal", most=2, goal=1.0)
    return replace(task, settings=settings, options=options)


def test_fine_tuning_goes_on_from_the_weights_of_the_round_before(learning, monkeypatch):
    kept, starts = [], []
    real_keep, real_load = interaction.Correction.keep, interaction.Correction._load

    def keep(self):
        found = real_keep(self)
        kept.append(load_checkpoint(self.weights).notes["finetuning_steps"])
        return found

    def load(self):
        starts.append(self.weights.is_file())
        return real_load(self)

    monkeypatch.setattr(interaction.Correction, "keep", keep)
    monkeypatch.setattr(interaction.Correction, "_load", load)
    steps = interaction.analyse(learning)
    while not kept:
        next(steps)
    steps.close()
    assert kept == ["1"]
    assert len(list(learning.folder.rglob("*.safetensors"))) == 1
    run(learning)
    assert starts == [False, True]
    assert [len(each["annotated"]) for each in rounds(learning, "equal")] == [1, 2]
    assert not list(learning.folder.rglob("*.safetensors"))


def test_the_crf_and_the_network_of_the_flow_go_on_after_an_interruption(learning, monkeypatch):
    crfs, motions = [], []

    def fit_crf(self, *_):
        crfs.append(self.crf.appearance)
        motions.append(list(self.motion.parameters())[-1].detach().clone())
        self.crf = replace(self.crf, appearance=self.crf.appearance + 1)
        return iter(())

    monkeypatch.setattr(Tracker, "fit_crf", fit_crf)
    propagation = replace(learning.settings.propagation, flow=True, crf=True)
    settings = replace(learning.settings, propagation=propagation, crf_search=True, finetune_flow=True)
    task = replace(learning, settings=settings)
    run(replace(task, folder=task.folder / "whole"))
    steps = interaction.analyse(replace(task, folder=task.folder / "cut"))
    while not list(task.folder.rglob("cut/**/square.json")):
        next(steps)
    steps.close()
    assert len(list(task.folder.rglob("*.safetensors"))) == 2
    run(replace(task, folder=task.folder / "cut"))
    assert crfs == [5, 6, 5, 6]
    assert torch.equal(motions[1], motions[3])
    assert not torch.equal(motions[0], motions[1])
    assert not list(task.folder.rglob("*.safetensors"))
