"""How results and findings were made, and from which data, so that no table mixes two ways."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_masktrack import __version__
from napari_masktrack.evaluation.methods import NETWORKS, Settings
from napari_masktrack.evaluation.problems import OpenProblem, Problem
from napari_masktrack.evaluation.results import Record
from napari_masktrack.io.images import list_images

RULES = ("sparse", "single", "void", "without_last", "only_present", "limit")
"""Fields of `Problem` that change what is judged."""
GIVING = ("single", "void", "limit")
"""Those that change what is computed, too."""
_UNKNOWN = "not known"
_DIGITS = 12


def describe(settings: Settings) -> Record:
    """Return settings as they are kept beside a result; those that a method does not use are left out."""
    known = asdict(settings) if settings.method in NETWORKS else {"method": settings.method}
    known.pop("every", None)
    return {"napari_masktrack": __version__, **known, **({"every": settings.every} if settings.every else {})}


def made_with(settings: Settings, problem: Problem) -> dict[str, Any]:
    """Say what a finding depends on besides the data: the method, the network, the rules of judging.

    Raises
    ------
    CheckpointError
        There is no such model.
    """
    known = {name: value for name, value in describe(settings).items() if name not in ("device", "model")}
    if "finetune" in known:
        known["weights_sha256"] = weights_hash(settings.model)
    return {**known, "rules": {name: getattr(problem, name) for name in RULES}}


def truth_of(opened: OpenProblem) -> Record:
    """Tell the data that a finding is judged by from others, and from themselves before they were changed.

    Files are told by their names and by what they hold, so that a data set may be moved or copied.
    """
    files = {"images": files_identity(_images(opened)), "truth": files_identity(opened.problem.truth)}
    return {**_movie(opened), **files}


def data_of(opened: OpenProblem) -> Record:
    """Return from what a result is computed, as it is kept beside it: rules, movie, frames, given masks.

    Frames and masks are told by what they hold, so that a data set may be moved.
    """
    given = opened.annotations.label_image(opened.given, opened.movie.shape)
    content = hashlib.sha256(np.ascontiguousarray(given, "<u2").tobytes()).hexdigest()
    rules = {name: getattr(opened.problem, name) for name in GIVING}
    files = {"images": _content(_images(opened)), "given": content}
    return {**rules, **_movie(opened), **{name: value[:_DIGITS] for name, value in files.items()}}


def difference(record: Record, settings: Settings, opened: OpenProblem, weights: str | None) -> str:
    """Say what differs between how a result was made and how it would be made now; nothing if nothing does.

    Parameters
    ----------
    record : dict
        Of the result. Device and version may differ. Of the data only what it says is compared:
        earlier versions said less.
    settings : Settings
    opened : OpenProblem
    weights : str or None
        SHA-256 of the weights that would be used; None for methods that need none.
    """
    now = {**describe(settings), "every": settings.every}
    known = {"every": 0, "data": {}, "weights_sha256": None, **record}
    for name in ("method", *sorted(now.keys() - {"method", "device", "napari_masktrack"})):
        before = known.get(name, _UNKNOWN)
        if before != now[name]:
            return f"with other settings ({_in_words(name, before, now[name])})"
    if known["weights_sha256"] != weights:
        return f"with other weights of that name ({short(known['weights_sha256'])}, now {short(weights)})"
    for name, value in data_of(opened).items():
        if known["data"].get(name, value) != value:
            return f"by other rules or from other data ({name}: {known['data'][name]}, now {value})"
    return ""


def weights_hash(model: str | None) -> str:
    """Return the SHA-256 of an embedded model, of a file of weights, or of the default model."""
    from napari_masktrack.model.checkpoint import DEFAULT_MODEL, find_weights

    with find_weights(model or DEFAULT_MODEL).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_identity(paths: Iterable[Path]) -> str:
    """Return a hash of files' names and of what they hold: another one where a file is another."""
    known = [(path.name, _sha256(path).hex()) for path in paths]
    return hashlib.sha256(str(known).encode()).hexdigest()


def short(sha256: str | None) -> str:
    """Write as much of a hash as tells files apart."""
    return sha256[:8] if sha256 else _UNKNOWN


def _movie(opened: OpenProblem) -> Record:
    return {"frames": len(opened.movie), "shape": list(opened.movie.shape)}


def _images(opened: OpenProblem) -> list[Path]:
    """List the files of the frames that take part; of another kind of movie all its files."""
    place = opened.problem.images
    if opened.movie.frame_names:
        return list_images(place)[: opened.frames.stop]
    return sorted(path for path in place.rglob("*") if path.is_file()) or [place]


def _content(paths: Iterable[Path]) -> str:
    """Return a hash of what files hold, one after the other."""
    found = hashlib.sha256()
    for path in paths:
        found.update(_sha256(path))
    return found.hexdigest()


def _sha256(path: Path) -> bytes:
    found = path.stat()
    return _read_sha256(path.absolute(), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=2**16)  # a movie is asked for in each row of an analysis, and may be gigabytes
def _read_sha256(path: Path, _size: int, _changed: int) -> bytes:
    """Return the hash of a file that has a size and was last changed at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _in_words(name: str, before: object, now: object) -> str:
    """Name a setting that differs; versions of this package may know more settings, or fewer."""
    if isinstance(before, dict) and isinstance(now, dict):
        changed = [key for key in now if before.get(key, _UNKNOWN) != now[key]]
        name = next(iter(changed or before.keys() - now.keys()))
        before, now = before.get(name, _UNKNOWN), now.get(name, _UNKNOWN)
    elif isinstance(before, dict) or isinstance(now, dict):
        before, now = ("on" if isinstance(each, dict) else "off" for each in (before, now))
    return f"{name}: {before}, now {now}"
