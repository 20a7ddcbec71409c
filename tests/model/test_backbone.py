"""Trunks: features at four strides, and published weights with a fourth input plane."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_masktrack.model.backbone import (
    BACKBONES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    MobileNetV2,
    ResNet50,
    SameConv2d,
    load_pretrained,
)

each_backbone = pytest.mark.parametrize("name", list(BACKBONES))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def trunk_of(name: str) -> nn.Module:
    return BACKBONES[name]().eval()


def random_input(height: int, width: int) -> Tensor:
    mask = (torch.rand(1, 1, height, width) > 0.5) * 2.0 - 1
    return torch.cat((torch.rand(1, 3, height, width), mask), dim=1)


def published(trunk: nn.Module) -> dict[str, Tensor]:
    """Random weights for a trunk, with the names, shapes and types in which they are published."""
    weights = {}
    for name, value in trunk.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if value.ndim == 1 and "bn" in name:
            name = name.replace(".weight", ".gamma").replace(".bias", ".beta")
        planes = value[:, :3] if value.ndim == 4 and value.shape[1] == 4 else value
        weights[name] = torch.rand(planes.shape).add(0.1).half()
    return weights


@each_backbone
def test_features_have_strides_2_4_8_and_16(name: str) -> None:
    trunk = trunk_of(name)
    with torch.no_grad():
        features = trunk(random_input(64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [
        (width, 64 // stride, 96 // stride) for width, stride in zip(trunk.widths, (2, 4, 8, 16), strict=True)
    ]
    assert all(torch.isfinite(f).all() for f in features)


@each_backbone
def test_the_mask_plane_reaches_the_features(name: str) -> None:
    trunk, x = trunk_of(name), random_input(64, 64)
    other = torch.cat((x[:, :3], -x[:, 3:]), dim=1)
    with torch.no_grad():
        assert all(not torch.allclose(a, b) for a, b in zip(trunk(x), trunk(other), strict=True))


@each_backbone
def test_published_weights_fill_the_trunk_and_the_mask_plane_starts_small(name: str) -> None:
    trunk = trunk_of(name)
    weights = published(trunk)
    load_pretrained(trunk, weights, deviation=0.01)
    state = trunk.state_dict()
    planes = [value[:, 3] for value in state.values() if value.ndim == 4 and value.shape[1] == 4]
    assert len(planes) == 1
    assert 0.005 < planes[0].std() < 0.02
    for key, value in weights.items():
        own = state[key.replace(".gamma", ".weight").replace(".beta", ".bias")]
        assert torch.equal(own[:, :3] if own.ndim == 4 and own.shape[1] == 4 else own, value.float())


@each_backbone
def test_a_zero_mask_plane_gives_the_features_of_the_published_network(name: str) -> None:
    trunk, x = trunk_of(name), random_input(64, 64)
    load_pretrained(trunk, {k: v * 0.1 for k, v in published(trunk).items()}, deviation=0)
    other = torch.cat((x[:, :3], -x[:, 3:]), dim=1)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(trunk(x), trunk(other), strict=True))


def test_missing_and_misshapen_weights_are_refused() -> None:
    trunk = MobileNetV2()
    weights = published(trunk)
    with pytest.raises(KeyError, match=r"Conv\.bias"):
        load_pretrained(trunk, {k: v for k, v in weights.items() if k != "Conv.bias"})
    with pytest.raises(RuntimeError, match=r"Conv\.bias"):
        load_pretrained(trunk, {**weights, "Conv.bias": torch.zeros(5)})


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (9, 5), (1, 1)])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (3, 1, 1), (3, 1, 2), (1, 1, 1)])
def test_padding_is_that_of_tensorflow(
    size: tuple[int, int], kernel: int, stride: int, dilation: int
) -> None:
    layer = SameConv2d(2, 3, kernel, stride=stride, dilation=dilation)
    x = torch.rand(1, 2, *size)
    pads = []
    for length in reversed(size):
        out = -(-length // stride)
        total = max(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - length)
        pads += [total // 2, total - total // 2]
    expected = functional.conv2d(functional.pad(x, pads), layer.weight, layer.bias, stride, 0, dilation)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_mobilenet_maps_colours_to_minus_1_to_1() -> None:
    trunk = MobileNetV2().eval()
    seen = []
    trunk.Conv.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = random_input(32, 32)
    trunk(x)
    assert torch.allclose(seen[0][:, :3], x[:, :3] * 2 - 1)
    assert torch.equal(seen[0][:, 3:], x[:, 3:])


def test_resnet_normalises_colours_as_imagenet_does() -> None:
    trunk = ResNet50().eval()
    seen = []
    trunk.bn_data.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    x = torch.zeros(1, 4, 32, 32)
    x[:, :3] = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    trunk(x)
    assert seen[0].abs().max() < 1e-6
    trunk(x + torch.tensor([*IMAGENET_STD, 0]).view(1, 4, 1, 1))
    assert torch.allclose(seen[1], torch.ones_like(seen[1]), atol=1e-5)
    assert "mean" not in trunk.state_dict()
