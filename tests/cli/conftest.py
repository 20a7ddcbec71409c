"""A small movie on disk, an untrained network, and a way to run the command in this process."""

import shlex
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_masktrack.cli import main

FRAMES, HEIGHT, WIDTH = 6, 40, 48


class Done(NamedTuple):
    """What a command left behind in the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that has learnt nothing."""
    import torch

    from napari_masktrack.model.checkpoint import save_checkpoint
    from napari_masktrack.model.network import MaskNetwork

    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, MaskNetwork())
    return path


@pytest.fixture(autouse=True)
def one_thread():
    """Compute in one thread: threads that wait for one another crawl on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a working folder with `movie.tif`, a square that moves to the right, and `painted/00000.png`."""
    monkeypatch.chdir(tmp_path)
    movie = np.random.default_rng(0).integers(0, 40, (FRAMES, HEIGHT, WIDTH)).astype(np.uint8)
    for frame in range(FRAMES):
        movie[frame, 10:22, 12 + frame : 24 + frame] += 150
    tifffile.imwrite(tmp_path / "movie.tif", movie, metadata={"axes": "TYX"})
    painted = np.zeros((HEIGHT, WIDTH), np.uint8)
    painted[10:22, 12:24] = 1
    (tmp_path / "painted").mkdir()
    Image.fromarray(painted).save(tmp_path / "painted" / "00000.png")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run a command line in this process."""

    def run(line: str, **values: object) -> Done:
        words = [word.format(**values) for word in shlex.split(line)]
        capsys.readouterr()
        code = main(words)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def listening():
    """See to it that no signal is ignored, as in jobs in the background, and in those of nohup."""
    handlers = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def snapshot(place: Path):
    """Tell whether anything in the working folder has changed since the test began to run a command."""

    def snapshot() -> dict[str, bytes | None]:
        return {
            path.relative_to(place).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(place.rglob("*"))
        }

    return snapshot
