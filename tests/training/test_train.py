"""The loop: two steps a clip, the second on the network's own answer."""

import copy
import threading
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_masktrack.errors import WorkError
from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.training import train
from napari_masktrack.training.prefetch import prefetch
from napari_masktrack.training.samples import Clip, SampleConfig, View, make_clip
from napari_masktrack.training.scenes import Scene
from napari_masktrack.training.train import Schedule, fed_back, fit, network_input, running_average, stack

SIZE = 64
STILL = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def mask_of(y0, x0, y1, x1):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def view_of(target, guidance=None):
    image = np.where(target[..., None], np.uint8(230), np.uint8(20)).repeat(3, axis=-1)
    return View(image, target, np.ones_like(target), target if guidance is None else guidance)


def clip_of(first, second=None, link=STILL):
    return Clip((first, first if second is None else second), link)


def shift(dy, dx):
    """The link of a second view in which everything lies (dy, dx) pixels farther down and right."""
    return np.array([[1, 0, -2 * dx / SIZE], [0, 1, -2 * dy / SIZE]], np.float32)


def score_of(*masks):
    return torch.from_numpy(np.stack(masks))[:, None].float() * 20 - 10


class Listener(GuidedNetwork):
    """Answers with a fixed mask and keeps what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.description = {}
        self.answer = score_of(answer)
        self.bias, self.scale = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))
        self.inputs, self.modes = [], []

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x.detach().clone())
        self.modes.append(self.training)
        return self.scale * self.answer.expand(len(x), -1, -1, -1) + self.bias

    def trunk_parameters(self):
        return [self.scale]


def schedule(steps, **changes):
    return Schedule(**{"steps": steps, "rate": 1e-3, "trunk_rate": 1e-3, **changes})


def endless(clips):
    while True:
        yield clips


def guidance_seen(network, step):
    return network.inputs[step][:, 3] > 0


# What goes in


def test_views_become_tensors_of_the_networks_form():
    batch = stack([view_of(mask_of(10, 20, 30, 50)), view_of(mask_of(0, 0, 5, 5))], torch.device("cpu"))
    assert batch.image.shape == (2, 3, SIZE, SIZE)
    assert batch.target.shape == batch.known.shape == batch.guidance.shape == (2, 1, SIZE, SIZE)
    assert batch.image.max() == pytest.approx(230 / 255)
    assert set(batch.target.unique().tolist()) == {0, 1}
    x = network_input(batch.image, batch.guidance)
    assert x.shape == (2, 4, SIZE, SIZE)
    assert torch.equal(x[:, :3], batch.image)
    assert torch.equal(x[:, 3:], batch.guidance * 2 - 1)


# The answer that is fed back


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (5, 0), (0, -7), (4, 9)])
def test_the_answer_to_the_first_view_is_moved_by_the_link(dy, dx):
    answer = mask_of(20, 24, 36, 44)
    clip = clip_of(view_of(answer), link=shift(dy, dx))
    moved = fed_back(score_of(answer), [clip], score_of(answer).gt(0).float())
    assert moved.shape == (1, 1, SIZE, SIZE)
    assert np.array_equal(moved[0, 0].numpy() > 0, mask_of(20 + dy, 24 + dx, 36 + dy, 44 + dx))


def test_each_sample_is_moved_by_its_own_link():
    answers = [mask_of(20, 20, 30, 30), mask_of(20, 20, 30, 30)]
    clips = [
        clip_of(view_of(a), link=link) for a, link in zip(answers, (shift(0, 0), shift(8, 0)), strict=True)
    ]
    moved = fed_back(score_of(*answers), clips, score_of(*answers).gt(0).float())
    assert np.array_equal(moved[0, 0].numpy() > 0, answers[0])
    assert np.array_equal(moved[1, 0].numpy() > 0, mask_of(28, 20, 38, 30))


def test_a_useless_answer_is_not_fed_back_but_an_honest_empty_one_is():
    target, elsewhere, empty = mask_of(10, 10, 30, 30), mask_of(40, 40, 60, 60), mask_of(0, 0, 0, 0)
    clips = [clip_of(view_of(target)), clip_of(view_of(target)), clip_of(view_of(empty))]
    truth = score_of(target, target, empty).gt(0).float()
    moved = fed_back(score_of(target, elsewhere, empty), clips, truth)
    assert not moved[0].isnan().any()
    assert moved[1].isnan().all()
    assert not moved[2].any()


def test_the_second_view_is_guided_by_the_networks_own_answer_moved_by_the_link():
    answer, target, drawn = mask_of(20, 20, 36, 40), mask_of(20, 20, 36, 42), mask_of(18, 18, 40, 44)
    clip = clip_of(view_of(target, drawn), view_of(target, drawn), shift(3, 6))
    network = Listener(answer)
    list(fit(network, endless([clip]), schedule(4)))
    for step in (0, 2):
        assert np.array_equal(guidance_seen(network, step)[0].numpy(), drawn)
        assert np.array_equal(guidance_seen(network, step + 1)[0].numpy(), mask_of(23, 26, 39, 46))


def test_a_sample_with_a_useless_answer_keeps_its_drawn_guidance():
    good, bad = mask_of(20, 20, 36, 40), mask_of(44, 44, 60, 60)
    drawn = mask_of(2, 2, 9, 9)
    clips = [clip_of(view_of(good, drawn)), clip_of(view_of(bad, drawn))]
    network = Listener(good)
    list(fit(network, endless(clips), schedule(2)))
    second = guidance_seen(network, 1).numpy()
    assert np.array_equal(second[0], good)
    assert np.array_equal(second[1], drawn)


# Steps, rates, modes


def samples(count=4, size=SIZE):
    y, x = np.indices((100, 120))
    mask = ((y - 50) / 16) ** 2 + ((x - 60) / 22) ** 2 < 1
    image = np.where(mask[..., None], np.uint8(220), np.uint8(50)).repeat(3, axis=-1)
    rng, config = np.random.default_rng(0), SampleConfig(size=size, photometric=False, empty=0)
    while True:
        yield [make_clip(Scene(image, mask, np.ones_like(mask)), rng, config) for _ in range(count)]


def tiny(name="vgg16"):
    options = {"width": 0.0625, "dropout": 0.0} if name == "vgg16" else {"context": 8}
    return build_network({"network": name, **options})


def test_every_step_is_reported():
    steps = list(fit(tiny(), samples(2), schedule(5)))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5]
    assert {step.steps for step in steps} == {5}
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    assert all(step.loss > 0 for step in steps)


def test_the_loss_falls():
    losses = [step.loss for step in fit(tiny(), samples(), schedule(60, rate=3e-3, trunk_rate=3e-3))]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_time_ends_the_training_and_lowers_the_rate():
    def slow():
        for clips in samples(1):
            time.sleep(0.02)
            yield clips

    steps = list(fit(tiny(), slow(), schedule(100_000, seconds=0.6)))
    assert 1 <= len(steps) < 500
    assert steps[-1].seconds < 3


def test_a_slow_computer_makes_the_least_steps_all_the_same():
    steps = list(fit(tiny(), samples(), schedule(100_000, seconds=1e-6, least=7)))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert rates_of(steps=100, rate=1.0, seconds=1e-6, least=4)[-1, 0] > 0


def rates_of(**options):
    network, seen = Listener(mask_of(20, 20, 36, 40)), []
    step = torch.optim.AdamW.step

    def spy(self, *arguments, **keywords):
        seen.append([group["lr"] for group in self.param_groups])
        return step(self, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", spy)
        list(fit(network, endless([clip_of(view_of(mask_of(20, 20, 36, 40)))]), schedule(**options)))
    return np.array(seen)


def test_the_rate_falls_to_nothing_as_in_the_paper_or_as_a_cosine():
    poly = rates_of(steps=10, rate=1.0, trunk_rate=0.1, decay="poly")
    assert poly[:, 0] == pytest.approx([(1 - step / 10) ** 0.9 for step in range(10)])
    assert poly[:, 1] == pytest.approx(0.1 * poly[:, 0])
    cosine = rates_of(steps=10, rate=1.0, decay="cosine")[:, 0]
    assert cosine == pytest.approx([0.5 * (1 + np.cos(np.pi * step / 10)) for step in range(10)])


def test_the_rate_rises_first_also_when_a_training_goes_on():
    assert rates_of(steps=1000, rate=1.0, warm_up=5)[:4, 0] == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=0.01)
    again = rates_of(steps=1000, rate=1.0, warm_up=5, first_step=990)[:, 0]
    full = 0.5 * (1 + np.cos(np.pi * np.arange(990, 1000) / 1000))
    assert len(again) == 10
    assert again[0] == pytest.approx(0.2 * full[0])
    assert again[6] == pytest.approx(full[6])


@pytest.mark.parametrize("freeze", [True, False])
def test_statistics_of_the_trunk_are_always_frozen_and_those_of_the_decoder_if_asked(freeze):
    network = build_network({"network": "masknet", "backbone": "resnet50", "context": 8})
    before = {k: v.clone() for k, v in network.state_dict().items()}
    list(fit(network, samples(2), schedule(2, freeze_statistics=freeze)))
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {k for k in changed if "running" in k or k.endswith("num_batches_tracked")}
    assert not any(k.startswith("trunk.") for k in statistics)
    assert bool(statistics) != freeze
    learnt = {k for k, _ in network.named_parameters()}
    assert len(learnt & changed) > 0.9 * len(learnt), "all layers learn"


def test_the_network_is_in_evaluation_afterwards_even_if_looked_at_in_between():
    network = Listener(mask_of(20, 20, 36, 40))
    steps = fit(network, endless([clip_of(view_of(mask_of(20, 20, 36, 40)))]), schedule(10))
    for _ in range(3):
        next(steps)
        network.eval()
    assert network.modes == [True] * 3
    steps.close()
    assert not network.training


def test_closing_keeps_the_weights_of_then_and_ends_the_thread():
    network = tiny()
    steps = fit(network, prefetch(samples(1)), schedule(1000))
    for _ in range(3):
        next(steps)
    kept = {k: v.clone() for k, v in network.state_dict().items()}
    steps.close()
    del steps
    assert all(torch.equal(v, kept[k]) for k, v in network.state_dict().items())
    assert not any(thread.name == "masktrack-samples" for thread in threading.enumerate())


def test_the_running_average_follows_the_weights_slowly():
    network = tiny()
    start = copy.deepcopy(network.state_dict())
    averaged = running_average(network, 0.9)
    list(fit(network, samples(2), schedule(8), averaged=averaged))
    name = "head.fc6.weight"
    now, mean = network.state_dict()[name], averaged.module.state_dict()[name]
    assert (now - start[name]).norm() > 0
    assert 0 < (mean - now).norm() < (start[name] - now).norm() * 1.5
    assert averaged.module.description == network.description


def test_a_loss_that_is_no_number_ends_the_training_with_advice():
    network = tiny()
    with torch.no_grad():
        network.state_dict()["head.fc8.bias"].fill_(float("nan"))
    with pytest.raises(WorkError, match="lower the learning rate"):
        list(fit(network, samples(1), schedule(4)))
    assert not network.training


def test_training_in_half_precision_keeps_float32_weights(monkeypatch):
    monkeypatch.setattr("napari_masktrack.model.device._cpu_has_bfloat16", lambda: True)
    network = tiny("masknet")
    losses = [step.loss for step in fit(network, samples(2), schedule(2))]
    assert np.isfinite(losses).all()
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_useless_answers_are_those_below_the_threshold():
    target = mask_of(10, 10, 30, 30)
    for height, useless in ((4, True), (8, False)):
        answer = mask_of(10, 10, 10 + height, 30)
        moved = fed_back(score_of(answer), [clip_of(view_of(target))], score_of(target).gt(0).float())
        assert bool(moved.isnan().all()) == useless == (height / 20 < train.USABLE)


def test_sgd_has_momentum_and_weight_decay_as_in_the_paper(monkeypatch):
    seen, step = [], torch.optim.SGD.step

    def spy(self, *arguments, **keywords):
        seen.extend((group["momentum"], group["weight_decay"], group["lr"]) for group in self.param_groups)
        return step(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    chosen = schedule(1, optimiser="sgd", weight_decay=5e-4, rate=1e-3, decay="poly")
    list(fit(tiny(), samples(1), chosen))
    assert seen == [(0.9, 5e-4, 1e-3)] * 2
