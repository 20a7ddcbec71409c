"""Every network: image and mask in, log odds out; and which of its weights learn how."""

import pytest
import torch
from torch import Tensor, nn

from napari_masktrack.errors import CheckpointError
from napari_masktrack.model.backbone import BACKBONES
from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.model.network import GuidedNetwork, MaskNetwork
from napari_masktrack.model.registry import NETWORKS, TRAINABLE

TINY = {
    "masknet": {"network": "masknet", "backbone": "mobilenet", "context": 8},
    "vgg16": {"network": "vgg16", "width": 0.0625},
}
each_network = pytest.mark.parametrize("name", list(NETWORKS))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def tiny(name: str) -> GuidedNetwork:
    return build_network(TINY[name]).eval()


def random_input(*size: int) -> Tensor:
    mask = (torch.rand(2, 1, *size) > 0.5) * 2.0 - 1
    return torch.cat((torch.rand(2, 3, *size), mask), dim=1)


@each_network
@pytest.mark.parametrize("size", [(64, 64), (65, 97), (33, 50)])
def test_scores_have_the_size_of_the_input(name: str, size: tuple[int, int]) -> None:
    with torch.no_grad():
        scores = tiny(name)(random_input(*size))
    assert scores.shape == (2, 1, *size)
    assert torch.isfinite(scores).all()


@each_network
def test_the_answer_for_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    network, x = tiny(name), random_input(64, 64)
    with torch.no_grad():
        assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-5)


@each_network
def test_trunk_and_head_are_all_weights_and_share_none(name: str) -> None:
    network = tiny(name)
    trunk, head = (list(map(id, part)) for part in (network.trunk_parameters(), network.head_parameters()))
    assert trunk
    assert head
    assert sorted(trunk + head) == sorted(map(id, network.parameters()))


@each_network
def test_every_weight_gets_a_gradient(name: str) -> None:
    network = tiny(name).train()
    network(random_input(64, 64)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []


@each_network
def test_the_description_rebuilds_the_network(name: str) -> None:
    network = tiny(name)
    assert network.description["network"] == name
    again = build_network(network.description)
    assert type(again) is type(network)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in network.state_dict().items()
    }


@each_network
def test_the_pretrained_statistics_can_be_frozen_while_the_rest_learns(name: str) -> None:
    network = tiny(name).train()
    network.freeze_pretrained_statistics()
    slow = {id(p) for p in network.trunk_parameters()}
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.training == (id(norm.weight) not in slow) for norm in norms)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network(random_input(64, 64))
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert all(not key.startswith("trunk.") for key in changed)


def test_the_statistics_of_a_normalised_trunk_are_frozen_too() -> None:
    network = MaskNetwork("resnet50", context=8).train()
    network.freeze_pretrained_statistics()
    before = {k: v.clone() for k, v in network.trunk.state_dict().items()}
    with torch.no_grad():
        network(random_input(32, 32))
    assert all(torch.equal(v, before[k]) for k, v in network.trunk.state_dict().items())


def test_the_default_network_fits_into_20_megabytes_of_half_precision() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in MaskNetwork().parameters())
    assert 2 * count < 20e6


def test_everything_that_can_be_trained_can_be_built() -> None:
    assert set(TRAINABLE) == {*BACKBONES, "vgg16"}
    with torch.device("meta"):
        for description in TRAINABLE.values():
            assert build_network(description).description["network"] == description["network"]


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"network": "resnet"},
        {"network": ["masknet"]},
        {"network": "masknet", "backbone": "alexnet"},
        {"network": "masknet", "backbone": {}},
        {"network": "masknet", "depth": 3},
        {"network": "masknet", "context": -1},
        {"network": "masknet", "context": "wide"},
        {"network": "vgg16", "width": 9},
        {"network": "vgg16", "width": "1"},
    ],
)
def test_a_network_that_cannot_be_built_is_refused_in_one_line(description: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"[Nn]etwork") as caught:
        build_network(description)
    assert "\n" not in str(caught.value)
