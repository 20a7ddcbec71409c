"""Where the network runs, and in which precision."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import nn

from napari_masktrack.config import DEVICES
from napari_masktrack.errors import DeviceError, WorkError

Network = TypeVar("Network", bound=nn.Module)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; 'auto' takes a GPU when there is one.

    Raises
    ------
    DeviceError
        The name is unknown, or this machine has no such device.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    kind = name.split(":")[0]
    if kind not in present:
        raise DeviceError(f"Device {name!r} is unknown; choose one of {', '.join(DEVICES)}.")
    if not present[kind]:
        raise DeviceError(
            f"This machine has no {kind} device that torch {torch.__version__} can use; "
            "choose the device cpu."
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"Device {name!r} is unknown; write for example cuda or cuda:1.") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(f"There is no {name}: {count} are there, counted from 0; choose the device cuda.")
    return device


def place(network: Network, device: torch.device) -> Network:
    """Return the network on the device, its weights in the layout that is fastest."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@contextmanager
def computing() -> Iterator[None]:
    """Let what torch raises as RuntimeError, such as too little memory, reach the user as a WorkError."""
    try:
        yield
    except RuntimeError as error:
        memory = "out of memory" in str(error).lower()
        advice = (
            "choose a smaller crop, fewer objects or the CPU" if memory else "try the CPU, or report this"
        )
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkError(f"The computation failed ({reason}); {advice}.") from error


def half_precision(device: torch.device, *, training: bool = False) -> AbstractContextManager[object]:
    """Return the context in which the network computes: half precision where the hardware has it.

    bfloat16 on CUDA; float16 on MPS, but not for training, as small gradients would become 0; bfloat16 on
    CPUs with instructions for it (AVX512-BF16, AMX), where it halves the time; float32 elsewhere.
    """
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    if device.type == "mps" and not training:
        return torch.autocast("mps", torch.float16)
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def _cpu_has_bfloat16() -> bool:
    # older versions of torch cannot tell: float32 is always right
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
