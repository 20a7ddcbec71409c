"""Weights on disk: what is written comes back, and nothing else is let in."""

import hashlib
import json
import pickle
import re
import stat
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_masktrack.errors import CheckpointError, OutputError
from napari_masktrack.model.checkpoint import (
    DEFAULT_MODEL,
    FORMAT,
    PICKLES,
    build_network,
    embedded_models,
    find_weights,
    load_checkpoint,
    save_checkpoint,
)
from napari_masktrack.model.network import GuidedNetwork

TINY = {
    "masknet": {"network": "masknet", "backbone": "mobilenet", "context": 8},
    "vgg16": {"network": "vgg16", "width": 0.0625, "dropout": 0.25},
}
NOTES = {"data": "two images", "steps": "3", "remark": 'quotes " and ü'}


def network_of(name: str) -> GuidedNetwork:
    torch.manual_seed(0)
    network = build_network(TINY[name]).eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value) * 0.1)
    return network


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, network_of("vgg16"), NOTES)
    return path


def rewrite(path: Path, tensors: dict[str, Tensor] | None = None, **metadata: str | None) -> None:
    """Save the file again with other tensors or another description."""
    kept = {"format": FORMAT, "network": json.dumps(TINY["vgg16"]), "notes": "{}"}
    described = {k: v for k, v in {**kept, **metadata}.items() if v is not None}
    save_file(load_file(path) if tensors is None else tensors, path, metadata=described)


@pytest.mark.parametrize("name", list(TINY))
@pytest.mark.parametrize("half", [False, True])
def test_weights_notes_and_description_survive_a_round_trip(name: str, half: bool, tmp_path: Path) -> None:
    network, path = network_of(name), tmp_path / "folder" / f"{name}.safetensors"
    save_checkpoint(path, network, NOTES, half=half)
    found = load_checkpoint(path)
    assert found.name == path.name
    assert found.notes == NOTES
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.network.description == network.description
    assert not found.network.training
    for key, value in found.network.state_dict().items():
        expected = network.state_dict()[key]
        rounded = expected.half().float() if half and expected.ndim > 1 else expected
        assert torch.equal(value, rounded), key
        assert value.dtype == expected.dtype
    x = torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        assert torch.allclose(found.network(x), network(x), atol=0.1 if half else 0, rtol=0.05 if half else 0)


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    sizes = []
    for half in (False, True):
        save_checkpoint(tmp_path / "w.safetensors", network_of("vgg16"), half=half)
        sizes.append((tmp_path / "w.safetensors").stat().st_size)
    assert sizes[1] < 0.55 * sizes[0]


def test_saving_replaces_the_file_and_leaves_no_other(saved: Path) -> None:
    save_checkpoint(saved, network_of("masknet"))
    assert load_checkpoint(saved).network.description["network"] == "masknet"
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_saving_does_not_change_the_network_in_use(tmp_path: Path) -> None:
    network = network_of("vgg16").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    save_checkpoint(tmp_path / "w.safetensors", network, half=True)
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_place_that_cannot_be_written_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "w.safetensors", network_of("vgg16"))
    (tmp_path / "taken.safetensors").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "taken.safetensors", network_of("vgg16"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.safetensors"]


def refused(path: Path | str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert Path(path).name in str(caught.value)


def test_an_unknown_model_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    refused("no such model", "the embedded model is 'default', or give the path of a .safetensors file.")
    refused(tmp_path, "There is no model or file")
    for name in embedded_models():
        with pytest.raises(CheckpointError, match=re.escape(name)):
            find_weights("no such model")


@pytest.mark.parametrize("ending", sorted(PICKLES))
def test_a_pickle_is_refused_by_its_name_and_never_opened(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{ending}"
    path.write_bytes(pickle.dumps(_Trap()))
    refused(path, "pickle, which can run any code")
    refused(path.rename(path.with_suffix(ending.upper())), "pickle")


def test_a_pickle_with_a_safe_name_is_not_loaded_either(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(_Trap()))
    refused(path, "damaged or no safetensors file")
    torch.save({"weights": torch.zeros(3)}, path)
    refused(path, "damaged or no safetensors file")


class _Trap:
    """A pickle that ends the tests when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (sys.exit, ("the pickle was loaded",))


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(share: float, saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    refused(saved, "damaged or no safetensors file")


def test_a_damaged_head_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[3:40] = b"\xff" * 37
    saved.write_bytes(content)
    refused(saved, "damaged or no safetensors file")


def test_weights_of_others_are_refused(saved: Path) -> None:
    save_file({"weight": torch.zeros(3)}, saved)
    refused(saved, "was not written by napari-masktrack")
    rewrite(saved, format="something else")
    refused(saved, "was not written by napari-masktrack")


@pytest.mark.parametrize(
    "metadata", [{"network": None}, {"network": "{"}, {"network": "[]"}, {"network": "3"}, {"notes": "null"}]
)
def test_a_damaged_description_is_refused(metadata: dict[str, str | None], saved: Path) -> None:
    rewrite(saved, **metadata)
    refused(saved, "damaged description")


def test_a_description_of_an_unknown_network_is_refused(saved: Path) -> None:
    rewrite(saved, network='{"network": "hal9000"}')
    with pytest.raises(CheckpointError, match="'hal9000' is unknown; choose one of masknet, vgg16"):
        load_checkpoint(saved)


def test_missing_extra_and_misshapen_weights_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    rewrite(saved, {k: v for k, v in tensors.items() if k != "head.fc6.bias"})
    refused(saved, r"does not fit its network: Missing key.*head\.fc6\.bias")
    rewrite(saved, {**tensors, "head.fc9.bias": torch.zeros(2)})
    refused(saved, r"does not fit its network: Unexpected key.*head\.fc9\.bias")
    rewrite(saved, {**tensors, "head.fc6.bias": torch.zeros(2)})
    refused(saved, r"does not fit its network: size mismatch for head\.fc6\.bias")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(value: float, saved: Path) -> None:
    tensors = load_file(saved)
    tensors["head.fc7.weight"][0, 0] = value
    rewrite(saved, tensors)
    refused(saved, "not numbers")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_file_that_may_not_be_read_is_refused(saved: Path) -> None:
    saved.chmod(0)
    try:
        if saved.stat().st_mode & stat.S_IRUSR or _can_read(saved):
            pytest.skip("this user may read everything")
        refused(saved, "damaged or no safetensors file")
    finally:
        saved.chmod(stat.S_IRUSR | stat.S_IWUSR)


def _can_read(path: Path) -> bool:
    try:
        path.read_bytes()
    except PermissionError:
        return False
    return True


@pytest.mark.skipif(DEFAULT_MODEL not in embedded_models(), reason="no embedded default model yet")
def test_the_embedded_default_model_loads_and_is_small() -> None:
    path = find_weights()
    assert path.stat().st_size < 20e6
    found = load_checkpoint()
    assert found.name == DEFAULT_MODEL
    with torch.no_grad():
        scores = found.network(torch.rand(1, 4, 64, 64))
    assert torch.isfinite(scores).all()


def test_loading_leaves_the_random_numbers_of_the_process_alone(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_checkpoint(path, build_network({"network": "vgg16", "width": 0.0625}))
    before = torch.get_rng_state()
    load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)
