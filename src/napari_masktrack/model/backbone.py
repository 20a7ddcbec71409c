"""Pretrained trunks that turn image and mask (4 planes) into features at strides 2, 4, 8 and 16."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Trunk(nn.Module):
    """A feature extractor: (B, 4, H, W) to four maps at strides 2, 4, 8, 16.

    Attributes
    ----------
    widths : tuple of int
        Channels at strides 2, 4, 8 and 16.
    """

    widths: tuple[int, int, int, int]

    def forward(self, x: Tensor, extra: Tensor | None = None) -> list[Tensor]:
        """Return the features, finest first; `x` has RGB in [0, 1] and the mask plane in {-1, 1}.

        What is `extra` is added to the features at stride 8, on their way to those at stride 16.
        """
        raise NotImplementedError


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's 'SAME': at stride 2 the odd row goes to the bottom right."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved map; stride 2 halves the size, rounded up."""
        if self.stride[0] == 1:
            pad = self.dilation[0] * (self.kernel_size[0] - 1) // 2
            return functional.conv2d(x, self.weight, self.bias, 1, pad, self.dilation, self.groups)
        sides = zip(x.shape[-2:], self.kernel_size, strict=True)
        total = [max(0, (-(-n // 2) - 1) * 2 + kernel - n) for n, kernel in sides]
        # padded alike on both sides, with a kernel that passes over what is too much: maps need no copy
        more = [total[1] % 2, 0, total[0] % 2, 0]
        weight = functional.pad(self.weight, more) if any(more) else self.weight
        pads = [-(-each // 2) for each in total]
        return functional.conv2d(x, weight, self.bias, self.stride, pads, self.dilation, self.groups)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel, narrow."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1, factor: int = 6
    ) -> None:
        super().__init__()
        wide = inputs * factor
        self.expand = SameConv2d(inputs, wide, 1) if factor > 1 else None
        self.depthwise = SameConv2d(wide, wide, 3, stride=stride, dilation=dilation, groups=wide)
        self.project = SameConv2d(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        h = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        narrow: Tensor = self.project(functional.relu6(self.depthwise(h), inplace=True))
        return narrow.add_(x) if self.residual else narrow


class MobileNetV2(Trunk):
    """MobileNetV2 1.0 at output stride 16; batch norm is folded into the convolutions.

    Source: Sandler et al., "MobileNetV2", CVPR 2018; names as in the DeepLab checkpoints.
    """

    widths = (16, 24, 32, 320)
    # outputs, stride, dilation of each block
    BLOCKS = (
        (16, 1, 1), (24, 2, 1), (24, 1, 1), (32, 2, 1), (32, 1, 1), (32, 1, 1), (64, 2, 1), (64, 1, 1),
        (64, 1, 1), (64, 1, 1), (96, 1, 1), (96, 1, 1), (96, 1, 1), (160, 1, 1), (160, 1, 2), (160, 1, 2),
        (320, 1, 2),
    )  # fmt: skip
    TAPS = (0, 2, 5, 16)

    def __init__(self) -> None:
        super().__init__()
        self.Conv = SameConv2d(4, 32, 3, stride=2)
        inputs = 32
        for index, (outputs, stride, dilation) in enumerate(self.BLOCKS):
            name = f"expanded_conv_{index}" if index else "expanded_conv"
            factor = 6 if index else 1
            block = InvertedResidual(inputs, outputs, stride=stride, dilation=dilation, factor=factor)
            self.add_module(name, block)
            inputs = outputs

    def forward(self, x: Tensor, extra: Tensor | None = None) -> list[Tensor]:
        """Return features of 16, 24, 32 and 320 channels."""
        h = functional.relu6(self.Conv(torch.cat([x[:, :3] * 2 - 1, x[:, 3:]], dim=1)), inplace=True)
        taps = []
        for index, block in enumerate(list(self.children())[1:]):
            h = block(h)
            if extra is not None and index == self.TAPS[2]:
                h = h + extra
            if index in self.TAPS:
                taps.append(h)
        return taps


class PreActivation(nn.Module):
    """The unit of ResNet v2: normalise, activate, convolve; the shortcut stays linear."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, downsample: bool = False) -> None:
        super().__init__()
        middle = outputs // 4
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if downsample else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the unit's output, not yet activated."""
        h = functional.relu(self.bn1(x), inplace=True)
        shortcut = x if self.downsample is None else self.downsample(h)
        h = self.conv2(functional.relu(self.bn2(self.conv1(h)), inplace=True))
        return torch.add(shortcut, self.conv3(functional.relu(self.bn3(h), inplace=True)))


class Stage(nn.Sequential):
    """Units of one resolution; the first one changes it."""

    def __init__(self, inputs: int, outputs: int, *, units: int, stride: int) -> None:
        first = PreActivation(inputs, outputs, stride=stride, downsample=True)
        super().__init__(first, *(PreActivation(outputs, outputs) for _ in range(units - 1)))

    def activated(self, x: Tensor) -> Tensor:
        """Return what comes in as the first unit sees it: normalised and activated."""
        first = self[0]
        assert isinstance(first, PreActivation)
        return functional.relu(first.bn1(x))


class ResNet50(Trunk):
    """Stem and first three stages of ResNet-50 v2.

    Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016; weights as in the
    Gluon / ONNX zoo's ``resnet50-v2-7``.
    """

    widths = (64, 256, 512, 1024)
    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.bn_data = nn.BatchNorm2d(3)
        self.conv0 = nn.Conv2d(4, 64, 7, 2, 3, bias=False)
        self.bn0 = nn.BatchNorm2d(64)
        self.stage1 = Stage(64, 256, units=3, stride=1)
        self.stage2 = Stage(256, 512, units=4, stride=2)
        self.stage3 = Stage(512, 1024, units=6, stride=2)
        self.bn_s3 = nn.BatchNorm2d(1024)

    def forward(self, x: Tensor, extra: Tensor | None = None) -> list[Tensor]:
        """Return features of 64, 256, 512 and 1024 channels."""
        rgb = self.bn_data((x[:, :3] - self.mean) / self.std)
        two = functional.relu(self.bn0(self.conv0(torch.cat([rgb, x[:, 3:]], dim=1))))
        four = self.stage1(functional.max_pool2d(two, 3, 2, 1))
        eight = self.stage2(four)
        if extra is not None:
            eight = eight + extra
        sixteen = functional.relu(self.bn_s3(self.stage3(eight)))
        # a stage's output is linear: it is used through the normalisation of the stage that follows
        return [two, self.stage2.activated(four), self.stage3.activated(eight), sixteen]


def load_pretrained(trunk: Trunk, weights: Mapping[str, Tensor], *, deviation: float = 0.02) -> None:
    """Fill a trunk with ImageNet weights; the mask becomes a fourth input plane.

    Parameters
    ----------
    trunk : Trunk
    weights : mapping of str to Tensor
        As published: three input planes; batch norm as ``.gamma .beta .running_mean .running_var``.
    deviation : float
        Standard deviation of the mask plane's gaussian start; 0 starts it at zero.

    Raises
    ------
    KeyError
        A weight of the trunk is missing.
    RuntimeError
        A weight has another shape.
    """
    renamed = {
        k.replace(".gamma", ".weight").replace(".beta", ".bias"): v.float() for k, v in weights.items()
    }
    state = trunk.state_dict()
    for name, current in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        value = renamed[name]
        if value.ndim == 4 and current.shape[1] == value.shape[1] + 1:
            plane = torch.randn(value.shape[0], 1, *value.shape[2:]) * deviation
            value = torch.cat([value, plane], dim=1)
        state[name] = value
    trunk.load_state_dict(state)


BACKBONES: dict[str, Callable[[], Trunk]] = {
    "mobilenet": MobileNetV2,
    "resnet50": ResNet50,
}
