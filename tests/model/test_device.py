"""Where the network runs; what a machine does not have is refused in words."""

from contextlib import nullcontext

import pytest
import torch

from napari_masktrack.errors import DeviceError, WorkError
from napari_masktrack.model import device as module
from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.model.device import choose_device, computing, half_precision, place


def pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")]
)
def test_auto_takes_a_gpu_when_there_is_one(
    cuda: int, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device().type == expected


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    with pytest.raises(DeviceError, match=f"no {name.split(':')[0]} device .*choose the device cpu"):
        choose_device(name)


def test_a_gpu_beyond_the_last_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match="no cuda:2"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "cpu:x", "tpu:0"])
def test_an_unknown_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    with pytest.raises(DeviceError, match="unknown"):
        choose_device(name)


def test_a_placed_network_is_the_same_network_in_the_faster_layout() -> None:
    network = build_network({"network": "vgg16", "width": 0.0625})
    assert place(network, torch.device("cpu")) is network
    kernel = network.state_dict()["head.fc6.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("fast", [True, False])
def test_cpus_compute_in_half_precision_only_where_that_is_fast(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_cpu_has_bfloat16", lambda: fast)
    layer, x = torch.nn.Linear(4, 4), torch.rand(2, 4)
    with half_precision(torch.device("cpu")):
        assert layer(x).dtype == (torch.bfloat16 if fast else torch.float32)
    assert layer(x).dtype == torch.float32


def test_older_versions_of_torch_which_cannot_tell_compute_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    with half_precision(torch.device("cpu")):
        assert torch.nn.Linear(4, 4)(torch.rand(2, 4)).dtype == torch.float32


def test_no_training_in_float16_whose_gradients_vanish() -> None:
    assert isinstance(half_precision(torch.device("mps"), training=True), nullcontext)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "CUDA out of memory. Tried to allocate\nmuch",
            r"\(CUDA out of memory\. Tried to allocate\).*smaller crop",
        ),
        ("bad thing", r"\(bad thing\).*report this"),
        ("", r"\(RuntimeError\)"),
    ],
)
def test_failures_of_torch_reach_the_user_as_errors_of_ours(message: str, advice: str) -> None:
    with pytest.raises(WorkError, match=advice) as caught, computing():
        raise RuntimeError(message)
    assert "\n" not in str(caught.value)
