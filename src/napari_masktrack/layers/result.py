"""The result of a movie: its label layer, in memory or on disk, with numbers and a way back."""

import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Labels
from numpy.typing import NDArray

from napari_masktrack.errors import InputError, MaskTrackError, WorkError
from napari_masktrack.io.masks import check_ids
from napari_masktrack.io.session import Session
from napari_masktrack.io.session_results import LabelStore
from napari_masktrack.layers.create import new_labels, notes_of, share_colours
from napari_masktrack.layers.former import FormerFrames
from napari_masktrack.layers.frames import FrameArray
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.propagation import FrameResult

IN_MEMORY_UP_TO = 2**30
"""Bytes from which on a result lies on disk."""

COLUMNS = ("index", "label", "frame", "confidence", "source", "agreement", "iou")
"""Of the table of features, one row per frame and object; ``index`` is the label, as napari wants it."""

Rows = dict[int, dict[int, dict[str, float]]]  # by frame, then by object


class ResultStore:
    """The masks of all frames, shown in a layer of their own.

    Up to `IN_MEMORY_UP_TO` bytes the layer holds a NumPy array, beyond it an array on disk of which
    napari reads the frame it shows, and which goes with the layer. With a session each frame is on
    disk besides, as soon as it is written. Only for the main thread.

    Parameters
    ----------
    view : LayerMovie
    session : Session, optional
        Open for writing. Results that it holds are taken over by `restore`.
    like : napari.layers.Labels, optional
        The annotations, whose colours the result follows.
    in_memory_up_to : int, optional
        Bytes.

    Attributes
    ----------
    layer : napari.layers.Labels
        Named after the movie; to be added to the viewer.
    """

    def __init__(
        self,
        view: LayerMovie,
        *,
        session: Session | None = None,
        like: Labels | None = None,
        in_memory_up_to: int = IN_MEMORY_UP_TO,
    ) -> None:
        self.view, self.session = view, session
        self._done: set[int] = set()
        self._rows: Rows = {}
        self._former = FormerFrames(view.layout.size)
        self._former_rows: Rows | None = None
        self._former_notes: dict[str, Any] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: weakref.finalize[..., Labels] | None = None
        in_memory = 2 * int(np.prod(view.layout.shape, dtype=np.int64)) <= in_memory_up_to
        array = None if in_memory else FrameArray(view.layout, self._store())
        self.layer = new_labels(view, "result", array=array, sparse_from=2**62)
        if self._folder is not None:  # not with the store: the layer may stay in the viewer
            self._files = weakref.finalize(self.layer, self._folder.cleanup)
        self._running = False
        self._unshare: Callable[[], None] | None = None if like is None else share_colours(like, [self.layer])

    @property
    def on_disk(self) -> bool:
        """Whether the layer's array is on disk."""
        return isinstance(self.layer.data, FrameArray)

    @property
    def done(self) -> tuple[int, ...]:
        """The frames that have a result, sorted."""
        return tuple(sorted(self._done))

    def labels(self, frame: int) -> NDArray[np.uint16]:
        """Copy the result of a frame, (Y, X), uint16; zeros if there is none."""
        return np.array(self.layer.data[self.view.layout.key(frame)], np.uint16)

    def begin(self, about: Mapping[str, Any] | None = None) -> None:
        """Start a propagation: from here on frames are kept for `revert`, and nobody paints.

        Parameters
        ----------
        about : mapping, optional
            Model, hash of the weights, settings, version: for the layer's metadata, see
            `Tracker.description`.
        """
        self._former.close()
        self._former_rows = {
            frame: {label: dict(row) for label, row in rows.items()} for frame, rows in self._rows.items()
        }
        self._former_notes = dict(notes_of(self.layer))
        notes_of(self.layer).update(about or {})
        self.layer.editable = False  # also forgets napari's undo steps, which would write old pixels
        self._running = True

    def write_frame(self, result: FrameResult, dims: Dims | None = None) -> None:
        """Put a frame into the layer; redraws only if it is shown.

        Parameters
        ----------
        result : FrameResult
        dims : napari.components.Dims, optional
            Of the viewer, ``viewer.dims``. Without it, the layer is redrawn each time.

        Raises
        ------
        WorkError
            The result does not fit the movie, or the disk refused.
        """
        frame, labels = result.frame, result.labels
        if labels.shape != self.view.layout.size or not 0 <= frame < self.view.layout.frames:
            raise WorkError(
                f"The result of frame {frame}, {labels.shape}, does not fit {self.view.movie.name!r}; "
                f"choose the movie again."
            )
        check_ids(labels, f"The result of frame {frame}")
        if not self._running:
            self.begin()
        self._former.keep(frame, self.labels(frame) if frame in self._done else None)
        self._put(frame, labels)
        self._rows[frame] = {
            label: {
                "confidence": float(confidence),
                "source": result.source.get(label, -1),
                "agreement": result.agreement.get(label, np.nan),
                "iou": np.nan,
            }
            for label, confidence in result.confidence.items()
        }
        self._redraw(frame, dims)

    def end(self) -> None:
        """Finish a propagation, also one that was cancelled or failed: the user may paint again."""
        self.refresh_features()
        self.layer.editable = True
        self._running = False

    @property
    def can_revert(self) -> bool:
        """Whether the last propagation can be taken back."""
        return bool(self._former.frames)

    def revert(self) -> tuple[int, ...]:
        """Take the last propagation back.

        Returns
        -------
        tuple of int
            The frames that were changed back, sorted.

        Raises
        ------
        WorkError
            The disk refused.
        """
        frames = self._former.frames
        editable = self.layer.editable
        self.layer.editable = False
        for frame in frames:
            self._put(frame, self._former.get(frame))
        if frames and self._former_rows is not None:
            self._rows = self._former_rows
            self.layer.metadata["masktrack"] = self._former_notes
        self._former.close()
        self._former_rows = None
        self.layer.editable = editable
        self.refresh_features()
        self.layer.refresh(extent=False)
        return frames

    def set_scores(self, scores: Mapping[tuple[int, int], float]) -> None:
        """Note the IoU of frames and objects; those that are not named lose theirs."""
        for frame, label, row in self._entries():
            row["iou"] = float(scores.get((frame, label), np.nan))
        self.refresh_features()

    def refresh_features(self, shown: int | None = None) -> None:
        """Bring the layer's table up to date; often enough is once a second.

        Parameters
        ----------
        shown : int, optional
            The frame whose rows come last, so that napari tells them when the mouse is on an object.
        """
        self.layer.features = self.table(shown)

    def table(self, shown: int | None = None) -> dict[str, NDArray[Any]]:
        """Give the numbers as columns, one row per frame and object; see `COLUMNS`."""
        entries = sorted(self._entries(), key=lambda entry: (entry[0] == shown, entry[:2]))
        columns: dict[str, NDArray[Any]] = {
            "index": np.array([label for _, label, _ in entries], int),
            "label": np.array([label for _, label, _ in entries], int),
            "frame": np.array([frame for frame, _, _ in entries], int),
        }
        for name, kind in (("confidence", float), ("source", int), ("agreement", float), ("iou", float)):
            columns[name] = np.array([row[name] for _, _, row in entries], kind)
        return columns

    def rows(self) -> list[dict[str, object]]:
        """Give the numbers as they are stored in ``metrics.csv``, sorted by frame and object."""
        entries = sorted(self._entries(), key=lambda entry: entry[:2])
        return [{"frame": frame, "label": label, **row} for frame, label, row in entries]

    def restore(self) -> Iterator[int]:
        """Take over the results of the session, one frame at each step; yields how many are left.

        A damaged frame is left out and noted in the session's problems.
        """
        if self.session is None:
            return
        frames = [frame for frame in self.session.results.written if frame not in self._done]
        for number, frame in enumerate(frames, start=1):
            try:
                labels = self.session.results.read(frame)
            except InputError as error:
                self.session.note_problem(str(error))
                continue
            self._done.add(frame)
            if not self.on_disk:
                self.layer.data[self.view.layout.key(frame)] = labels
            yield len(frames) - number
        for row in self.session.metrics():
            self._read_row(row)
        self.refresh_features()
        self.layer.refresh(extent=False)

    def save_to(self, session: Session) -> Iterator[int]:
        """Write the results into a session that was made later, one frame at each step; yields what is left.

        What is written or taken back meanwhile goes into the session, too.

        Raises
        ------
        OutputError, WorkError
            The session is read only or of another movie, or the disk refused.
        """
        frames, self.session = self.done, session
        try:
            for number, frame in enumerate(frames, start=1):
                if frame in self._done:
                    session.results.write(frame, self.labels(frame))
                yield len(frames) - number
        except MaskTrackError:
            self.session = None
            raise

    def close(self, *, gone: bool = False) -> None:
        """Stop following colours and forget former frames.

        Parameters
        ----------
        gone : bool, default: False
            Whether the user deleted the layer: then its temporary files go now. If not, the layer keeps
            its masks.
        """
        if self._unshare is not None:
            self._unshare()
        self._former.close()
        if gone and self._files is not None:
            self._files()

    def _entries(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        for frame, rows in self._rows.items():
            for label, row in rows.items():
                yield frame, label, row

    def _store(self) -> LabelStore:
        if self.session is not None:
            return self.session.results
        self._folder = tempfile.TemporaryDirectory(prefix="masktrack-", ignore_cleanup_errors=True)
        layout = self.view.layout
        return LabelStore(Path(self._folder.name) / "result.zarr", frames=layout.frames, shape=layout.size)

    def _put(self, frame: int, labels: NDArray[Any] | None) -> None:
        """Write a frame into the array and the session; None takes it away."""
        array, key = self.layer.data, self.view.layout.key(frame)
        if labels is None:
            self._done.discard(frame)
            for store in self._stores():
                store.forget(frame)
            if not self.on_disk:
                array[key] = 0
            return
        self._done.add(frame)
        if not self.on_disk:
            array[key] = labels
        for store in self._stores():
            store.write(frame, labels)

    def _stores(self) -> list[LabelStore]:
        own = [self.layer.data.source] if self.on_disk else []
        session = [] if self.session is None or self.session.results in own else [self.session.results]
        return own + session

    def _redraw(self, frame: int, dims: Dims | None) -> None:
        if dims is None or (dims.ndisplay == 2 and self.view.shows_frame(dims, frame)):
            self.layer.refresh(extent=False, highlight=False)

    def _read_row(self, row: Mapping[str, str]) -> None:
        try:
            frame, label = int(row["frame"]), int(row["label"])
            if frame not in self._done:
                return
            self._rows.setdefault(frame, {})[label] = {
                "confidence": float(row["confidence"] or "nan"),
                "source": int(row["source"] or -1),
                "agreement": float(row.get("agreement") or "nan"),
                "iou": float(row.get("iou") or "nan"),
            }
        except (KeyError, ValueError):
            return
