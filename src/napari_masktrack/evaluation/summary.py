"""All scores of an evaluation, and their means as the protocol wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_masktrack import __version__
from napari_masktrack.evaluation.attributes import AttributeScore, attribute_table, read_attributes
from napari_masktrack.evaluation.protocols import pooled
from napari_masktrack.evaluation.run import CRF_FOUND, Evaluation, Judged
from napari_masktrack.evaluation.scores import mean_columns, object_columns

Columns = dict[str, float]
SPEED = "s/frame"
"""Column of the seconds per frame, fine-tuning included; only where the result was computed here."""
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is written and shown.

    Attributes
    ----------
    evaluation : Evaluation
    judged : tuple of Judged
        In the order of the problems.
    sequences : dict of str to dict
        The numbers of each problem by name: ``J mean``, ``J recall``, ... or ``SEG``, ...
    mean : dict of str to float
        Over sequences, or over all objects where the protocol wants that.
    groups : dict of str to dict
        Means over the problems of each class; empty where there are none.
    attributes : tuple of AttributeScore
    """

    evaluation: Evaluation
    judged: tuple[Judged, ...]
    sequences: dict[str, Columns]
    mean: Columns
    groups: dict[str, Columns]
    attributes: tuple[AttributeScore, ...] = ()

    @property
    def class_mean(self) -> Columns:
        """Mean of the means of the classes; empty where there are none."""
        return mean_columns(list(self.groups.values()))

    @property
    def unsearched(self) -> tuple[str, ...]:
        """Names of problems whose CRF was to be searched, but could not."""
        records = {each.score.name: each.record or {} for each in self.judged}
        return tuple(name for name, record in records.items() if record.get(CRF_FOUND, record) is None)

    @property
    def unit(self) -> str:
        """What the mean is over."""
        if pooled(self.evaluation.protocol, self.evaluation.config):
            return "objects"
        return self.evaluation.rules.unit

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain values, for JSON; NaN is None."""
        plain: dict[str, Any] = _plain({
            "napari_masktrack": __version__,
            "protocol": self.evaluation.protocol,
            "settings": asdict(self.evaluation.config),
            "unit": self.unit,
            "left out": self.evaluation.left_out,
            "mean": self.mean,
            "groups": self.groups,
            "mean of groups": self.class_mean,
            "attributes": [asdict(each) for each in self.attributes],
            "sequences": [_details(each, self.sequences[each.score.name]) for each in self.judged],
        })  # fmt: skip
        return plain


def summarise(evaluation: Evaluation, judged: Sequence[Judged], attributes: Path | None = None) -> Summary:
    """Put scores together.

    Parameters
    ----------
    evaluation : Evaluation
    judged : sequence of Judged
        One for each problem, in their order.
    attributes : Path, optional
        See `attributes.read_attributes`.

    Raises
    ------
    InputError
        The attributes cannot be used.
    """
    sequences = {each.score.name: _columns(each) for each in judged}
    rows = list(sequences.values())
    if pooled(evaluation.protocol, evaluation.config):
        objects = [object_columns(one) for each in judged for one in each.score.objects]
        rows = [*objects, *({SPEED: row[SPEED]} for row in rows if SPEED in row)]
    groups: dict[str, list[Columns]] = {}
    for each in judged:
        if each.score.group:
            groups.setdefault(each.score.group, []).append(sequences[each.score.name])
    return Summary(
        evaluation=evaluation,
        judged=tuple(judged),
        sequences=sequences,
        mean=mean_columns(rows),
        groups={name: mean_columns(of) for name, of in groups.items()},
        attributes=_attributes(evaluation, sequences, attributes),
    )


def _columns(judged: Judged) -> Columns:
    columns = judged.score.columns()
    if judged.record is not None and "seconds_per_frame" in judged.record:
        columns[SPEED] = float(judged.record["seconds_per_frame"])
    return columns


def _attributes(
    evaluation: Evaluation, sequences: Mapping[str, Columns], path: Path | None
) -> tuple[AttributeScore, ...]:
    if path is None:
        return ()
    known = read_attributes(path)
    of = {problem.name: known[problem.title] for problem in evaluation.problems}
    return tuple(attribute_table(sequences, of))


def _details(judged: Judged, columns: Columns) -> dict[str, Any]:
    objects = [
        {"label": each.label, **object_columns(each), "frames": each.frames, "values": each.values}
        for each in judged.score.objects
    ]
    return {
        "name": judged.score.name, "group": judged.score.group, **columns, "objects": objects,
        "run": judged.record,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else round(float(value), _DIGITS)
    return value
