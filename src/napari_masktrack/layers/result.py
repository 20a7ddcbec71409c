"""The result of a movie: its label layer, with numbers and a way back."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Labels
from numpy.typing import NDArray

from napari_masktrack.errors import WorkError
from napari_masktrack.io.masks import check_ids
from napari_masktrack.io.session import Session
from napari_masktrack.io.session_results import LabelStore
from napari_masktrack.layers.create import new_labels, notes_of
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.stored import IN_MEMORY_UP_TO, StoredFrames
from napari_masktrack.propagation import FrameResult

OPACITY = 0.5
"""Of a new result; the user may change it."""

COLUMNS = ("index", "label", "frame", "confidence", "source", "agreement", "iou")
"""Of the table of features, one row per frame and object; ``index`` is the label, as napari wants it."""

Rows = dict[int, dict[int, dict[str, float]]]  # by frame, then by object


class ResultStore(StoredFrames):
    """The masks of all frames, shown in a layer of their own.

    Parameters
    ----------
    view, session, in_memory_up_to
        As of `StoredFrames`.
    """

    layer: Labels

    def __init__(
        self,
        view: LayerMovie,
        *,
        session: Session | None = None,
        in_memory_up_to: int = IN_MEMORY_UP_TO,
    ) -> None:
        super().__init__(view, session=session, in_memory_up_to=in_memory_up_to)
        self._rows: Rows = {}
        self._former_rows: Rows | None = None
        self._former_notes: dict[str, Any] = {}
        self._about: dict[str, Any] = {}
        self._running = False
        self._index = AnnotationIndex(self.layer, view)
        self._index.forget()
        self._strokes = False
        self.layer.events.labels_update.connect(self._note_stroke)

    def _make_layer(self, array: Any) -> Labels:
        layer = new_labels(self.view, "result", array=array)
        layer.opacity = OPACITY
        return layer

    def _kept_in(self, session: Session) -> LabelStore:
        return session.results

    def begin(self, about: Mapping[str, Any] | None = None) -> None:
        """Start a propagation: from its first frame on frames are kept for `revert`, and nobody paints.

        Parameters
        ----------
        about : mapping, optional
            Model, hash of the weights, settings, version: for the layer's metadata, see
            `Tracker.description`.
        """
        self.painted()  # what the user painted is kept for the way back, too
        self._about, self._begun = dict(about or {}), True
        self.layer.editable = False  # also forgets napari's undo steps, which would write old pixels
        self._running = True

    def _started(self) -> bool:
        first = super()._started()
        if first:
            self._former_rows = {
                frame: {label: dict(row) for label, row in rows.items()} for frame, rows in self._rows.items()
            }
            self._former_notes = dict(notes_of(self.layer))
            notes_of(self.layer).update(self._about)
        return first

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
        self._started()
        self._replace(frame, labels)
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
        self._index.forget()
        self.layer.editable = True
        self._running = False

    def painted(self, dims: Dims | None = None) -> tuple[int, ...]:
        """Give the frames on which the user painted since the last call, sorted; they have masks now.

        Parameters
        ----------
        dims : napari.components.Dims, optional
            Of the viewer, ``viewer.dims``. Without it, a stroke counts when it ends.

        Raises
        ------
        AnnotationError
            The layer was moved away from the movie.
        """
        if not self.layer.editable:
            return ()
        shown = None if dims is None else self.view.frame_at(dims)
        if self._strokes and shown is not None:
            self._index.touch([shown])
        self._strokes = False
        frames = self._index.settle()
        self._done.update(frames)
        return frames

    def _note_stroke(self, _event: Any = None) -> None:
        self._strokes = True  # napari draws only a part anew, as it does under the brush

    @property
    def can_revert(self) -> bool:
        """Whether the last propagation can be taken back."""
        return bool(self._former.frames)

    def _reverted(self, frames: tuple[int, ...]) -> None:
        if frames and self._former_rows is not None:
            self._rows = self._former_rows
            self.layer.metadata["masktrack"] = self._former_notes
        self._former_rows = None
        self._index.forget()
        self.refresh_features()

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

    def close(self, *, gone: bool = False) -> None:
        """Stop following strokes, and as of `StoredFrames`."""
        self._index.close()
        self.layer.events.labels_update.disconnect(self._note_stroke)
        super().close(gone=gone)

    def _entries(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        for frame, rows in self._rows.items():
            for label, row in rows.items():
                yield frame, label, row

    def _restore_numbers(self) -> None:
        assert self.session is not None
        wanted = (self._done | self._unread) - set(self._rows)
        for row in self.session.numbers.metrics():
            self._read_row(row, wanted)

    def _restored(self) -> None:
        self._rows = {frame: rows for frame, rows in self._rows.items() if frame in self._done}
        self._index.forget()
        self.refresh_features()

    def _read_row(self, row: Mapping[str, str], wanted: set[int]) -> None:
        try:
            frame, label = int(row["frame"]), int(row["label"])
            if frame not in wanted:
                return
            self._rows.setdefault(frame, {})[label] = {
                "confidence": float(row["confidence"] or "nan"),
                "source": int(row["source"] or -1),
                "agreement": float(row.get("agreement") or "nan"),
                "iou": float(row.get("iou") or "nan"),
            }
        except (KeyError, ValueError):
            return
