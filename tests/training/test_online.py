"""Fine-tuning on annotated frames, with networks small enough to learn in a second."""

import copy
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_masktrack.config import FinetuneConfig
from napari_masktrack.core.annotation import Absent, Annotations, Box, Mask, Scribble
from napari_masktrack.core.movie import Movie
from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
from napari_masktrack.errors import AnnotationError, WorkError
from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.training import online
from napari_masktrack.training.lessons import SEVERAL
from napari_masktrack.training.online import finetune

SYNTHETIC = synthetic_movie(SyntheticConfig(frames=4, shape=(96, 128), objects=2))
MOVIE = Movie(SYNTHETIC.images)
TRUTH = Annotations.from_labels({0: SYNTHETIC.labels[0]})
QUICK = FinetuneConfig(steps=4, batch=2, size=64, rate=1e-3, blend=1.0)


def tiny(name="vgg16"):
    torch.manual_seed(0)
    options = {"width": 0.0625} if name == "vgg16" else {"context": 8}
    return build_network({"network": name, **options}).eval()


def weights(network):
    return {k: v.clone() for k, v in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


def loss_on_samples(network, annotations=TRUTH):
    """What the network is punished for on samples of the annotated frames that it has not seen."""
    hardly = replace(QUICK, steps=8, batch=4, rate=1e-8, seed=9)
    return np.mean([step.loss for step in finetune(copy.deepcopy(network), MOVIE, annotations, hardly)])


def test_fine_tuning_makes_the_network_fit_the_annotated_frame_better():
    network = tiny()
    before = loss_on_samples(network)
    steps = list(finetune(network, MOVIE, TRUTH, replace(QUICK, steps=30, batch=4)))
    assert [step.step for step in steps] == list(range(1, 31))
    assert loss_on_samples(network) < 0.7 * before
    assert not network.training


@pytest.mark.parametrize("name", ["vgg16", "masknet"])
def test_the_same_seed_gives_the_same_weights(name):
    one, other, third = tiny(name), tiny(name), tiny(name)
    list(finetune(one, MOVIE, TRUTH, QUICK))
    torch.rand(3)
    list(finetune(other, MOVIE, TRUTH, QUICK))
    list(finetune(third, MOVIE, TRUTH, replace(QUICK, seed=1)))
    assert same(weights(one), weights(other))
    assert not same(weights(one), weights(third))


def test_called_again_it_goes_on_from_the_weights_of_now():
    network = tiny()
    list(finetune(network, MOVIE, TRUTH, QUICK))
    middle = weights(network)
    more = TRUTH + Annotations.from_labels({2: SYNTHETIC.labels[2]})
    next(steps := finetune(network, MOVIE, more, replace(QUICK, rate=1e-8)))
    steps.close()
    assert all(torch.allclose(value, middle[key], atol=1e-6) for key, value in weights(network).items())


def test_another_annotated_frame_is_learnt_too():
    network = tiny()
    last = Annotations.from_labels({3: SYNTHETIC.labels[3]})
    before = loss_on_samples(network, last)
    list(finetune(network, MOVIE, TRUTH + last, replace(QUICK, steps=30, batch=4)))
    assert loss_on_samples(network, last) < 0.7 * before


def test_normalisation_statistics_stay_as_they_are_and_all_layers_learn():
    network = tiny("masknet")
    before = weights(network)
    list(finetune(network, MOVIE, TRUTH, QUICK))
    after = weights(network)
    learnt = {key for key, _ in network.named_parameters()}
    statistics = set(after) - learnt
    assert statistics
    assert all(torch.equal(after[key], before[key]) for key in statistics)
    changed = {key for key in learnt if not torch.equal(after[key], before[key])}
    assert len(changed) > 0.95 * len(learnt)


def test_only_the_wanted_share_of_the_change_is_kept():
    whole, half, nothing = tiny(), tiny(), tiny()
    start = weights(whole)
    for network, blend in ((whole, 1.0), (half, 0.5), (nothing, 0.0)):
        list(finetune(network, MOVIE, TRUTH, replace(QUICK, blend=blend)))
    name = "head.fc6.weight"
    middle = (start[name] + weights(whole)[name]) / 2
    assert torch.allclose(weights(half)[name], middle, atol=1e-7)
    assert same(weights(nothing), start)


def test_what_compares_learns_unless_nothing_is_to_be_recalled():
    def made(share):
        torch.manual_seed(0)
        network = build_network({"network": "masknet", "backbone": "mobilenet", "matching": 4})
        before = weights(network)
        list(finetune(network, MOVIE, TRUTH, replace(QUICK, recall=share)))
        return not same(
            {key: value for key, value in weights(network).items() if key.startswith("matching.to_")},
            {key: value for key, value in before.items() if key.startswith("matching.to_")},
        )

    assert made(1.0)
    assert not made(0.0)


def test_a_training_that_breaks_down_leaves_the_former_weights(monkeypatch):
    network = tiny()
    before, fit = weights(network), online.fit

    def breaking(network, batches, schedule):
        yield next(fit(network, batches, schedule))
        raise WorkError("no number")

    monkeypatch.setattr(online, "fit", breaking)
    with pytest.raises(WorkError, match="no number"):
        list(finetune(network, MOVIE, TRUTH, QUICK))
    assert same(before, weights(network))


def test_it_stops_when_its_time_is_over():
    network = tiny()
    start = time.monotonic()
    steps = list(finetune(network, MOVIE, TRUTH, replace(QUICK, steps=10_000, seconds=0.5)))
    assert 1 <= len(steps) < 10_000
    assert steps[-1].steps == 10_000
    assert time.monotonic() - start < 20


def test_closing_early_keeps_what_was_learnt_and_ends_the_thread():
    network = tiny()
    before = weights(network)
    steps = finetune(network, MOVIE, TRUTH, replace(QUICK, steps=1000))
    next(steps)
    next(steps)
    steps.close()
    assert not same(weights(network), before)
    assert not network.training
    assert not any(thread.name == "masktrack-samples" for thread in threading.enumerate())


def test_an_error_while_samples_are_made_ends_the_thread_too(monkeypatch):
    def broken(*arguments):
        raise ValueError("no sample")

    monkeypatch.setattr(online, "make_clip", broken)
    with pytest.raises(ValueError, match="no sample"):
        list(finetune(tiny(), MOVIE, TRUTH, QUICK))
    assert not any(thread.name == "masktrack-samples" for thread in threading.enumerate())


def scenes_of(annotations, monkeypatch, network=None):
    """The scenes from which samples are drawn."""
    seen = {}
    real = online._batches

    def spy(lessons, config, samples):
        seen["scenes"] = [lesson.scene for lesson in lessons]
        seen["dreamt"] = [lesson.stage is not None for lesson in lessons]
        return real(lessons, config, samples)

    monkeypatch.setattr(online, "_batches", spy)
    next(steps := finetune(network or tiny(), MOVIE, annotations, QUICK))
    steps.close()
    return seen["scenes"], seen["dreamt"]


def test_every_painted_object_on_every_frame_is_a_lesson(monkeypatch):
    more = TRUTH + Annotations.from_labels({2: SYNTHETIC.labels[2]})
    scenes, dreamt = scenes_of(more, monkeypatch)
    areas = [int((SYNTHETIC.labels[frame] == label).sum()) for frame in (0, 2) for label in (1, 2)]
    assert [int(scene.target.sum()) for scene in scenes] == areas
    assert all(dreamt)


def strokes_of(count):
    """Strokes across several objects, which all look the same, and beside them."""
    inside, outside = np.zeros((2, 96, 128), bool)
    y, x = np.argwhere(SYNTHETIC.labels[0] == 1).mean(axis=0).astype(int)
    inside[y, x - 4 : x + 4], outside[y - 20, x - 5 : x + 5] = True, True
    return [Scribble(0, label + 1, inside, outside) for label in range(count)]


def test_strokes_of_few_objects_teach_nothing():
    # of strokes alone the network would learn that everything is object
    assert list(finetune(tiny(), MOVIE, Annotations(strokes_of(SEVERAL - 1)), QUICK)) == []


def test_strokes_of_several_objects_teach_the_masks_that_the_network_finds_for_them(monkeypatch):
    network = tiny()
    with torch.no_grad():
        network.state_dict()["head.fc8.bias"].fill_(50.0)  # sees the object everywhere
    scenes, dreamt = scenes_of(Annotations(strokes_of(SEVERAL)), monkeypatch, network)
    assert len(scenes) == SEVERAL
    assert all(scene.known.all() for scene in scenes)
    assert all(scene.target.sum() > 8 for scene in scenes)
    assert not any(scene.target.all() for scene in scenes)  # not where it is said to be something else
    assert all(dreamt)


def test_strokes_beside_what_is_painted_are_learned(monkeypatch):
    mask = SYNTHETIC.labels[0] == 1
    beside = np.zeros_like(mask)
    beside[2, 5:15] = True
    painted = Mask(0, 1, mask | beside)
    ((scene,), _) = scenes_of(Annotations([painted, Scribble(0, 1, ~mask & mask, beside)]), monkeypatch)
    assert scene.target.sum() == mask.sum()


def box_of(label, grow=2):
    y, x = np.nonzero(SYNTHETIC.labels[0] == label)
    return Box(0, label, (y.min() - grow, x.min() - grow, y.max() + 1 + grow, x.max() + 1 + grow))


def boxes_of(count):
    """Boxes of several objects, which all look the same."""
    return Annotations([replace(box_of(1), label=label + 1) for label in range(count)])


def test_boxes_teach_the_masks_that_the_network_finds_in_them_and_nothing_outside(monkeypatch):
    network = tiny()
    with torch.no_grad():
        network.state_dict()["head.fc8.bias"].fill_(50.0)  # sees the object everywhere
    scenes, dreamt = scenes_of(boxes_of(SEVERAL), monkeypatch, network)
    y0, x0, y1, x1 = box_of(1).clip((96, 128))
    assert [scene.target.sum() for scene in scenes] == [(y1 - y0) * (x1 - x0)] * SEVERAL
    assert all(scene.known.all() for scene in scenes)
    assert all(dreamt)


def test_what_the_boxes_of_few_objects_hold_is_not_learned(monkeypatch):
    network = tiny()
    with torch.no_grad():
        network.state_dict()["head.fc8.bias"].fill_(50.0)
    few = boxes_of(SEVERAL - 1)
    again = Annotations(replace(box, frame=1) for box in few.items)
    assert list(finetune(network, MOVIE, few + again, QUICK)) == []
    scenes, _ = scenes_of(few + Annotations.from_labels({2: SYNTHETIC.labels[2]}), monkeypatch, network)
    assert len(scenes) == 2, "the two objects that are painted on frame 2"


@pytest.mark.parametrize("odds", [-50.0, 0.5])
def test_a_box_of_which_the_network_is_not_sure_teaches_nothing(odds, monkeypatch):
    network = tiny()
    with torch.no_grad():
        network.state_dict()["head.fc8.bias"].fill_(odds)
    assert list(finetune(network, MOVIE, boxes_of(SEVERAL), QUICK)) == []
    (scene, *more), _ = scenes_of(
        boxes_of(SEVERAL) + Annotations.from_labels({2: SYNTHETIC.labels[2]}), monkeypatch, network
    )
    assert len(more) == 1, "the two objects that are painted on frame 2"
    assert scene.target.any()


def test_frames_without_the_object_and_strokes_beside_it_are_no_lessons(monkeypatch):
    beside = np.zeros((96, 128), bool)
    beside[:3] = True
    nothing = [Absent(1, 1), Mask(2, 1, np.zeros((96, 128), bool)), Scribble(3, 1, ~beside & beside, beside)]
    scenes, _ = scenes_of(TRUTH + Annotations(nothing), monkeypatch)
    assert len(scenes) == 2


@pytest.mark.parametrize(
    "items", [[], [Mask(0, 1, np.ones((9, 9), bool))], [Mask(9, 1, np.ones((96, 128), bool))], [Absent(0, 1)]]
)
def test_annotations_that_do_not_fit_are_refused_at_the_call(items):
    network = tiny()
    before = weights(network)
    with pytest.raises(AnnotationError):
        finetune(network, MOVIE, Annotations(items), QUICK)
    assert same(weights(network), before)


def test_the_movie_is_not_touched_before_the_first_step():
    class Untouched:
        shape, dtype, ndim = (4, 96, 128), np.dtype(np.uint8), 3

        def __getitem__(self, key):
            raise AssertionError("read before it was asked for")

    finetune(tiny(), Movie(Untouched()), TRUTH, QUICK)


def test_the_random_numbers_of_the_process_are_left_alone():
    network, before = tiny(), torch.get_rng_state()
    list(finetune(network, MOVIE, TRUTH, QUICK))
    assert torch.equal(torch.get_rng_state(), before)
