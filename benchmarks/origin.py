"""Where a result came from: machine, versions, date, commit, weights, command."""

import hashlib
import os
import platform
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.documents import ROOT

_HALF_PRECISION = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True)
class Origin:
    """What stands below a table.

    Attributes
    ----------
    machine : str
        Processor, cores, threads, torch.
    date : str
        ISO, UTC.
    commit : str
        Of the repository, and whether the package differed from it.
    """

    machine: str
    date: str
    commit: str

    @classmethod
    def now(cls, *, threads: int, device: str = "cpu") -> "Origin":
        """Describe this run."""
        return cls(machine(threads, device), datetime.now(UTC).date().isoformat(), commit())

    def as_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return asdict(self)


def use_threads(count: int, *, with_torch: bool = True) -> None:
    """Let OpenCV and torch compute with so many threads; without torch, it is not even imported."""
    import cv2

    cv2.setNumThreads(count)
    if with_torch:
        import torch

        torch.set_num_threads(count)


def machine(threads: int, device: str = "cpu") -> str:
    """Describe processor, cores, threads and torch in one line."""
    name, flags = _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    half = [flag for flag in _HALF_PRECISION if flag in flags]
    parts = [f"{name}{f' ({half[0]})' if half else ''}", _plural(cores, "core"), _plural(threads, "thread")]
    if device != "cpu":
        parts.append(_accelerator(device))
    return ", ".join([*parts, f"torch {version('torch')}"])


def _plural(count: int | None, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _accelerator(device: str) -> str:
    from napari_masktrack.model.device import choose_device

    settled = choose_device(device)
    if settled.type == "cuda":
        import torch

        return torch.cuda.get_device_name(settled)
    return str(settled)


def _processor() -> tuple[str, set[str]]:
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return platform.processor() or platform.machine(), set()
    lines = (line.partition(":") for line in listing.read_text(encoding="utf-8").splitlines())
    said = {key.strip(): value.strip() for key, _, value in lines}
    return said.get("model name", platform.machine()), set(said.get("flags", "").split())


def commit() -> str:
    """Return the short hash of the repository's commit, and a note where the package differs from it."""
    head = _git("rev-parse", "--short=10", "HEAD")
    if not head:
        return "without a commit"
    return f"commit {head}{' with changes' if _git('status', '--porcelain', '--', 'src') else ''}"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def weights_hash(model: str) -> str:
    """Return the SHA-256 of an embedded model's file, or of the file itself."""
    from napari_masktrack.model.checkpoint import find_weights

    with find_weights(model).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_name(model: str) -> str:
    """Return a model's name, of a file its name without folder and ending."""
    return Path(model).stem if model.endswith(".safetensors") else model


def footer(
    origins: Iterable[dict[str, Any]], typed: Sequence[str], weights: dict[str, str] | None = None
) -> str:
    """Return the line below a table.

    Parameters
    ----------
    origins : iterable of dict
        `Origin` of each result, as dict; different ones are listed.
    typed : sequence of str
        The command's arguments.
    weights : dict of str to str, optional
        Name of each model to the hash of its file.
    """
    made = list(origins)
    said = [" / ".join(dict.fromkeys(each[key] for each in made)) for key in ("machine", "date", "commit")]
    said += [f"weights {name} sha256 {sha[:16]}" for name, sha in (weights or {}).items()]
    return f"*{'; '.join(said)}; `{shlex.join(['python', '-m', 'benchmarks', *typed])}`*"
