"""The numbers of a session: confidence and IoU of the result, and the last comparison, as CSV files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.io.exporters import save_metrics_csv
from napari_masktrack.io.session_files import read_table, remove

if TYPE_CHECKING:
    from napari_masktrack.io.session import Session

METRICS, SCORES = "metrics.csv", "scores.csv"
EARLIER = ", before the last run"
"""Said of a comparison when the result has changed since."""

Row = Mapping[str, object]


class SessionNumbers:
    """The tables of a session.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: "Session") -> None:
        self._session = session

    def metrics(self) -> list[dict[str, str]]:
        """Read the numbers of the result, one row per frame and object, as text; empty cells are unknown."""
        return self._read(METRICS)

    def save_metrics(self, rows: Iterable[Row]) -> None:
        """Write the numbers of the result; without any row the file goes.

        Raises
        ------
        OutputError
            The session is open to read only.
        WorkError
            The disk refused.
        """
        self._save(METRICS, rows)

    def scores(self) -> list[dict[str, str]]:
        """Read the last comparison as text: frame, label, J, F, and against what it was made."""
        return self._read(SCORES)

    def save_scores(self, rows: Iterable[Row]) -> None:
        """Write a comparison, as `save_metrics`."""
        self._save(SCORES, rows)

    def outdate_scores(self) -> None:
        """Say of the comparison that the result has changed since; raises as `save_metrics`."""
        rows = self.scores()
        if rows:
            self.save_scores([row | {"source": earlier(row.get("source", ""))} for row in rows])

    def _read(self, name: str) -> list[dict[str, str]]:
        return self._session.attempt(self._path(name), read_table) or []

    def _save(self, name: str, rows: Iterable[Row]) -> None:
        self._session.require_writable()
        table = list(rows)
        if table:
            save_metrics_csv(self._path(name), table)
        else:
            remove(self._path(name))

    def _path(self, name: str) -> Path:
        return self._session.folder / name


def earlier(source: str) -> str:
    """Say of what a comparison was made against that the result has changed since."""
    return source if source.endswith(EARLIER) else source + EARLIER
