"""The network as the engine sees it: NumPy in, NumPy out."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_masktrack.model import device as module
from napari_masktrack.model.checkpoint import build_network
from napari_masktrack.model.network import GuidedNetwork
from napari_masktrack.model.segmenter import NetworkSegmenter


class Echo(GuidedNetwork):
    """Scores that show what came in: large where red is bright, or where the mask is."""

    def __init__(self, plane: int) -> None:
        super().__init__()
        self.plane, self.seen = plane, []
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.gain * (x[:, self.plane : self.plane + 1] - (0.5 if self.plane < 3 else 0))


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cpu_has_bfloat16", lambda: False)


def crops(count: int = 2, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), np.uint8), rng.random((count, size, size)) < 0.5


def test_colours_go_in_from_0_to_1_and_the_mask_as_minus_1_and_1() -> None:
    network, (images, guidance) = Echo(0), crops()
    NetworkSegmenter(network)(images, guidance)
    (x,) = network.seen
    assert x.shape == (2, 4, 32, 32)
    assert x.dtype == torch.float32
    assert np.allclose(x[:, :3].permute(0, 2, 3, 1), images / 255)
    assert np.array_equal(x[:, 3], np.where(guidance, 1, -1))


@pytest.mark.parametrize("plane", [0, 3])
def test_probabilities_come_back_at_their_pixels(plane: int) -> None:
    images, guidance = crops()
    answer = NetworkSegmenter(Echo(plane))(images, guidance)
    expected = images[..., 0] / 255 > 0.5 if plane == 0 else guidance
    assert answer.dtype == np.float32
    assert answer.shape == (2, 32, 32)
    assert answer.min() >= 0
    assert answer.max() <= 1
    assert np.array_equal(answer > 0.5, expected)


def test_many_crops_go_through_the_network_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images, guidance = crops(count=7)
    network = Echo(0)
    whole = NetworkSegmenter(network, flip=True)(images, guidance)
    assert [len(x) for x in network.seen] == [7, 7], "a few go at once"
    monkeypatch.setattr("napari_masktrack.model.segmenter.AT_ONCE", 3 * 32 * 32)
    parts = Echo(0)
    assert np.array_equal(
        NetworkSegmenter(parts)(images, guidance), NetworkSegmenter(network)(images, guidance)
    )
    assert [len(x) for x in parts.seen] == [3, 3, 1]
    assert whole.shape == (7, 32, 32)
    assert NetworkSegmenter(Echo(0))(*crops(count=0)).shape == (0, 32, 32)


def test_mirroring_averages_two_answers() -> None:
    class Leaning(Echo):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.linspace(-6, 6, x.shape[-1])

    images, guidance = crops()
    one, other = (NetworkSegmenter(Leaning(3), flip=flip)(images, guidance) for flip in (False, True))
    mirrored = NetworkSegmenter(Leaning(3))(
        np.ascontiguousarray(images[:, :, ::-1]), np.ascontiguousarray(guidance[:, :, ::-1])
    )
    assert np.allclose(other, (one + mirrored[:, :, ::-1]) / 2, atol=1e-6)
    assert not np.allclose(one, other, atol=1e-3)


def test_a_network_in_training_is_put_into_evaluation_and_keeps_its_weights() -> None:
    network = build_network({"network": "masknet", "context": 8}).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    segment = NetworkSegmenter(network)
    assert np.array_equal(segment(*crops(size=64)), segment(*crops(size=64)))
    assert not network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_half_precision_changes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    segment = NetworkSegmenter(build_network({"network": "vgg16", "width": 0.0625}))
    exactly = segment(*crops())
    monkeypatch.setattr(module, "_cpu_has_bfloat16", lambda: True)
    assert np.abs(segment(*crops()) - exactly).max() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_answer() -> None:
    network = build_network({"network": "masknet", "context": 8})
    here = NetworkSegmenter(network)(*crops(size=64))
    there = NetworkSegmenter(network.cuda())(*crops(size=64))
    assert np.abs(here - there).max() < 0.05
