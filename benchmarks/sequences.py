"""Annotated sequences on disk: which there are, and which of their frames count."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_masktrack.core.annotation import Annotations
from napari_masktrack.core.instances import BoolImage, Labels
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError
from napari_masktrack.io.masks import read_mask
from napari_masktrack.io.readers import open_movie, read_annotations

DAVIS = "davis"
OTHERS: dict[str, dict[str, bool | int]] = {
    "microscopy/PhC-C2DH-U373-01": {"only_present": True},
    "microscopy/Fluo-N2DH-SIM+-02": {"only_present": True, "limit": 30},
    "pumavos/chair": {"without_last": True},
}


@dataclass(frozen=True, kw_only=True)
class BenchmarkSequence:
    """A folder with ``images`` and ``labels``, one file per frame in each, named alike.

    Attributes
    ----------
    name : str
        Group and name, as ``davis/bus``.
    folder : Path
    limit : int or None
        Only so many frames from the first.
    without_last : bool
        The last frame does not count (DAVIS-2016); the first, which is given, never does.
    only_present : bool
        An object counts on frames where the truth shows it.
    """

    name: str
    folder: Path
    limit: int | None = None
    without_last: bool = False
    only_present: bool = False

    @property
    def title(self) -> str:
        """Name without the group."""
        return self.name.rpartition("/")[2]

    def open(self) -> "OpenSequence":
        """Open movie and first mask."""
        return OpenSequence(self)


class OpenSequence:
    """A sequence whose movie is open.

    Attributes
    ----------
    movie : Movie
    annotations : Annotations
        The first frame's masks.
    frames : int
        How many take part.
    """

    def __init__(self, sequence: BenchmarkSequence) -> None:
        self.sequence = sequence
        self.movie: Movie = open_movie(sequence.folder / "images")
        self.annotations: Annotations = read_annotations(self._label_file(0), self.movie)
        self.frames = min(len(self.movie), sequence.limit or len(self.movie))

    def truth(self, frame: int) -> Labels:
        """Return the true label image of a frame, uint16 (Y, X)."""
        return read_mask(self._label_file(frame)).astype("uint16")

    def counts(self, frame: int, true: BoolImage) -> bool:
        """Say whether an object's mask is judged on a frame."""
        end = self.frames - 1 if self.sequence.without_last else self.frames
        return 0 < frame < end and (not self.sequence.only_present or bool(true.any()))

    def _label_file(self, frame: int) -> Path:
        return self.sequence.folder / "labels" / f"{self.movie.frame_names[frame]}.png"


def find_sequences(
    data: Path, wanted: Sequence[str] = (), *, frames: int | None = None
) -> list[BenchmarkSequence]:
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
    davis = sorted(path for path in (data / DAVIS).glob("*/images") if path.is_dir())
    found = [
        BenchmarkSequence(name=f"{DAVIS}/{path.parent.name}", folder=path.parent, without_last=True)
        for path in davis
    ]
    for name, rules in OTHERS.items():
        if (data / name / "images").is_dir():
            found.append(BenchmarkSequence(name=name, folder=data / name, **rules))  # type: ignore[arg-type]
    if not found:
        raise InputError(f"{data} holds no sequences; give the folder with 'davis' and 'microscopy' in it.")
    unknown = set(wanted) - {name for each in found for name in (each.name, each.title)}
    if unknown:
        raise InputError(f"There is no sequence {', '.join(sorted(unknown))} in {data}; check the name.")
    chosen = [each for each in found if not wanted or {each.name, each.title} & set(wanted)]
    return [replace(each, limit=min(frames, each.limit or frames)) if frames else each for each in chosen]
