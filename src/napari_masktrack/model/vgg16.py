"""The paper's network: DeepLabv2-VGG16 with a large field of view, and a fourth input plane for the mask."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_masktrack.errors import CheckpointError, ConfigError
from napari_masktrack.model.backbone import IMAGENET_MEAN, IMAGENET_STD
from napari_masktrack.model.network import GuidedNetwork

Start = Literal["subsampled", "gaussian"]

# Convolutions per stage, stride of the pooling behind them, dilation: VGG16's first three stages as
# they are, then stride 1 and dilation 2 instead of the last two halvings.
STAGES = ((64, 2, 2, 1), (128, 2, 2, 1), (256, 3, 2, 1), (512, 3, 1, 1), (512, 3, 1, 2))
HEAD = 1024
STRIDE = 8


class DeepLabVGG16(GuidedNetwork):
    """DeepLab-VGG16 (LargeFOV) on image and mask, as in section 4 of the MaskTrack paper.

    Convolutions 1 to 5 of VGG16; max pooling 3x3 throughout, with stride 1 behind stages 4 and 5, so
    that the features have stride 8; dilation 2 in stage 5; average pooling 3x3; fc6 is 3x3 with
    dilation 12 and 1024 channels; fc7 is 1x1 with 1024; dropout behind both; fc8 gives one logit.
    No batch normalisation. Scores are upsampled eightfold with the grid's corners aligned and cut to
    the input's size, which is exact for every size because the pooling rounds up (as Caffe's does).

    One logit z stands for the paper's two scores: ``sigmoid(z) = softmax((z0, z1))[1]`` for
    ``z = z1 - z0``, so both describe the same functions. It halves the last layer, keeps one loss for all
    networks of this package, and moves under SGD as the two scores do at half the learning rate.

    Parameters
    ----------
    width : float
        Factor on all channel counts; 1 is the paper's network (20.5 million parameters).
    dropout : float
        Share of the fc6 and fc7 features dropped in training.
    mask_std : float
        Standard deviation of the mask plane's initial weights in the first convolution; 0 starts
        them at zero. The paper saw no difference between gaussian and zero.

    Raises
    ------
    ConfigError
        ``width`` is not in (0, 4], ``dropout`` not in [0, 1) or ``mask_std`` negative.

    Notes
    -----
    Without `adopt_imagenet` the convolutions start from Kaiming's gaussian, fc8 from a gaussian of
    0.01, biases from zero.

    References
    ----------
    Khoreva et al. 2017, Learning Video Object Segmentation from Static Images, section 4.
    Chen et al. 2015, arXiv:1412.7062, section 3, and the published definition of DeepLab-LargeFOV.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, width: float = 1.0, dropout: float = 0.5, mask_std: float = 0.01) -> None:
        super().__init__()
        _check_options(width, dropout, mask_std)
        self.description = {"network": "vgg16", "width": width, "dropout": dropout}
        self.new_layers: tuple[str, ...] = ("fc6", "fc7", "fc8")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.trunk = _build_trunk(width)
        self.head = _build_head(width, dropout)
        self._initialise(mask_std)

    def forward(self, x: Tensor) -> Tensor:
        """Score every pixel.

        Parameters
        ----------
        x : Tensor, float (B, 4, H, W)
            RGB in [0, 1], then the mask plane, -1 outside and +1 inside.

        Returns
        -------
        Tensor, float (B, 1, H, W)
            Logits of the object.
        """
        height, width = x.shape[-2:]
        image = (x[:, :3] - self.mean) / self.std
        scores = self.head(self.trunk(torch.cat((image, x[:, 3:]), dim=1)))
        grid = [STRIDE * (side - 1) + 1 for side in scores.shape[-2:]]
        fine = functional.interpolate(scores, size=grid, mode="bilinear", align_corners=True)
        return fine[..., :height, :width]

    def trunk_parameters(self) -> list[nn.Parameter]:
        """Return the pretrained part, which learns slowly: all but `head_parameters`."""
        new = {id(parameter) for parameter in self.head_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in new]

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the new layers, which learn fast.

        These are fc6, fc7 and fc8, or fc8 alone once `adopt_imagenet` has filled the other two
        (DeepLab trains fc8 at ten times the rate of everything else).
        """
        return [p for name in self.new_layers for p in self.head.get_submodule(name).parameters()]

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Start from VGG16's weights; see `adopt_imagenet`."""
        adopt_imagenet(self, weights)

    def _initialise(self, mask_std: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                _zero_bias(module)
        _draw(self.head, "fc8")
        with torch.no_grad():
            _convolution(self.trunk, "0").weight[:, 3].normal_(0, mask_std)


def build_vgg16(*, width: float = 1.0, dropout: float = 0.5, mask_std: float = 0.01) -> DeepLabVGG16:
    """Build the paper's network without pretrained weights; see `DeepLabVGG16` for the options."""
    return DeepLabVGG16(width=width, dropout=dropout, mask_std=mask_std)


def adopt_imagenet(network: DeepLabVGG16, weights: Mapping[str, Tensor], *, fc: Start = "subsampled") -> None:
    """Start the network from VGG16 weights trained on ImageNet.

    The thirteen convolutions are copied. The first one has four input planes here: the colour planes
    are copied, the mask plane keeps its initial values. fc8 stays new.

    VGG16's fc6 sees 7x7 positions and has 4096 units. DeepLab keeps every third position, that is
    3x3 of them, and 1024 units. Three positions at VGG16's stride of 32 are 96 pixels apart, and so
    are the taps of fc6 here (dilation 12 at stride 8): each weight stays at its place in the image.
    Which 1024 units DeepLab kept was not published; every fourth is kept here, as in the public ports
    of this reduction, with the same units as inputs of fc7.

    Parameters
    ----------
    network : DeepLabVGG16
        Filled in place, and left as it was when something does not fit.
    weights : mapping of str to Tensor
        Tensors by the names of ``timm``'s VGG16: ``features.{n}.weight`` and ``.bias`` (OIHW), and
        ``pre_logits.fc1`` and ``.fc2`` likewise as 7x7 and 1x1 convolutions.
    fc : {"subsampled", "gaussian"}
        Start of fc6 and fc7: from ImageNet as described, or a gaussian of 0.01.

    Raises
    ------
    CheckpointError
        A tensor is missing or has another shape than the network needs.
    ConfigError
        ``fc`` is neither of the two.
    """
    if fc not in ("subsampled", "gaussian"):
        raise ConfigError(f"fc is {fc!r}; choose one of subsampled, gaussian.")
    found: list[tuple[Tensor, Tensor]] = []
    for name, layer in network.trunk.named_children():
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight[:, :3] if name == "0" else layer.weight
            found.append((kernel, _take(weights, f"features.{name}.weight", kernel.shape)))
            found.append((_bias(layer), _take(weights, f"features.{name}.bias", _bias(layer).shape)))
    if fc == "subsampled":
        found += _subsample(network, weights)
    with torch.no_grad():
        for target, values in found:
            target.copy_(values)
    if fc == "gaussian":
        _draw(network.head, "fc6", "fc7")
    network.new_layers = ("fc8",) if fc == "subsampled" else ("fc6", "fc7", "fc8")


def imagenet_names(fc: Start = "subsampled") -> tuple[str, ...]:
    """Name the tensors that `adopt_imagenet` reads."""
    with torch.device("meta"):
        trunk = _build_trunk(1.0)
    layers = [f"features.{n}" for n, layer in trunk.named_children() if isinstance(layer, nn.Conv2d)]
    layers += ["pre_logits.fc1", "pre_logits.fc2"] if fc == "subsampled" else []
    return tuple(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))


