import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_masktrack.errors import CheckpointError
from napari_masktrack.model import download
from napari_masktrack.model.download import (
    IMAGENET_VGG16,
    PublicWeights,
    fetch_weights,
    load_imagenet_vgg16,
    read_tensors,
    verify_weights,
)
from napari_masktrack.model.vgg16 import DeepLabVGG16, build_vgg16, imagenet_names

TINY = 1 / 16


class CountingHandler(SimpleHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    """ImageNet's tensors, random and narrow: what the tiny network takes, with 4 x as many fc units."""
    torch.manual_seed(0)
    tiny = build_vgg16(width=TINY)
    shapes = {n.replace("trunk", "features"): p.shape for n, p in tiny.trunk.named_parameters(prefix="trunk")}
    shapes["features.0.weight"] = torch.Size((4, 3, 3, 3))
    shapes |= {
        "pre_logits.fc1.weight": torch.Size((256, 32, 7, 7)),
        "pre_logits.fc1.bias": torch.Size((256,)),
    }
    shapes |= {
        "pre_logits.fc2.weight": torch.Size((256, 256, 1, 1)),
        "pre_logits.fc2.bias": torch.Size((256,)),
    }
    return {name: torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture
def published(tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
    """A folder like the publisher's, with one file of weights."""
    folder = tmp_path / "published"
    folder.mkdir()
    save_file(tensors | {"head.fc.bias": torch.zeros(3)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def requests() -> list[str]:
    return []


@pytest.fixture
def source(published: Path, requests: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[PublicWeights]:
    """The published file, served on this machine."""
    monkeypatch.setenv("NO_PROXY", "*")
    counting = type("Handler", (CountingHandler,), {"requests": requests})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(counting, directory=str(published)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield PublicWeights(
        name="vgg16.safetensors",
        url=f"http://127.0.0.1:{server.server_port}/model.safetensors",
        sha256=hash_of(published / "model.safetensors"),
    )
    server.shutdown()
    server.server_close()
    thread.join()


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_line(error: pytest.ExceptionInfo[CheckpointError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_the_public_source_is_pinned_by_revision_and_hash() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", IMAGENET_VGG16.sha256 or "")
    assert re.search(r"/resolve/[0-9a-f]{40}/", IMAGENET_VGG16.url)
    assert IMAGENET_VGG16.url.startswith("https://")
    assert IMAGENET_VGG16.url.endswith(".safetensors")


def test_a_file_is_downloaded_once(source: PublicWeights, requests: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    first = fetch_weights(source, folder=folder)
    second = fetch_weights(source, folder=folder)
    assert first == second == folder / "vgg16.safetensors"
    assert hash_of(first) == source.sha256
    assert len(requests) == 1


def test_the_download_reports_its_progress(source: PublicWeights, published: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch_weights(source, folder=tmp_path, report=lambda done, total: seen.append((done, total)))
    size = (published / "model.safetensors").stat().st_size
    assert seen[-1] == (size, size)
    assert all(done <= total for done, total in seen)


def test_a_file_with_another_hash_is_refused_and_deleted(source: PublicWeights, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    with pytest.raises(CheckpointError) as error:
        fetch_weights(replace(source, sha256="0" * 64), folder=folder)
    assert "SHA-256 " + "0" * 64 in one_line(error)
    assert not any(folder.iterdir())


def test_a_damaged_file_in_the_cache_is_fetched_anew(source: PublicWeights, tmp_path: Path) -> None:
    (tmp_path / source.name).write_bytes(b"half a file")
    assert hash_of(fetch_weights(source, folder=tmp_path)) == source.sha256


@pytest.mark.parametrize("sha256", [None, "", "57b026918159"])
def test_without_a_hash_nothing_is_downloaded_or_read(
    source: PublicWeights, requests: list[str], published: Path, sha256: str | None
) -> None:
    with pytest.raises(CheckpointError, match=r"No SHA-256 is known for vgg16\.safetensors"):
        fetch_weights(replace(source, sha256=sha256), folder=published)
    with pytest.raises(CheckpointError, match="No SHA-256 is known"):
        verify_weights(published / "model.safetensors", sha256)
    assert requests == []


def test_offline_says_where_to_put_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    nobody = PublicWeights(name="w.safetensors", url="http://127.0.0.1:1/w.safetensors", sha256="0" * 64)
    with pytest.raises(CheckpointError) as error:
        fetch_weights(nobody, folder=tmp_path)
    message = one_line(error)
    assert message.startswith("Cannot download http://127.0.0.1:1/w.safetensors")
    assert str(tmp_path / "w.safetensors") in message
    assert "ConnectionError" in message


def test_a_missing_page_and_an_unknown_protocol_are_told(source: PublicWeights, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the server answers 404"):
        fetch_weights(replace(source, url=source.url + ".gone"), folder=tmp_path)
    with pytest.raises(CheckpointError, match="Cannot download file:///model"):
        fetch_weights(replace(source, url="file:///model"), folder=tmp_path)


def test_a_folder_that_cannot_be_made_is_told(source: PublicWeights, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="Cannot download"):
        fetch_weights(source, folder=tmp_path / "file")


def test_the_network_starts_from_the_downloaded_weights(
    source: PublicWeights, tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "default_folder", lambda: tmp_path / "cache")
    network = build_vgg16(width=TINY)
    load_imagenet_vgg16(network, source=source)
    state = network.state_dict()
    assert torch.equal(state["trunk.28.weight"], tensors["features.28.weight"])
    assert torch.equal(state["head.fc6.weight"], tensors["pre_logits.fc1.weight"][::4, :, ::3, ::3])
    assert torch.equal(state["head.fc7.bias"], tensors["pre_logits.fc2.bias"][::4])


def test_the_users_own_copy_is_verified_and_used(
    source: PublicWeights, requests: list[str], published: Path, tensors: dict[str, Tensor]
) -> None:
    network = build_vgg16(width=TINY)
    copy = published / "model.safetensors"
    load_imagenet_vgg16(network, copy, source=source)
    assert torch.equal(network.state_dict()["trunk.5.bias"], tensors["features.5.bias"])
    assert requests == []
    with pytest.raises(CheckpointError, match="expected 57b026918159"):
        load_imagenet_vgg16(network, copy)
    with pytest.raises(CheckpointError, match="There is no file"):
        load_imagenet_vgg16(network, published / "gone.safetensors", source=source)


def test_half_precision_weights_become_float32(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.half() for name, tensor in tensors.items()}, path)
    assert {tensor.dtype for tensor in read_tensors(path, imagenet_names()).values()} == {torch.float32}


def test_a_missing_tensor_is_named(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    del tensors["features.12.bias"]
    path = tmp_path / "incomplete.safetensors"
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors, features\.12\.bias") as error:
        read_tensors(path, imagenet_names())
    one_line(error)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_loaded(tmp_path: Path, tensors: dict[str, Tensor], zipped: bool) -> None:
    path = tmp_path / "vgg16.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    network: DeepLabVGG16 = build_vgg16(width=TINY)
    pickled = replace(IMAGENET_VGG16, sha256=hash_of(path))
    with pytest.raises(CheckpointError, match="is a pickle, which may run any code"):
        load_imagenet_vgg16(network, path, source=pickled)


@pytest.mark.parametrize(
    "content", [b"", b"not weights", b"\x10\x00\x00\x00\x00\x00\x00\x00{broken json...}"]
)
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_tensors(path, imagenet_names())


def test_a_truncated_file_is_told(published: Path) -> None:
    path = published / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_tensors(path, imagenet_names())
