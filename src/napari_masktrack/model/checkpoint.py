"""Weights on disk: safetensors with the network's description inside, never pickles."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_masktrack.errors import CheckpointError, ConfigError, OutputError
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.model.registry import NETWORKS

FORMAT = "napari-masktrack 1"
PICKLES = {".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".tar"}
DEFAULT_MODEL = "default"


@dataclass(frozen=True)
class Checkpoint:
    """A network with its weights and what is known of them.

    Attributes
    ----------
    network : GuidedNetwork
        In evaluation mode, float32, on the CPU.
    name : str
        Of the embedded model, or the file's name.
    sha256 : str
        Of the file.
    notes : dict of str to str
        What the training wrote down: data, steps, seed, package version.
    """

    network: GuidedNetwork
    name: str
    sha256: str
    notes: dict[str, str]


def embedded_models() -> dict[str, Path]:
    """Return the models that come with the package: name to file."""
    folder = Path(str(files("napari_masktrack") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_weights(model: str | Path = DEFAULT_MODEL) -> Path:
    """Return the file of an embedded model's name, or the path itself.

    Raises
    ------
    CheckpointError
        There is neither a model nor a file of that name.
    """
    known = embedded_models()
    if str(model) in known:
        return known[str(model)]
    path = Path(model)
    if not path.is_file():
        names = ", ".join(map(repr, known)) or "missing"
        embedded = f"the embedded models are {names}" if len(known) > 1 else f"the embedded model is {names}"
        raise CheckpointError(
            f"There is no model or file {str(model)!r}; {embedded}, or give the path of a .safetensors file."
        )
    return path


def save_checkpoint(
    path: Path, network: GuidedNetwork, notes: Mapping[str, str] | None = None, *, half: bool = False
) -> None:
    """Write weights and description; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        Ending in ``.safetensors``; an existing file is replaced.
    network : GuidedNetwork
    notes : mapping of str to str, optional
        Kept beside the weights.
    half : bool
        Store matrices in half precision; vectors stay float32.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    state = {
        k: v.detach().cpu() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    tensors = {k: (v.half() if half and v.ndim > 1 else v).contiguous() for k, v in state.items()}
    description = {
        "format": FORMAT,
        "network": json.dumps(network.description),
        "notes": json.dumps(dict(notes or {})),
    }
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata=description)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(f"{path} cannot be written ({error}); choose another place.") from error


def load_checkpoint(model: str | Path = DEFAULT_MODEL) -> Checkpoint:
    """Return an embedded model, or the weights of a file.

    Parameters
    ----------
    model : str or Path
        Name of an embedded model, or path of a ``.safetensors`` file that this package wrote.

    Raises
    ------
    CheckpointError
        Unknown name, a pickle, a damaged file, or weights of another network.
    """
    path = find_weights(model)
    if path.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{path} is a pickle, which can run any code when loaded; give weights in .safetensors format."
        )
    state, metadata = _read(path)
    description, notes = _parse(path, metadata)
    with torch.random.fork_rng(devices=[]):  # weights are drawn only to be replaced
        network = build_network(description)
    _fill(network, state, path)
    return Checkpoint(network.eval(), _name(model, path), sha256_of(path), notes)


def build_network(description: Mapping[str, Any]) -> GuidedNetwork:
    """Return an untrained network by its description: its name under ``network``, and its options.

    Raises
    ------
    CheckpointError
        No such network, or options that it does not know.
    """
    options = dict(description)
    name = options.pop("network", None)
    if not isinstance(name, str) or name not in NETWORKS:
        raise CheckpointError(f"Network {name!r} is unknown; choose one of {', '.join(NETWORKS)}.")
    try:
        return NETWORKS[name](**options)
    except (TypeError, KeyError, ValueError, RuntimeError, ConfigError) as error:
        raise CheckpointError(f"Network {name!r} cannot be built with {options}: {error}.") from error


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {k: file.get_tensor(k).float() for k in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file ({error}); fetch or save it again."
        ) from error


def _parse(path: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} was not written by napari-masktrack; it has no description of its network."
        )
    try:
        description, notes = json.loads(metadata["network"]), json.loads(metadata.get("notes", "{}"))
        if not (isinstance(description, dict) and isinstance(notes, dict)):
            raise TypeError("not a table")
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} has a damaged description ({error}); fetch or save it again."
        ) from error
    return description, notes


def _fill(network: GuidedNetwork, state: dict[str, torch.Tensor], path: Path) -> None:
    counters = {k: v for k, v in network.state_dict().items() if k.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**counters, **state})
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{path} does not fit its network: {first}") from error
    if not all(bool(torch.isfinite(v).all()) for v in state.values()):
        raise CheckpointError(f"{path} holds weights that are not numbers; fetch or train it again.")


def _name(model: str | Path, path: Path) -> str:
    return str(model) if str(model) in embedded_models() else path.name


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
