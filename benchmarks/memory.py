"""Peak memory of a long movie against a short one, each in a process of its own.

Linux hands the peak of the parent on to a child, so this module imports nothing heavy itself.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.documents import ROOT, table
from benchmarks.options import add_common, add_device, numbers, publish
from benchmarks.origin import Origin, footer, short_name, use_threads

if TYPE_CHECKING:
    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.core.movie import Movie
    from napari_masktrack.propagation import FrameResult

GIVEN = {"the first frame": False, "the first and the last frame": True}
"""What is annotated, and whether masks are carried backwards too."""
STAND_IN = "none"
_MIB = 2**20


@dataclass(frozen=True)
class Peak:
    """What one process needed."""

    mebibytes: float
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--short", type=int, default=100, help="frames of the short movie (100)")
    parser.add_argument("--long", type=int, default=2000, help="frames of the long movie (2000)")
    parser.add_argument("--shape", type=numbers, default=(256, 256), help="rows,columns (256,256)")
    parser.add_argument("--objects", type=int, default=2, help="objects in the movie (2)")
    parser.add_argument(
        "--model", default="default", help=f"name or file, or {STAND_IN!r}: no network, a few times faster"
    )
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--both-ends", action="store_true", help=argparse.SUPPRESS)
    add_device(parser)
    add_common(parser)


def run(chosen: argparse.Namespace) -> None:
    """Measure and write the table ``memory``; with the hidden ``--one``, be the process that is measured."""
    if chosen.one is not None:
        print(json.dumps(_propagate(chosen)))
        return
    weights = {} if chosen.model == STAND_IN else {short_name(chosen.model): weights_hash_apart(chosen.model)}
    rows = []
    for title, both_ends in GIVEN.items():
        short, long = (measure(chosen, frames, both_ends) for frames in (chosen.short, chosen.long))
        ratio = long.mebibytes / short.mebibytes
        cells = [f"{short.mebibytes:.0f}", f"{long.mebibytes:.0f}", f"{ratio:.3f}", f"{long.seconds:.0f}"]
        rows.append([title, *cells])
        print(f"{title}: {' '.join(cells)}", flush=True)
    header = ["annotated", f"{chosen.short:,} frames: MiB", f"{chosen.long:,} frames: MiB", "ratio", "s"]
    origins = [Origin.now(threads=chosen.threads, device=chosen.device).as_dict()]
    publish(chosen, "memory", [*table(header, rows), "", footer(origins, chosen.typed, weights)])


def measure(chosen: argparse.Namespace, frames: int, both_ends: bool) -> Peak:
    """Propagate so many frames in a new process."""
    options = ["--one", str(frames), "--shape", ",".join(map(str, chosen.shape)), "--model", chosen.model]
    options += ["--objects", str(chosen.objects), "--threads", str(chosen.threads)]
    options += ["--device", chosen.device, *(["--both-ends"] if both_ends else [])]
    return Peak(**json.loads(_apart("-m", "benchmarks", "memory", *options)))


def weights_hash_apart(model: str) -> str:
    """Return the hash of a model's file, found by another process, since finding it imports torch."""
    return _apart("-c", f"from benchmarks.origin import weights_hash; print(weights_hash({model!r}))")


def _apart(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        from napari_masktrack.errors import WorkError

        raise WorkError(f"The measured process ended with code {done.returncode}; see its message above.")
    return done.stdout.strip().splitlines()[-1]


def _propagate(chosen: argparse.Namespace) -> dict[str, float]:
    import resource

    from napari_masktrack.core.annotation import Annotations
    from napari_masktrack.core.movie import Movie
    from napari_masktrack.core.synthetic import SyntheticConfig, synthetic_movie

    use_threads(chosen.threads, with_torch=chosen.model != STAND_IN)
    config = SyntheticConfig(
        frames=chosen.one, shape=chosen.shape, objects=chosen.objects, cross=False, leave=False
    )
    made = synthetic_movie(config)
    given = (0, chosen.one - 1) if chosen.both_ends else (0,)
    annotations = Annotations.from_labels({frame: made.frame(frame).labels for frame in given})
    movie = Movie(made.lazy_images, name="synthetic")
    start = time.perf_counter()
    for _ in _results(movie, annotations, chosen):
        pass
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"mebibytes": peak * (1 if sys.platform == "darwin" else 1024) / _MIB, "seconds": seconds}


def _results(
    movie: "Movie", annotations: "Annotations", chosen: argparse.Namespace
) -> Iterator["FrameResult"]:
    if chosen.model != STAND_IN:
        from napari_masktrack.tracker import Tracker

        return Tracker(chosen.model, device=chosen.device).propagate(movie, annotations)
    from napari_masktrack.propagation import propagate

    return propagate(movie, annotations, _keep_guidance)


def _keep_guidance(images: Any, guidance: Any) -> Any:
    """Answer with the guidance, without the widening that the engine gave it."""
    del images
    import numpy as np

    from napari_masktrack.config import PropagationConfig
    from napari_masktrack.core.deformation import dilate

    widened = PropagationConfig().dilation * guidance.shape[-1] / PropagationConfig().crop_size
    return np.stack([dilate(mask, -widened) for mask in guidance]).astype(np.float32)