def _build_trunk(width: float) -> nn.Sequential:
    # The layers' order is VGG16's own, so that layer n here is `features.n` of the public weights.
    layers: list[nn.Module] = []
    planes = 4
    for channels, count, stride, dilation in STAGES:
        for _ in range(count):
            layers.append(nn.Conv2d(planes, _scale(channels, width), 3, padding=dilation, dilation=dilation))
            layers.append(nn.ReLU(inplace=True))
            planes = _scale(channels, width)
        layers.append(nn.MaxPool2d(3, stride=stride, padding=1, ceil_mode=True))
    return nn.Sequential(*layers)


def _build_head(width: float, dropout: float) -> nn.Sequential:
    channels = _scale(HEAD, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        pool=nn.AvgPool2d(3, stride=1, padding=1),
        fc6=nn.Conv2d(_scale(STAGES[-1][0], width), channels, 3, padding=12, dilation=12),
        relu6=nn.ReLU(inplace=True),
        drop6=nn.Dropout(dropout),
        fc7=nn.Conv2d(channels, channels, 1),
        relu7=nn.ReLU(inplace=True),
        drop7=nn.Dropout(dropout),
        fc8=nn.Conv2d(channels, 1, 1),
    )
    return nn.Sequential(layers)


def _subsample(network: DeepLabVGG16, weights: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    fc6, fc7 = (_convolution(network.head, name) for name in ("fc6", "fc7"))
    first_bias = _take(weights, "pre_logits.fc1.bias", None)
    source, kept = len(first_bias), fc6.out_channels
    if source < kept:
        raise CheckpointError(
            f"pre_logits.fc1 has {source} units, the network needs {kept}; choose a smaller width."
        )
    first = _take(weights, "pre_logits.fc1.weight", (source, fc6.in_channels, 7, 7))
    second = _take(weights, "pre_logits.fc2.weight", (source, source, 1, 1))
    second_bias = _take(weights, "pre_logits.fc2.bias", (source,))
    units = torch.arange(kept) * source // kept
    return [
        (fc6.weight, first[units][:, :, ::3, ::3]),
        (_bias(fc6), first_bias[units]),
        (fc7.weight, second[units][:, units]),
        (_bias(fc7), second_bias[units]),
    ]


def _take(weights: Mapping[str, Tensor], name: str, shape: tuple[int, ...] | None) -> Tensor:
    if name not in weights:
        raise CheckpointError(f"The weights have no tensor {name}; use the file of timm/vgg16.tv_in1k.")
    tensor = weights[name]
    if shape is not None and tuple(tensor.shape) != tuple(shape):
        found, needed = tuple(tensor.shape), tuple(shape)
        raise CheckpointError(
            f"Tensor {name} has shape {found}, the network needs {needed}; use VGG16's weights and width 1."
        )
    return tensor


def _draw(layers: nn.Module, *names: str) -> None:
    for name in names:
        layer = _convolution(layers, name)
        nn.init.normal_(layer.weight, std=0.01)
        _zero_bias(layer)


def _convolution(layers: nn.Module, name: str) -> nn.Conv2d:
    layer = layers.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    return layer


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _zero_bias(layer: nn.Conv2d) -> None:
    nn.init.zeros_(_bias(layer))


def _scale(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _check_options(width: float, dropout: float, mask_std: float) -> None:
    if not 0 < width <= 4:
        raise ConfigError(f"width is {width}; give a value above 0, at most 4.")
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout is {dropout}; give a value from 0 to below 1.")
    if not mask_std >= 0:
        raise ConfigError(f"mask_std is {mask_std}; give 0 or more.")
