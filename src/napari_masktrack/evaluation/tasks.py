"""What an analysis is given: problems, how masks are computed, and where its findings go."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from napari_masktrack.config import Checked
from napari_masktrack.evaluation.jobs import Progress
from napari_masktrack.evaluation.methods import Settings
from napari_masktrack.evaluation.problems import Problem

Options = TypeVar("Options", bound=Checked)


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
        Where its files go; may hold what an interrupted run left.
    jobs : int
        Processes.
    options : Checked or None
        The analysis' own settings.
    left_out : tuple of str
        Names of problems of which no frame would be judged.
    """

    protocol: str
    problems: tuple[Problem, ...]
    settings: Settings
    folder: Path
    jobs: int = 1
    options: Checked | None = None
    left_out: tuple[str, ...] = ()

    def chosen(self, config: type[Options]) -> Options:
        """Return the analysis' own settings, the default ones if there are none."""
        return self.options if isinstance(self.options, config) else config()


Analysis: TypeAlias = Callable[[AnalysisTask], Generator[Progress, None, list[str]]]
"""Refuses a task when it is called, before anything is made. Yields `Progress` while it works, writes its
files at the end and returns their Markdown. May be closed at any time."""
