"""Killing napari at any moment loses at most the last two seconds of painting.

What was painted before the longest pause of the painter does not count: in it the process got no
processor, to paint or to save. MASKTRACK_KILLS says how often it is killed; the numbers are in the
report as `lost_seconds`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_masktrack.io.session import Session, is_session

KILLS = int(os.environ.get("MASKTRACK_KILLS", "4"))
LOST = 2.0
FRAMES = 5
PAINTER = Path(__file__).with_name("killed_painter.py")


@pytest.fixture
def place(tmp_path):
    movie = np.random.default_rng(0).integers(0, 255, (FRAMES, 48, 64)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "cells.tif", movie, photometric="minisblack", metadata={"axes": "TYX"})
    return tmp_path


class Painters:
    """Starts napari in which somebody paints, and kills it, again and again."""

    def __init__(self, place):
        self.place, self.process = place, None
        self.command = [sys.executable, str(PAINTER), str(place / "s.masktrack"), str(place / "cells.tif")]

    def kill(self, log, first, *, after, patience):
        """Let somebody paint, kill napari so many seconds after a word is in the log; give the moment."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.process.stdin.write(f"{first} {log}\n")
        self.process.stdin.flush()
        deadline = time.monotonic() + 120
        while not (log.exists() and after in log.read_text()):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
        time.sleep(patience)
        moment = time.time()
        os.kill(int(log.read_text().split()[1]), getattr(signal, "SIGKILL", signal.SIGTERM))
        self.process.stdout.readline()
        return moment

    def start(self):
        environment = {**os.environ, "NAPARI_CONFIG": str(self.place / "napari.yaml")}
        with (self.place / "said.txt").open("ab") as said:
            self.process = subprocess.Popen(
                self.command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    @property
    def said(self):
        return (self.place / "said.txt").read_text()[-2000:]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def painters(place):
    made = Painters(place)
    yield made
    made.close()


def touches(log):
    """Give frame, number and moment of what was painted; the last line may be cut."""
    lines = [line.split() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [(int(words[1]), int(words[2]), float(words[3])) for words in lines if words[0] == "touch"]


def pause(done, moment):
    """Give the longest time in which the painter, busy or starved of the processor, did not come to paint."""
    moments = [when for *_, when in done]
    return max(np.diff([*moments, moment]), default=0.0) if moments else 0.0


@pytest.mark.timeout(120 + 120 * KILLS)
def test_killing_napari_at_any_moment_loses_at_most_two_seconds_of_painting(place, painters, record_property):
    rng = np.random.default_rng()
    first, lost, painted = 1, [], 0
    for number in range(KILLS):
        log = place / f"{number}.log"
        opening = number % 4 == 3  # of four times one while the session is opened
        moment = painters.kill(
            log,
            first,
            after="opening" if opening else "touch",
            patience=rng.uniform(0, 1 if opening else 5),
        )
        done = touches(log)
        if not is_session(place / "s.masktrack"):
            assert not done
            continue
        with Session.open(place / "s.masktrack") as session:
            assert session.problems == []
            images = dict(session.label_images())
            for frame in session.results.written:
                assert (session.results.read(frame) == 7).all()
        saved = {frame: int(image[20, 20]) for frame, image in images.items()}
        since = min((when for f, each, when in done if each > saved.get(f, 0)), default=moment)
        lost.append(moment - since - pause(done, moment))
        first, painted = max([first, *(each + 1 for _, each, _ in done)]), painted + len(done)
    record_property("lost_seconds", [round(float(each), 2) for each in lost])
    sys.stdout.write(f"\n{KILLS} kills, {painted} touches, seconds lost: {np.sort(lost).round(2).tolist()}\n")
    assert painted
    assert max(lost) <= LOST
