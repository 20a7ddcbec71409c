"""A crop is compared with the annotated frame: what is like the object, what is like the rest."""

import numpy as np
import pytest
import torch

from napari_masktrack.model import device as module
from napari_masktrack.model.checkpoint import build_network, load_checkpoint, save_checkpoint
from napari_masktrack.model.matching import Matching, Memory
from napari_masktrack.model.segmenter import NetworkSegmenter

DESCRIPTION = {"network": "masknet", "backbone": "mobilenet", "matching": 8}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(module, "_cpu_has_bfloat16", lambda: False)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(DESCRIPTION).eval()


def axes(*columns):
    """Unit vectors (1, 3, n): the axis of each number."""
    return torch.eye(3)[:, list(columns)][None]


def test_a_place_is_like_that_of_which_it_has_the_key():
    memory = Memory(axes(0, 1), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]))
    maps = Matching(4, 4, 4, width=3).compare(axes(0, 1, 2).reshape(1, 3, 1, 3), memory)
    to_object, to_rest, share = maps.detach()[0, :, 0]
    assert to_object[0] == pytest.approx(1, abs=1e-3)
    assert to_rest[1] == pytest.approx(1, abs=1e-3)
    assert to_object[1] < 0.5
    assert share[0] > 0.99
    assert share[1] < -0.99
    assert share[2] == pytest.approx(0, abs=1e-3)


def test_places_of_which_nothing_is_known_do_not_count():
    keys = axes(0, 1)
    known = Memory(keys, torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))
    alone = Memory(keys[..., :1], torch.tensor([[[1.0], [0.0]]]))
    matching, seen = Matching(4, 4, 4, width=3), axes(0, 1, 2).reshape(1, 3, 1, 3)
    assert torch.allclose(matching.compare(seen, known), matching.compare(seen, alone))


def test_keys_are_unit_vectors_at_the_finer_size():
    matching = Matching(4, 6, 5, width=3)
    keys = matching.keys(torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4))
    assert keys.shape == (2, 3, 8, 8)
    assert torch.allclose(keys.norm(dim=1), torch.ones(2, 8, 8), atol=1e-5)


def test_an_untrained_comparison_changes_nothing(network):
    x, image = torch.rand(1, 4, 64, 64), torch.rand(1, 3, 64, 64)
    mask = (torch.rand(1, 1, 64, 64) > 0.5).float()
    maps = network.compare(x[:, :3], network.remember(image, mask, torch.ones_like(mask)))
    assert maps.shape == (1, 3, 8, 8)
    assert torch.equal(network(x, maps), network(x))


def test_maps_of_zeros_are_no_guidance(network):
    with torch.no_grad():
        for parameter in network.matching.parameters():
            parameter.normal_()
    x = torch.rand(1, 4, 64, 64)
    assert torch.allclose(network(x, torch.zeros(1, 3, 8, 8)), network(x), atol=1e-5)
    assert not torch.allclose(network(x, torch.ones(1, 3, 8, 8)), network(x), atol=1e-2)


def test_a_network_that_compares_is_saved_and_loaded(network, tmp_path):
    save_checkpoint(tmp_path / "w.safetensors", network)
    loaded = load_checkpoint(tmp_path / "w.safetensors").network
    assert loaded.recalls
    assert loaded.description == {"context": 96, **DESCRIPTION}


def crops(count):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 64, 64, 3), np.uint8), rng.random((count, 64, 64)) < 0.5


def test_each_crop_is_compared_with_its_own_memory(network):
    with torch.no_grad():
        for parameter in network.matching.parameters():
            parameter.normal_()
    segment = NetworkSegmenter(network, flip=True)
    images, guidance = crops(3)
    first, second, third = (segment.remember(image, mask) for image, mask in zip(*crops(3), strict=True))
    memories = [[first], [second, third], []]
    together = segment.recalling(memories)(images, guidance)
    alone = [segment.recalling([memories[i]])(images[i : i + 1], guidance[i : i + 1])[0] for i in range(3)]
    assert np.allclose(together, np.stack(alone), atol=1e-4)
    unguided = segment(images, guidance)
    assert not np.allclose(together[:2], unguided[:2], atol=1e-2)
    assert np.allclose(together[2], unguided[2], atol=1e-4)


def test_a_network_that_does_not_compare_remembers_nothing():
    plain = build_network({"network": "masknet", "backbone": "mobilenet"})
    images, guidance = crops(1)
    assert NetworkSegmenter(plain).remember(images[0], guidance[0]) is None
