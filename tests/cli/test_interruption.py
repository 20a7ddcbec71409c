"""Ctrl-C and SIGTERM: what is finished is kept and told, at whatever moment they come."""

import os
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

import napari_masktrack.tracker
from napari_masktrack.io.writers import PngWriter

FRAMES = 6  # of the movie in `place`
FAST = "--finetune off --crop-size 64"
PROPAGATE = f"propagate movie.tif --annotations painted --model {{weights}} {FAST} --no-edges --output"
ANNOTATED = "Annotated: 1 object(s) on 1 frame(s).\n"

SLOWLY = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and one that nohup started, this
import napari_masktrack.tracker

class Slow:
    def __init__(self, network, **options): ...
    def __call__(self, images, guidance):
        time.sleep(1)
        return guidance.astype("float32")

napari_masktrack.tracker.NetworkSegmenter = Slow
from napari_masktrack.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def stopping(monkeypatch):
    """Let a signal come while the network looks at its third crop."""

    def stopping(number):
        class Stopping:
            calls = 0

            def __init__(self, network, **options):
                """Take a network, as the real one does."""

            def __call__(self, images, guidance):
                self.calls += 1
                if self.calls == 3:
                    signal.raise_signal(number)
                return guidance.astype(np.float32)

        monkeypatch.setattr(napari_masktrack.tracker, "NetworkSegmenter", Stopping)

    return stopping


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_ctrl_c_leaves_what_is_finished_and_says_so(place, weights):
    words = [word.format(weights=weights) for word in f"{PROPAGATE} masks --confidence sure.csv".split()]
    job = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not (place / "masks" / "00001.png").exists() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=60)
    masks = sorted(path.name for path in (place / "masks").iterdir())
    assert job.returncode == 130, err
    assert 2 <= len(masks) < FRAMES
    kept = f"{len(masks)} of {FRAMES} frames (0 to {len(masks) - 1}) were written to masks."
    assert err == f"{ANNOTATED}masktrack: Stopped by Ctrl-C. {kept}\n"
    for name in masks:
        Image.open(place / "masks" / name).load()
    assert len((place / "sure.csv").read_text().splitlines()) == 1 + len(masks)


def shown_when(terminal, pattern, seconds=200):
    """Read what comes from a terminal until a pattern has come, and return it all."""
    shown, deadline = b"", time.monotonic() + seconds
    while not re.search(pattern, shown):
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{pattern!r} did not come in {seconds} s, only {shown!r}"
        shown += os.read(terminal, 4096)
    return shown


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_terminal_that_is_closed_leaves_what_is_finished(place, weights):
    words = f"{PROPAGATE} masks.tif --confidence sure.csv".format(weights=weights).split()
    terminal, its_end = os.openpty()
    job = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "100"},
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    shown = shown_when(terminal, rb"[2-5] of 6 frames")
    os.close(terminal)
    assert ANNOTATED.strip().encode() in shown
    for _ in range(2):  # the shell says it, and so does the system
        job.send_signal(signal.SIGHUP)
    assert job.wait(timeout=60) == 129
    masks = tifffile.imread(place / "masks.tif")
    assert masks[1].any()
    assert not masks[-1].any()
    assert 3 <= len((place / "sure.csv").read_text().splitlines()) <= FRAMES


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "Stopped by Ctrl-C."),
        (signal.SIGTERM, 143, "Stopped by a request to terminate."),
    ],
)
def test_a_stack_that_was_begun_is_complete_and_empty_where_nothing_came(
    run, place, weights, stopping, number, code, said
):
    stopping(number)
    done = run(f"{PROPAGATE} masks.tif", weights=weights)
    assert (done.code, done.out) == (code, "")
    kept = "3 of 6 frames (0 to 2) were written to masks.tif; the others are 0 there."
    assert done.err == f"{ANNOTATED}masktrack: {said} {kept}\n"
    masks = tifffile.imread(place / "masks.tif")
    assert len(masks) == FRAMES
    np.testing.assert_array_equal(masks[0], np.asarray(Image.open(place / "painted" / "00000.png")))
    assert masks[2].any()
    assert not masks[3:].any()


@pytest.mark.usefixtures("listening")
def test_a_frame_that_is_being_written_is_finished(run, place, weights, monkeypatch):
    write = PngWriter._write

    def interrupted(self, frame, labels):
        if frame == 2:
            signal.raise_signal(signal.SIGINT)
        write(self, frame, labels)

    monkeypatch.setattr(PngWriter, "_write", interrupted)
    done = run(f"{PROPAGATE} masks", weights=weights)
    assert done.code == 130
    assert "3 of 6 frames (0 to 2) were written" in done.err
    assert sorted(os.listdir(place / "masks")) == ["00000.png", "00001.png", "00002.png"]


@pytest.mark.usefixtures("listening")
def test_while_fine_tuning_nothing_is_written_yet(run, place, snapshot, weights, monkeypatch):
    finetune = napari_masktrack.tracker.finetune

    def interrupted(*arguments, **options):
        for step in finetune(*arguments, **options):
            signal.raise_signal(signal.SIGINT)
            yield step

    monkeypatch.setattr(napari_masktrack.tracker, "finetune", interrupted)
    before = snapshot()
    line = PROPAGATE.replace(FAST, "--steps 50 --batch 1 --size 64 --crop-size 64")
    done = run(f"{line} masks", weights=weights)
    assert (done.code, done.err) == (130, f"{ANNOTATED}masktrack: Stopped by Ctrl-C. No frame was written.\n")
    assert snapshot() == before


@pytest.mark.usefixtures("listening")
def test_what_a_library_makes_of_an_interruption_is_still_one(run, place, weights, monkeypatch):
    def interrupted(network, **options):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("a library could not be loaded") from None

    monkeypatch.setattr(napari_masktrack.tracker, "NetworkSegmenter", interrupted)
    done = run(f"{PROPAGATE} masks", weights=weights)
    assert (done.code, done.err) == (130, f"{ANNOTATED}masktrack: Stopped by Ctrl-C. No frame was written.\n")
