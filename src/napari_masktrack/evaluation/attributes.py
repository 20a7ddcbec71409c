"""Means over the sequences that share an attribute, such as fast motion (paper, table S6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_masktrack.errors import InputError
from napari_masktrack.evaluation.scores import mean_columns
from napari_masktrack.io.refusal import refusing, shown

NAMES = {
    "AC": "appearance change", "BC": "background clutter", "CS": "camera-shake", "DB": "dynamic background",
    "DEF": "deformation", "EA": "edge ambiguity", "FM": "fast-motion", "HO": "heterogeneous object",
    "IO": "interacting objects", "LR": "low resolution", "MB": "motion blur", "OCC": "occlusion",
    "OV": "out-of-view", "ROT": "rotation", "SC": "shape complexity", "SV": "scale variation",
}  # fmt: skip
"""The attributes of DAVIS (Perazzi et al., CVPR 2016)."""


@dataclass(frozen=True)
class AttributeScore:
    """The sequences with an attribute, and those without.

    Attributes
    ----------
    attribute : str
    sequences : tuple of str
        Those that have it.
    mean, others : dict of str to float
        Means of the columns over them, and over all other sequences.
    """

    attribute: str
    sequences: tuple[str, ...]
    mean: dict[str, float]
    others: dict[str, float]

    @property
    def title(self) -> str:
        """What the attribute means, where that is known."""
        return NAMES.get(self.attribute, self.attribute)


def read_attributes(path: Path) -> dict[str, frozenset[str]]:
    """Read which sequence has which attributes.

    Parameters
    ----------
    path : Path
        YAML: ``sequences``, a list of entries with ``name`` and ``attributes``, as DAVIS gives it.

    Returns
    -------
    dict of str to frozenset of str
        By name of the sequence.

    Raises
    ------
    InputError
        There is no such file, or it is not like that.
    """
    import yaml

    if not path.is_file():
        raise InputError(f"There is no {shown(path)}; check the path.")
    with refusing(path, InputError):
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["sequences"]
        return {str(each["name"]): frozenset(map(str, each["attributes"])) for each in entries}


def check_attributes(path: Path, sequences: Sequence[str]) -> None:
    """Refuse a file that does not say the attributes of all sequences.

    Raises
    ------
    InputError
        So it is, or it cannot be read.
    """
    known = read_attributes(path)
    unknown = [name for name in sequences if name not in known]
    if unknown:
        raise InputError(
            f"{shown(path)} says nothing of the sequence {unknown[0]!r}; add it, or leave it out."
        )


def attribute_table(
    columns: Mapping[str, Mapping[str, float]], attributes: Mapping[str, frozenset[str]]
) -> list[AttributeScore]:
    """Average over the sequences of each attribute.

    Parameters
    ----------
    columns : mapping of str to mapping
        Numbers of each sequence by its name.
    attributes : mapping of str to set of str
        As `read_attributes` gives them; only attributes that occur are shown.
    """
    rows = []
    for attribute in sorted(set().union(*(attributes[name] for name in columns))):
        having = tuple(name for name in columns if attribute in attributes[name])
        mean, others = (
            mean_columns([columns[name] for name in names]) for names in (having, _without(columns, having))
        )
        rows.append(AttributeScore(attribute, having, mean, others))
    return rows


def _without(names: Mapping[str, object], left_out: Sequence[str]) -> list[str]:
    return [name for name in names if name not in left_out]
