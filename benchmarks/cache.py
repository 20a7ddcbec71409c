"""Finished results in one JSON file, so that an interrupted run goes on where it stopped."""

import json
from pathlib import Path
from typing import Any

from benchmarks.documents import ROOT, write_whole
from napari_masktrack.errors import InputError

Entry = dict[str, Any]
RESULTS = ROOT / "benchmarks" / "results" / "video.json"


class Cache:
    """Results by key; each is on disk as soon as it is put in.

    Parameters
    ----------
    path : Path
        JSON; need not exist yet.

    Raises
    ------
    InputError
        The file is no such cache.
    """

    def __init__(self, path: Path = RESULTS) -> None:
        self.path = path
        self.entries = self._read()

    def get(self, key: str) -> Entry | None:
        """Return a result, None if it is not there."""
        return self.entries.get(key)

    def put(self, key: str, entry: Entry) -> None:
        """Keep a result; what another run wrote meanwhile stays."""
        self.entries = {**self._read(), key: entry}
        lines = (f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(self.entries.items()))
        write_whole(self.path, "{\n" + ",\n".join(lines) + "\n}\n")

    def _read(self) -> dict[str, Entry]:
        if not self.path.exists():
            return {}
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read ({error}); remove it or give another.") from error
        if not isinstance(entries, dict):
            raise InputError(f"{self.path} holds no results of this tool; remove it or give another.")
        return entries
