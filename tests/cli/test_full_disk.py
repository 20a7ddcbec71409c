"""A disk that is full at the end: where the masks are now is said, however the work ended."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_masktrack.tracker

FRAMES = 6  # of the movie in `place`
PROPAGATE = (
    "propagate movie.tif --annotations painted --model {weights} --finetune off --crop-size 64 --no-edges "
    "--output full/masks.tif"
)


def refusing(folder):
    """Give what renames a file as the system does, but for a folder whose disk is full."""
    usual = os.replace

    def replace(source, target):
        if Path(target).parent == folder:
            raise OSError(28, "No space left on device")
        usual(source, target)

    return replace


@pytest.fixture
def full(place, monkeypatch):
    """Give a folder in which no file can be completed, and one for temporary files beside it."""
    (place / "full").mkdir()
    (place / "spare").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place / "spare"))
    monkeypatch.setattr(os, "replace", refusing(Path("full")))
    return place


def answering(at_the_third_crop):
    """Make a network that gives its guidance back."""

    class Network:
        calls = 0

        def __init__(self, network, **options):
            """Take a network, as the real one does."""

        def __call__(self, images, guidance):
            self.calls += 1
            if self.calls == 3:
                at_the_third_crop()
            return guidance.astype(np.float32)

    return Network


def nothing():
    """Go on."""


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("confidence", ["", " --confidence full/sure.csv"])
@pytest.mark.parametrize(
    ("event", "code", "said"),
    [(nothing, 1, "masktrack: full"), (ctrl_c, 130, "masktrack: Stopped by Ctrl-C. ")],
)
def test_where_rescued_masks_are_is_said_also_when_more_goes_wrong(
    run, full, weights, monkeypatch, confidence, event, code, said
):
    monkeypatch.setattr(napari_masktrack.tracker, "NetworkSegmenter", answering(event))
    done = run(f"{PROPAGATE}{confidence}", weights=weights)
    (rescued,) = (full / "spare").rglob("masks.tif")
    assert (done.code, done.out) == (code, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(said)
    assert last.count(f"written to {rescued} instead: move it from there.") == 1
    assert last.count("sure.csv was not saved (No space left on device)") == bool(confidence)
    assert "were written to full" not in last
    assert len(tifffile.imread(rescued)) == FRAMES


@pytest.mark.usefixtures("listening")
def test_a_table_that_is_not_saved_leaves_the_masks_where_they_are_and_says_so(run, full, weights):
    line = PROPAGATE.replace("full/", "")
    done = run(f"{line} --confidence full/sure.csv", weights=weights)
    assert done.code == 1
    assert f"{FRAMES} frame(s) were written to masks.tif. full" in done.err.replace("\\", "/")
    assert "sure.csv was not saved" in done.err
    assert len(tifffile.imread(full / "masks.tif")) == FRAMES
