"""Normalisation folded into convolutions: the same answers by fewer layers."""

import pytest
import torch
from torch import Tensor, nn

from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.model.folding import folded
from napari_masktrack.model.registry import TRAINABLE


def lived(network: nn.Module) -> nn.Module:
    """A network whose normalisations have seen something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network


@pytest.fixture(params=["mobilenet", "resnet50"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return lived(build_network({**TRAINABLE[request.param], "context": 8, "matching": 8})).train()


@pytest.fixture
def crop() -> Tensor:
    return torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(1))


def count(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_the_answers_stay(network: nn.Module, crop: Tensor) -> None:
    fast = folded(network)
    assert not fast.training
    with torch.inference_mode():
        expected = network.eval()(crop)
        assert expected.std() > 1e-3
        assert torch.allclose(fast(crop), expected, atol=1e-3 * float(expected.abs().max()))


def test_normalisations_behind_convolutions_are_gone_and_the_network_is_as_it_was(network: nn.Module) -> None:
    before, layers = {k: v.clone() for k, v in network.state_dict().items()}, count(network)
    fast = folded(network)
    assert count(fast) < layers
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.context.modules())
    assert count(network) == layers
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_copy_computes_as_its_original_stands(network: nn.Module) -> None:
    fast = folded(network)
    assert {p.device for p in fast.parameters()} == {p.device for p in network.parameters()}
    assert fast.description == network.description
    assert fast.recalls
