"""What an analysis is given: problems, how masks are computed, and where its findings go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from napari_masktrack.config import Checked
from napari_masktrack.evaluation.jobs import Progress
from napari_masktrack.evaluation.methods import Settings
from napari_masktrack.evaluation.problems import Problem


@dataclass(frozen=True, kw_only=True)
class AnalysisTask:
    """An analysis to be made.

    Attributes
    ----------
    protocol : str
        Name of the protocol that the problems are from.
    problems : tuple of Problem
        Opened and found in order once already.
    settings : Settings
    folder : Path
        Where its files go; exists, and may hold what an interrupted run left.
    jobs : int
        Processes.
    options : Checked or None
        The analysis' own settings.
    """

    protocol: str
    problems: tuple[Problem, ...]
    settings: Settings
    folder: Path
    jobs: int = 1
    options: Checked | None = None


Analysis: TypeAlias = Callable[[AnalysisTask], Iterator[Progress | Any]]
"""Yields `Progress` while it works; its files are written at the end. May be closed at any time."""
