"""Annotated sequences on disk: which there are, and which of their frames count."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.files import list_masks
from napari_masktrack.evaluation.problems import Problem

DAVIS = "davis"
OTHERS: dict[str, dict[str, bool | int]] = {
    "microscopy/PhC-C2DH-U373-01": {"only_present": True},
    "microscopy/Fluo-N2DH-SIM+-02": {"only_present": True, "limit": 30},
    "pumavos/chair": {"without_last": True},
}


def find_sequences(data: Path, wanted: Sequence[str] = (), *, frames: int | None = None) -> list[Problem]:
    """Return the sequences of a data folder: DAVIS by name, then the others.

    Parameters
    ----------
    data : Path
        With the folders ``davis``, ``microscopy``, ``pumavos``; what is not there is left out.
    wanted : sequence of str
        Names, with or without group; all by default.
    frames : int, optional
        At most so many frames of each: for trials.

    Raises
    ------
    InputError
        There are none, or not those that are wanted.
    """
    davis = sorted(path.parent for path in (data / DAVIS).glob("*/images") if path.is_dir())
    found = [_sequence(folder, f"{DAVIS}/{folder.name}", {"without_last": True}) for folder in davis]
    for name, rules in OTHERS.items():
        if (data / name / "images").is_dir():
            found.append(_sequence(data / name, name, rules))
    if not found:
        raise InputError(f"{data} holds no sequences; give the folder with 'davis' and 'microscopy' in it.")
    unknown = set(wanted) - {name for each in found for name in (each.name, each.title)}
    if unknown:
        raise InputError(f"There is no sequence {', '.join(sorted(unknown))} in {data}; check the name.")
    chosen = [each for each in found if not wanted or {each.name, each.title} & set(wanted)]
    return [replace(each, limit=min(frames, each.limit or frames)) if frames else each for each in chosen]


def _sequence(folder: Path, name: str, rules: dict[str, bool | int]) -> Problem:
    images, truth = folder / "images", list_masks(folder / "labels")
    return Problem(name=name, images=images, truth=truth, **rules)  # type: ignore[arg-type]
