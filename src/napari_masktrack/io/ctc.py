"""Results in the format of the Cell Tracking Challenge: ``mask000.tif`` ... and ``res_track.txt``.

Format and rules: "Naming and file content conventions" and "Annotation procedure" of
celltrackingchallenge.net. A track has no gaps there: an object that comes back is a new track with a
new label whose parent is the track it continues.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from napari_masktrack.errors import WorkError
from napari_masktrack.io.targets import check_new_folder, replacing
from napari_masktrack.io.writers import LARGEST, Labels, LabelWriter


@dataclass(frozen=True)
class Track:
    """One line of ``res_track.txt``, and the object it belongs to."""

    label: int
    begin: int
    end: int
    parent: int
    source: int
    """The object's own id, which differs from ``label`` after a gap."""


def split_tracks(seen: Mapping[int, Iterable[int]]) -> list[Track]:
    """Cut each object's frames into tracks without gaps.

    Parameters
    ----------
    seen : mapping of int to iterable of int
        For each frame, the ids seen on it.

    Returns
    -------
    list of Track
        Ordered by label; an object's first track keeps its id, later ones get ids that nobody has.

    Raises
    ------
    WorkError
        More than 65535 tracks.
    """
    frames: dict[int, list[int]] = defaultdict(list)
    for frame in sorted(seen):
        for label in seen[frame]:
            frames[int(label)].append(frame)
    top = max(frames, default=0)
    free = (label for label in chain(range(top + 1, LARGEST + 1), range(1, top)) if label not in frames)
    tracks = []
    for source in sorted(frames):
        label = parent = 0
        for begin, end in _runs(frames[source]):
            label, parent = (next(free, 0) if label else source), label
            if not label:
                raise WorkError(
                    f"Object {source} needs more than {LARGEST} tracks; save as PNG or TIFF instead."
                )
            tracks.append(Track(label, begin, end, parent, source))
    return sorted(tracks, key=lambda track: track.label)


class CtcWriter(LabelWriter):
    """A folder of 16-bit LZW TIFF masks and the table of tracks; missing frames become empty masks."""

    def _check(self) -> None:
        check_new_folder(self.path)
        self._seen: dict[int, list[int]] = {}

    def _write(self, frame: int, labels: Labels) -> None:
        self.path.mkdir(exist_ok=True)
        self._save(frame, labels)
        self._seen[frame] = [int(label) for label in np.unique(labels) if label]

    def _finish(self) -> None:
        if not self._seen:
            return
        tracks = split_tracks(self._seen)
        for frame in self.missing:
            self._save(frame, np.zeros(self.layout.shape, np.uint16))
        self._rename(tracks)
        rows = "".join(f"{each.label} {each.begin} {each.end} {each.parent}\n" for each in tracks)
        with replacing(self.path / "res_track.txt") as part:
            part.write_text(rows, encoding="ascii", newline="\n")

    def _rename(self, tracks: list[Track]) -> None:
        """Give the masks after a gap their new labels; only those files are read and written again."""
        import tifffile

        changes: dict[int, list[Track]] = defaultdict(list)
        for track in tracks:
            if track.label != track.source:
                for frame in range(track.begin, track.end + 1):
                    changes[frame].append(track)
        for frame, moved in changes.items():
            old = tifffile.imread(self._file(frame))
            new = old.copy()
            for track in moved:
                new[old == track.source] = track.label
            self._save(frame, new)

    def _save(self, frame: int, labels: Labels) -> None:
        import tifffile

        with replacing(self._file(frame)) as part:
            tifffile.imwrite(part, labels.astype(np.uint16), compression="lzw", photometric="minisblack")

    def _file(self, frame: int) -> Path:
        return self.path / f"mask{self.layout.number(frame, 3)}.tif"


def _runs(frames: list[int]) -> Iterator[tuple[int, int]]:
    """Give first and last of each stretch of consecutive numbers in an ascending list."""
    begin = last = frames[0]
    for frame in frames[1:]:
        if frame != last + 1:
            yield begin, last
            begin = frame
        last = frame
    yield begin, last
