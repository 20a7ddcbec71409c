"""Findings of an analysis, kept one by one, so that an interrupted one goes on where it stopped."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from napari_masktrack.errors import InputError, WorkError
from napari_masktrack.evaluation.jobs import Finished, Progress, Work, spread
from napari_masktrack.evaluation.methods import Settings
from napari_masktrack.evaluation.origins import made_with, truth_of
from napari_masktrack.evaluation.problems import OpenProblem, Problem
from napari_masktrack.io.session_files import read_json, write_json

AnyItem = TypeVar("AnyItem", bound="Item")
Finding = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """A folder of JSON files; those that were made otherwise are not found.

    Parameters
    ----------
    folder : Path
    made_with : mapping
        All that a finding depends on, except what its key says.
    """

    folder: Path
    made_with: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, settings: Settings, opened: OpenProblem, **more: Any) -> "Findings":
        """Return those about a movie and its truth, as they are now, with some settings, and with more.

        Raises
        ------
        CheckpointError
            There is no such model.
        """
        return cls(folder, {**made_with(settings, opened.problem), "data": truth_of(opened), **more})

    @property
    def place(self) -> Path:
        """Folder of what was found with these settings; an earlier version did not look at the frames."""
        data = {name: value for name, value in self.made_with.get("data", {}).items() if name != "images"}
        place, former = map(self._place, (self.made_with, {**self.made_with, "data": data}))
        return former if former.is_dir() and not place.is_dir() else place

    def _place(self, made_with: Mapping[str, Any]) -> Path:
        text = json.dumps(made_with, sort_keys=True)
        return self.folder / "parts" / hashlib.sha256(text.encode()).hexdigest()[:12]

    def path(self, *key: str, suffix: str = ".json") -> Path:
        """Return where a finding lies; the parts of its key are folders and a name."""
        parent = self.place.joinpath(*key[:-1])
        return parent / f"{key[-1]}{suffix}"

    def get(self, *key: str) -> Finding | None:
        """Read a finding; None if there is none.

        Raises
        ------
        InputError
            Its file is damaged.
        """
        path = self.path(*key)
        return read_json(path) if path.is_file() else None

    def put(self, finding: Finding, *key: str) -> None:
        """Keep a finding; an earlier one of the same key is replaced."""
        path = self.path(*key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (self.place / "made-with.json").is_file():
            write_json(self.place / "made-with.json", dict(self.made_with))
        write_json(path, finding)


@dataclass(frozen=True, kw_only=True)
class Item(ABC):
    """One thing to find out about one problem; its finding is kept as soon as it is known.

    Attributes
    ----------
    problem : Problem
    settings : Settings
        How masks are computed.
    findings : Findings
        Where its finding goes.
    """

    problem: Problem
    settings: Settings
    findings: Findings

    @property
    @abstractmethod
    def key(self) -> tuple[str, ...]:
        """Name the finding."""

    @property
    def path(self) -> Path:
        """Where the finding is, or will be."""
        return self.findings.path(*self.key)

    def found(self) -> Finding | None:
        """Read the finding; None if there is none yet."""
        return self.findings.get(*self.key)

    def keep(self, finding: Finding) -> None:
        """Keep the finding; an earlier one is replaced."""
        self.findings.put(finding, *self.key)


def work_off(
    work: Work[AnyItem, None], items: Sequence[AnyItem], *, jobs: int
) -> Generator[Progress, None, None]:
    """Do the work for each item, which keeps its finding itself; yields how far it is.

    Raises
    ------
    WorkError
        Something failed on the way, or a file turned out to be damaged; what is finished is kept.
    """
    done = 0
    try:
        for event in spread(work, items, jobs=jobs):
            if isinstance(event, Finished):
                done += 1
            else:
                yield Progress(event.share, f"run {min(done + 1, len(items))} of {len(items)}")
    except InputError as error:  # it could be used when the work began
        raise WorkError(str(error)) from error
