"""What IoU is measured on: frames that have a reference, and a network that has not seen the answer."""

from dataclasses import replace

import numpy as np
import pytest

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.core.annotation import Annotations, Box, Mask
from napari_masktrack.core.movie import Movie
from napari_masktrack.widgets.engine import Engine, Plan, Remark, Score

from .conftest import FakeTracker


@pytest.fixture
def compared(dock, truth, paint, finish):
    """Propagate, then compare with a reference that has some frames only."""

    def act(frames):
        sparse = np.array(truth.labels)
        sparse[[frame for frame in range(8) if frame not in frames]] = 0
        reference = dock.viewer.add_labels(sparse, name="truth")
        dock.finetune.set_value("off")
        paint(dock, 0)
        dock.bar.run.click()
        finish(dock)
        dock.review.reference.set_value(reference)
        dock.review.compute.click()
        finish(dock)
        return dock.review

    return act


def test_frames_without_a_reference_do_not_count_and_their_number_is_said(compared):
    review = compared({2, 5})
    assert {score.frame for score in review.value()} == {2, 5}
    assert min(score.J for score in review.value()) > 0.8
    assert "'truth' (2 of 8 frames have a reference)" in review.said.text()


def test_a_complete_reference_needs_no_remark(compared):
    assert compared(set(range(8))).said.text() == "IoU measured against 'truth'."


def test_an_empty_reference_is_refused_in_words(compared, dock):
    assert compared(set()).value() == ()
    assert "has no object on a frame of the result" in dock.bar.message.text()


def test_the_users_own_annotation_is_no_reference(dock, paint, finish):
    other = dock.viewer.add_labels(np.zeros((8, 96, 128), np.uint8), name="other")
    paint(dock, 0)
    choice = dock.review.reference
    listed = [choice.itemText(row) for row in range(choice.count())]
    assert listed == ["none: leave-one-out", "other"]
    choice.set_value(other)
    dock.workspace.drawings.take("masks", other)
    dock.review.compute.click()
    assert "You draw on 'other'" in dock.bar.message.text()


# Leave-one-out


@pytest.fixture
def trackers():
    """The trackers that an engine loaded, in order."""
    return []


@pytest.fixture
def engine(trackers):
    def load(model, device):
        trackers.append(FakeTracker(model))
        return trackers[-1]

    return Engine(load)


def leave_one_out(engine, truth, *more, model="default"):
    masks = [Mask(frame, k, truth.frame(frame).labels == k) for frame in (0, 5) for k in (1, 2)]
    plan = Plan(movie=Movie(truth.images, axes="tyx"), annotations=Annotations([*masks, *more]), model=model)
    return plan, lambda: list(engine.leave_one_out(plan))


def test_a_frame_is_predicted_by_a_network_that_was_not_tuned_on_it(engine, trackers, truth, monkeypatch):
    used = []
    propagate = FakeTracker.propagate
    monkeypatch.setattr(
        FakeTracker, "propagate", lambda self, *a, **k: (used.append(self.steps), propagate(self, *a, **k))[1]
    )
    plan, compare = leave_one_out(engine, truth, model=None)
    assert not [item for item in compare() if isinstance(item, Remark)]
    list(engine.run(replace(plan, finetune=FinetuneConfig(steps=3))))
    assert engine.tuned
    used.clear()
    (remark,) = [item for item in compare() if isinstance(item, Remark)]
    assert "from before the fine-tuning" in remark.text
    assert used == [0, 0]
    used.clear()
    list(engine.run(replace(plan, propagation=PropagationConfig())))
    assert used == [3], "the weights of now are still there"


def test_weights_that_came_fine_tuned_give_an_upper_bound_and_it_is_said(engine, truth, monkeypatch):
    monkeypatch.setattr(FakeTracker, "notes", {"finetuning_steps": "200"}, raising=False)
    _, compare = leave_one_out(engine, truth)
    (remark,) = [item for item in compare() if isinstance(item, Remark)]
    assert "an upper bound" in remark.text


def test_an_object_that_is_only_boxed_on_a_frame_is_not_compared_there(engine, truth):
    box = Box(5, 3, (10, 10, 30, 30))
    elsewhere = Mask(0, 3, np.pad(np.ones((8, 8), bool), ((80, 8), (100, 20))))
    _, compare = leave_one_out(engine, truth, box, elsewhere)
    scores = [item for item in compare() if isinstance(item, Score)]
    assert {(score.frame, score.label) for score in scores if score.frame == 5} == {(5, 1), (5, 2)}


def test_the_remark_stands_in_the_window_and_in_the_saved_table(dock, tracker, paint, finish, tmp_path):
    tracker.notes = {"finetuning_steps": "5"}
    for frame in (0, 5):
        paint(dock, frame)
    dock.review.compute.click()
    finish(dock)
    assert "an upper bound" in dock.review.said.text()
    dock.review.save_csv(str(tmp_path / "iou.csv"))
    assert "an upper bound" in (tmp_path / "iou.csv").read_text()
