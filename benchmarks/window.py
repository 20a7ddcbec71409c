"""How long the window stands still while it loads the network, fine-tunes and propagates.

A timer of the window beats every few milliseconds; the longest pause between two beats is what a user
would notice. Each run is a process of its own, since only the first run of a window loads torch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.documents import ROOT, table
from benchmarks.options import add_common, add_device, numbers, publish
from benchmarks.origin import Origin, footer, short_name, use_threads, weights_hash

if TYPE_CHECKING:
    from benchmarks.stalls import Beats

BEAT = 5
"""Milliseconds between two beats, if nothing holds them up."""
PATIENCE = 60
"""Seconds that loading may take."""
LIMIT = 100
"""Milliseconds that are to be kept."""
PHASES = {
    "layer": "the layer to paint on is made",
    "drawing": "painting; torch is loaded meanwhile",
    "idle": "before the button is pressed",
    "Loading the network": "the button is pressed: result layer, network",
    "Fine-tuning": "fine-tuning",
    "Propagating": "propagating",
    "again": "all of a second run in the same window",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--model", default="default", help="name or file (default)")
    parser.add_argument("--runs", type=int, default=5, help="windows, of which the median counts (5)")
    parser.add_argument("--frames", type=int, default=40, help="frames of the synthetic movie (40)")
    parser.add_argument("--shape", type=numbers, default=(480, 854), help="rows,columns (480,854)")
    parser.add_argument("--steps", type=int, default=20, help="steps of fine-tuning (20)")
    parser.add_argument("--traces", action="store_true", help="say where the window stood still")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Measure and write the table ``window``; with the hidden ``--one``, be the process that is measured."""
    if chosen.one:
        print(json.dumps(_work(chosen)))
        return
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(chosen.runs):
        pauses = _apart(chosen)
        for phase, pause in pauses.items():
            found[phase].append(pause)
        said = ", ".join(f"{phase} {pause:.0f} ms ({work:.0f})" for phase, (pause, work) in pauses.items())
        print(f"run {number + 1}: {said}", flush=True)
    rows = [_row(phase, each) for phase, each in found.items()]
    header = ["longest pause of the window, ms", "median", "at most", "its own work", "runs"]
    origins = [Origin.now(threads=chosen.threads, device=chosen.device).as_dict()]
    weights = {short_name(chosen.model): weights_hash(chosen.model)}
    publish(chosen, "window", [*table(header, rows), "", footer(origins, chosen.typed, weights)])


def _row(phase: str, found: list[tuple[float, float]]) -> list[str]:
    pauses, works = zip(*found, strict=True)
    cells = [f"{median(pauses):.0f}", str(LIMIT), f"{median(works):.0f}"]
    return [PHASES[phase], *cells, ", ".join(f"{each:.0f}" for each in pauses)]


def _apart(chosen: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Measure in a new process; what it says beside the numbers goes to standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *chosen.typed, "--one"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(chosen.threads)},  # torch is loaded by the window, later
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        from napari_masktrack.errors import WorkError

        raise WorkError(f"The measured window ended with code {done.returncode}; see its message above.")
    pauses: dict[str, tuple[float, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return pauses


def _work(chosen: argparse.Namespace) -> dict[str, tuple[float, float]]:
    from benchmarks.stalls import Beats

    use_threads(chosen.threads, with_torch=False)
    viewer, dock, truth = _window(chosen)
    beats = Beats(BEAT, traces=LIMIT if chosen.traces else None)
    _live(1.0)
    with tempfile.TemporaryDirectory() as folder:
        dock.sessions.create(Path(folder) / "cells.masktrack")
        beats.begin("layer")
        dock.workspace.drawings.ensure("masks")
        _live(1.0)
        beats.begin("drawing")
        dock.workspace.drawings.paint(0, truth.frame(0).labels)
        _live(1.5)
        _wait_for("torch")
        beats.begin("idle")
        _live(1.0)
        for again in (False, True):
            _press(dock, beats, again=again)
        pauses = beats.end()
        dock.release()
    viewer.close()
    return {phase: (1000 * pauses[phase][0], 1000 * pauses[phase][1]) for phase in PHASES}


def _window(chosen: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Open napari with the dock and a movie; torch is not loaded, as in a window that a user opens."""
    import napari

    from napari_masktrack.config import FinetuneConfig
    from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie
    from napari_masktrack.widgets import MaskTrackDock

    truth = synthetic_movie(SyntheticConfig(frames=chosen.frames, shape=chosen.shape, objects=2))
    viewer = napari.Viewer()
    viewer.add_image(truth.images, name="cells")
    dock = MaskTrackDock(viewer)
    viewer.window.add_dock_widget(dock, name="MaskTrack")
    dock.finetune.details.set_value(FinetuneConfig(steps=chosen.steps, batch=4))
    if chosen.model != "default":
        dock.finetune.set_model(Path(chosen.model))
    return viewer, dock, truth


def _press(dock: Any, beats: "Beats", *, again: bool) -> None:
    """Press the button and wait for the end."""
    from qtpy.QtWidgets import QApplication

    from napari_masktrack.widgets.engine import Phase

    beats.begin("again" if again else "Loading the network")
    dock.bar.run.click()
    if not again:
        dock.runner.job.arrived.connect(
            lambda item: beats.begin(item.title) if isinstance(item, Phase) else None
        )
    while dock.runner.is_running:
        QApplication.processEvents()
        time.sleep(0.001)


def _wait_for(module: str) -> None:
    """Let the window live until a module was imported in the background, and for a second after that."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until and (module not in sys.modules or _loading()):
        _live(0.05)
    _live(1.0)


def _loading() -> bool:
    from napari_masktrack.widgets.warming import THREAD

    return any(thread.name == THREAD for thread in threading.enumerate())


def _live(seconds: float) -> None:
    """Let the window live for a while."""
    from qtpy.QtWidgets import QApplication

    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        QApplication.processEvents()
        time.sleep(0.001)
