"""The folders of the public video data sets, read as they are downloaded."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from napari_masktrack.config import EvaluationConfig
from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.files import list_folders, list_masks
from napari_masktrack.evaluation.problems import BY_NUMBER, Makers, Problem
from napari_masktrack.io.refusal import refusing, shown

VOID = 255
"""What DAVIS-2017 writes where nobody can tell."""
JOINED = {"trainval": "train,val"}
"""Sets that stand for several, where the data set has no list of that name."""


def find_davis(data: Path, config: EvaluationConfig) -> Makers:
    """Read DAVIS: ``JPEGImages/480p/SEQ``, ``Annotations/480p/SEQ``, ``ImageSets/2016/val.txt``.

    In 2016 all that is annotated is one object, in 2017 each id is its own. Several lists are joined.
    """
    named: dict[str, Path] = {}
    for listing in _set_files(data, config):
        for name in _set_names(listing):
            named.setdefault(name, listing)
    return {name: partial(_of_davis, data, config, listing, name) for name, listing in named.items()}


def _of_davis(data: Path, config: EvaluationConfig, listing: Path, name: str) -> Problem:
    images, truth = (data / part / config.resolution / name for part in ("JPEGImages", "Annotations"))
    for folder in (images, truth):
        if not folder.is_dir():
            raise InputError(
                f"{shown(listing)} names the sequence {shown(name)}, but there is no {shown(folder)}; "
                f"check that the data set is complete, or leave it out: --exclude {shown(name)}."
            )
    single = config.year == "2016"
    return Problem(
        name=name, images=images, truth=list_masks(truth), single=single,
        void=None if single else VOID, without_last=True, limit=config.limit,
    )  # fmt: skip


def find_segtrack(data: Path, config: EvaluationConfig) -> Makers:
    """Read SegTrack-v2: ``JPEGImages/SEQ``, and ``GroundTruth/SEQ`` or ``GroundTruth/SEQ/1`` per object.

    Each object is its own problem, named ``SEQ/1``. Masks belong to the frames of their names, where all
    have such a name, else to those in the same place.
    """

    def make(name: str, images: Path, truth: Path) -> Problem:
        return Problem(
            name=name, images=images, truth=list_masks(truth), match="order", single=True, limit=config.limit
        )

    places = {
        truth.relative_to(data / "GroundTruth").as_posix(): (data / "JPEGImages" / sequence.name, truth)
        for sequence in list_folders(data / "GroundTruth")
        for truth in (list_folders(sequence) or [sequence])
    }
    return {name: partial(make, name, *folders) for name, folders in places.items()}


def find_youtube_objects(data: Path, config: EvaluationConfig) -> Makers:
    """Read YouTube-Objects: some frames of each shot have a mask; the first of them is given.

    Either as downloaded, frames in ``v1/CLASS/data/VIDEO/shots/SHOT`` and masks in
    ``youtube_masks/CLASS/data/VIDEO/shots/SHOT/labels``, or sorted into ``JPEGImages/CLASS/SEQ`` and
    ``Annotations/CLASS/SEQ``. A mask belongs to the frame with the same number in its name.
    """

    def make(name: str, images: Path, truth: Path) -> Problem:
        return Problem(
            name=name, images=images, truth=list_masks(truth, lossy=True), group=name.partition("/")[0],
            match=BY_NUMBER, sparse=True, single=True, limit=config.limit, scaled=True,
        )  # fmt: skip

    pairs = _downloaded(data) if (data / "youtube_masks").is_dir() else _sorted_by_class(data)
    return {name: partial(make, name, images, truth) for name, images, truth in pairs}


def find_folders(data: Path, config: EvaluationConfig) -> Makers:
    """Read any folders with ``images`` and ``labels`` in them: ``SEQ/images`` or ``GROUP/SEQ/images``."""

    def make(name: str, place: Path) -> Problem:
        return Problem(
            name=name, images=place / "images", truth=list_masks(place / "labels"), sparse=config.sparse,
            without_last=config.skip_last, only_present=config.only_present, limit=config.limit,
        )  # fmt: skip

    places = [data, *list_folders(data)]
    places += [inner for place in places[1:] for inner in list_folders(place)]
    named = {
        place.relative_to(data).as_posix() if place != data else place.resolve().name: place
        for place in places
        if (place / "images").is_dir()
    }
    return {name: partial(make, name, place) for name, place in named.items()}


def _set_files(data: Path, config: EvaluationConfig) -> list[Path]:
    """Find the lists of sequences; the first release of DAVIS-2016 has them per resolution."""
    lists = data / "ImageSets"
    places = [lists / config.year, *([lists / config.resolution] if config.year == "2016" else [])]
    known = {path.stem: path for place in reversed(places) for path in sorted(place.glob("*.txt"))}
    names = [config.set] if config.set in known else JOINED.get(config.set, config.set).split(",")
    for name in names:
        if name not in known:
            choice = f"choose one of {', '.join(sorted(known))} with --set"
            advice = choice if known else "check the data folder and --year"
            raise InputError(f"There is no {shown(places[0] / f'{name}.txt')}; {advice}.")
    return [known[name] for name in names]


def _set_names(listing: Path) -> list[str]:
    """Read names of sequences, one per line; lines may also be paths of frames and masks."""
    with refusing(listing, InputError):
        lines = listing.read_text(encoding="utf-8").split("\n")
    words = [line.split()[0] for line in lines if line.strip()]
    names = list(dict.fromkeys(Path(word).parent.name if "/" in word else word for word in words))
    if not names:
        raise InputError(f"{shown(listing)} names no sequence; choose another --set.")
    return names


def _downloaded(data: Path) -> Iterator[tuple[str, Path, Path]]:
    frames = data / "v1" if (data / "v1").is_dir() else data
    for kind in list_folders(data / "youtube_masks"):
        for video in list_folders(kind / "data"):
            for shot in list_folders(video / "shots"):
                images = frames / kind.name / "data" / video.name / "shots" / shot.name
                yield f"{kind.name}/{video.name}/{shot.name}", images, shot / "labels"


def _sorted_by_class(data: Path) -> Iterator[tuple[str, Path, Path]]:
    for kind in list_folders(data / "Annotations"):
        for truth in list_folders(kind):
            yield f"{kind.name}/{truth.name}", data / "JPEGImages" / kind.name / truth.name, truth
