import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_masktrack.errors import CheckpointError, ConfigError
from napari_masktrack.model.vgg16 import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    DeepLabVGG16,
    adopt_imagenet,
    build_vgg16,
    imagenet_names,
)

TINY = 1 / 16


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def tiny(**options: float) -> DeepLabVGG16:
    return build_vgg16(width=TINY, **options).eval()


def random_input(height: int, width: int) -> Tensor:
    mask = (torch.rand(2, 1, height, width) > 0.5) * 2.0 - 1
    return torch.cat((torch.rand(2, 3, height, width), mask), dim=1)


def random_vgg16(widths: tuple[int, ...] = (4, 8, 16, 32, 32), units: int = 256) -> dict[str, Tensor]:
    """VGG16's tensors under their published names, as narrow as the tiny network."""
    counts = (2, 2, 3, 3, 3)
    outputs = [width for width, count in zip(widths, counts, strict=True) for _ in range(count)]
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    tensors, inputs = {}, 3
    for index, channels in zip(indices, outputs, strict=True):
        tensors[f"features.{index}.weight"] = torch.randn(channels, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5
        tensors[f"features.{index}.bias"] = torch.randn(channels) * 0.1
        inputs = channels
    tensors["pre_logits.fc1.weight"] = torch.randn(units, inputs, 7, 7) * 0.1
    tensors["pre_logits.fc1.bias"] = torch.randn(units) * 0.1
    tensors["pre_logits.fc2.weight"] = torch.randn(units, units, 1, 1) * 0.1
    tensors["pre_logits.fc2.bias"] = torch.randn(units) * 0.1
    return tensors


def slow_forward(weights: dict[str, Tensor], network: DeepLabVGG16, x: Tensor) -> Tensor:
    """DeepLab-LargeFOV layer by layer, for inputs of 8 k + 1 pixels."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    h = torch.cat(((x[:, :3] - mean) / std, x[:, 3:]), dim=1)
    plane = network.state_dict()["trunk.0.weight"][:, 3:]
    last_of_stage = {2: 2, 7: 2, 14: 2, 21: 1, 28: 1}
    for index in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28):
        kernel = weights[f"features.{index}.weight"]
        kernel = torch.cat((kernel, plane), dim=1) if index == 0 else kernel
        dilation = 2 if index > 21 else 1
        h = functional.conv2d(h, kernel, weights[f"features.{index}.bias"], 1, dilation, dilation).relu()
        if index in last_of_stage:
            h = functional.max_pool2d(h, 3, last_of_stage[index], 1)
    h = functional.avg_pool2d(h, 3, 1, 1)
    fc6 = weights["pre_logits.fc1.weight"][::4, :, ::3, ::3]
    h = functional.conv2d(h, fc6, weights["pre_logits.fc1.bias"][::4], 1, 12, 12).relu()
    fc7 = weights["pre_logits.fc2.weight"][::4, ::4]
    h = functional.conv2d(h, fc7, weights["pre_logits.fc2.bias"][::4]).relu()
    state = network.state_dict()
    h = functional.conv2d(h, state["head.fc8.weight"], state["head.fc8.bias"])
    return functional.interpolate(h, size=x.shape[-2:], mode="bilinear", align_corners=True)


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (50, 71), (8, 33), (1, 1)])
def test_logits_have_the_size_of_the_input(size: tuple[int, int]) -> None:
    logits = tiny()(random_input(*size))
    assert logits.shape == (2, 1, *size)
    assert logits.dtype == torch.float32


def test_the_full_network_has_the_published_sizes() -> None:
    with torch.device("meta"):
        network = build_vgg16()
        features = network.trunk(torch.empty(1, 4, 321, 321))
    assert features.shape == (1, 512, 41, 41)
    colour = sum(p.numel() for p in network.parameters()) - 64 * 9
    # VGG16's convolutions, then fc6 (3x3), fc7 and one logit.
    assert colour == 14_714_688 + (512 * 9 + 1) * 1024 + 1025 * 1024 + 1025


def test_the_network_has_no_batch_normalisation_and_stores_no_constants() -> None:
    network = tiny()
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


def test_the_mean_image_becomes_zero() -> None:
    x = torch.zeros(1, 4, 24, 24)
    x[:, :3] = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    assert torch.equal(tiny()(x), torch.zeros(1, 1, 24, 24))


def test_a_shift_by_the_stride_shifts_the_logits() -> None:
    network = tiny().double()
    wide = torch.rand(1, 4, 16, 800, dtype=torch.float64)
    first, second = network(wide[..., :-8]), network(wide[..., 8:])
    inner = slice(320, -320)
    assert torch.allclose(first[..., 8:][..., inner], second[..., :-8][..., inner])


def test_a_zero_mask_plane_ignores_the_mask_but_learns() -> None:
    x = random_input(32, 32)
    flipped = torch.cat((x[:, :3], -x[:, 3:]), dim=1)
    deaf, guided = tiny(mask_std=0), tiny(mask_std=0.5)
    assert torch.equal(deaf(x), deaf(flipped))
    assert not torch.allclose(guided(x), guided(flipped))
    deaf(x).sum().backward()
    gradient = next(iter(deaf.trunk.parameters())).grad
    assert gradient is not None
    assert gradient[:, 3].abs().max() > 0


def test_dropout_acts_in_training_only() -> None:
    network, x = tiny(), random_input(32, 32)
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))


def test_imagenet_weights_reproduce_deeplab_layer_by_layer() -> None:
    network, weights, x = tiny(), random_vgg16(), random_input(65, 41)
    adopt_imagenet(network, weights)
    with torch.no_grad():
        assert torch.allclose(network(x), slow_forward(weights, network, x), atol=1e-5)


def test_the_mask_plane_and_fc8_survive_imagenet_weights() -> None:
    network, weights = tiny(), random_vgg16()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adopt_imagenet(network, weights)
    after = network.state_dict()
    assert torch.equal(after["trunk.0.weight"][:, :3], weights["features.0.weight"])
    assert torch.equal(after["trunk.0.weight"][:, 3], before["trunk.0.weight"][:, 3])
    assert torch.equal(after["head.fc8.weight"], before["head.fc8.weight"])
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(before) - {"head.fc8.weight", "head.fc8.bias"}


def test_fc6_and_fc7_can_start_from_a_gaussian() -> None:
    network, weights = tiny(), random_vgg16()
    trunk_only = {name: weights[name] for name in imagenet_names("gaussian")}
    adopt_imagenet(network, trunk_only, fc="gaussian")
    weight = network.state_dict()["head.fc6.weight"]
    assert 0.009 < weight.std() < 0.011
    assert torch.equal(network.state_dict()["trunk.28.bias"], weights["features.28.bias"])


def test_the_names_are_those_of_the_public_file() -> None:
    assert set(imagenet_names()) == set(random_vgg16())


@pytest.mark.parametrize(("fc", "count"), [("subsampled", 2), ("gaussian", 6)])
def test_new_and_pretrained_layers_are_told_apart(fc: str, count: int) -> None:
    network = tiny()
    assert len(network.head_parameters()) == 6
    adopt_imagenet(network, random_vgg16(), fc=fc)  # type: ignore[arg-type]
    trunk, head = (set(map(id, part)) for part in (network.trunk_parameters(), network.head_parameters()))
    assert len(head) == count
    assert not trunk & head
    assert trunk | head == set(map(id, network.parameters()))


def test_missing_or_misshapen_tensors_are_named_and_nothing_changes() -> None:
    network = tiny()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    incomplete = random_vgg16()
    del incomplete["pre_logits.fc2.bias"]
    with pytest.raises(CheckpointError, match=r"no tensor pre_logits\.fc2\.bias"):
        adopt_imagenet(network, incomplete)
    with pytest.raises(
        CheckpointError, match=r"features\.0\.weight has shape \(5, 3, 3, 3\), .* \(4, 3, 3, 3\)"
    ):
        adopt_imagenet(network, random_vgg16((5, 8, 16, 32, 32)))
    with pytest.raises(CheckpointError, match="has 32 units, the network needs 64"):
        adopt_imagenet(network, random_vgg16(units=32))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("options", [{"width": 0}, {"width": 5}, {"dropout": 1}, {"mask_std": -1}])
def test_options_outside_their_limits_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        build_vgg16(**options)


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="subsampled, gaussian"):
        adopt_imagenet(tiny(), random_vgg16(), fc="zero")  # type: ignore[arg-type]
