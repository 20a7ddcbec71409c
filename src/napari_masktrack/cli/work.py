"""Drive the engine's generators: show progress, keep every finished frame, stop when asked to."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.cli.progress import duration
from napari_masktrack.cli.terminal import Terminal
from napari_masktrack.config import FinetuneConfig, share_done
from napari_masktrack.errors import InputError, MaskTrackError, WorkError
from napari_masktrack.io.refusal import shown

if TYPE_CHECKING:  # NumPy and torch come with these, and `--help` needs neither
    from napari_masktrack.core.crf_search import SearchStep
    from napari_masktrack.io.writers import LabelWriter
    from napari_masktrack.propagation import FrameResult, Headway
    from napari_masktrack.tracker import Tracker
    from napari_masktrack.training.train import TrainStep

STACKS = {".tif", ".tiff", ".zarr"}
"""Outputs that hold a place for every frame, computed or not."""
COLUMNS = ("frame", "label", "confidence", "from_frame", "agreement")
"""Of the table of confidences; what is not known stays empty in it."""


class Sink:
    """Where the frames of a run go: label masks, and the table of confidences.

    Parameters
    ----------
    writer : LabelWriter
    confidence : Path, optional
        CSV file with one line per frame and object, and the same columns whatever comes; made when a
        frame has come.
    """

    def __init__(self, writer: "LabelWriter", confidence: Path | None = None) -> None:
        self.writer, self.confidence = writer, confidence
        self._rows: list[tuple[int, int, float, int, float | None]] = []
        self._came = self._unreached = 0

    def keep(self, result: "FrameResult") -> None:
        """Write one frame."""
        self.writer.write(result.frame, result.labels)
        self._came += 1
        self._unreached += not result.source
        if self.confidence is not None:
            self._rows += [
                (result.frame, label, value, result.source[label], result.agreement.get(label))
                for label, value in sorted(result.confidence.items())
            ]

    def learned(self, tracker: "Tracker") -> None:
        """Take note that the tracker was fine-tuned; only a session keeps its weights."""

    @contextmanager
    def kept(self, terminal: Terminal) -> Iterator[None]:
        """Complete the files after the block, whatever happened in it; an error tells what was kept.

        Raises
        ------
        WorkError
            The disk refused, or the block ended, but not every frame came.
        """
        try:
            yield
        except BaseException as error:
            with terminal.finishing():
                masks, refused = self._complete()
            error.add_note(" ".join([masks.removeprefix(f"{error} "), *refused]))
            raise
        with terminal.finishing():
            masks, refused = self._complete()
        if masks != self.summary() or refused:
            stop, text = terminal.interruption(), " ".join([masks, *refused])
            if stop is None:
                raise WorkError(text)
            stop.add_note(text)
            raise stop
        if self.writer.missing:
            raise WorkError(f"Not every frame was computed; report this. {self.summary()}")

    def summary(self) -> str:
        """Say how many frames were written, and where, and how many of them nothing was carried to."""
        indices, missing = self.writer.layout.indices, set(self.writer.missing)
        written = [frame for frame in indices if frame not in missing]
        if not written:
            return "No frame was written."
        where = shown(self.writer.path)
        if not missing:
            return f"{len(written)} frame(s) were written to {where}{self._without_masks()}."
        rest = "; the others are 0 there" if self.writer.path.suffix.lower() in STACKS else ""
        return (
            f"{len(written)} of {len(indices)} frames ({_spans(written)}) were written to "
            f"{where}{self._without_masks()}{rest}."
        )

    def _without_masks(self) -> str:
        if not self._unreached:
            return ""
        return f", {self._unreached} of them without masks, because none was carried there"

    def _complete(self) -> tuple[str, list[str]]:
        """Complete all files; says where the masks are, and what else the disk refused."""
        try:
            masks = _refused(self.writer.close)
        finally:
            refused = [said for said in map(_refused, self._tables()) if said]
        return masks or self.summary(), refused

    def _tables(self) -> list[Callable[[], object]]:
        """Give what writes the tables, when no more frames come."""
        if self.confidence is None or not self._came:
            return []
        return [partial(self._save_confidence, self.confidence)]

    def _save_confidence(self, path: Path) -> None:
        from napari_masktrack.io.exporters import save_metrics_csv
        from napari_masktrack.io.targets import replacing, saving

        if self._rows:
            rows = sorted(self._rows, key=lambda row: row[:2])
            save_metrics_csv(path, (dict(zip(COLUMNS, row, strict=True)) for row in rows))
            return
        with saving(path), replacing(path) as part:
            part.write_text(",".join(COLUMNS) + "\n", encoding="utf-8", newline="\n")


def follow_training(
    steps: "Iterator[TrainStep]",
    terminal: Terminal,
    *,
    title: str,
    seconds: float | None = None,
    least: int = 0,
) -> "TrainStep | None":
    """Run a training to its end and show how far it is.

    Parameters
    ----------
    steps : iterator of TrainStep
    terminal : Terminal
    title : str
        Stands before the bar.
    seconds : float, optional
        After this time the training ends by itself,
    least : int
        but not before so many steps.

    Returns
    -------
    TrainStep or None
        The last step; None if there was none.

    Raises
    ------
    InputError
        What was handed over cannot be used, found before the first step.
    WorkError
        The training failed later.
    """
    last: TrainStep | None = None
    try:
        with terminal.progress(title) as progress, _closing(steps):
            while True:
                with terminal.finishing():
                    step = next(steps, None)
                if step is None:
                    return last
                last = step
                terminal.check()
                share = share_done(last.step, last.steps, seconds=last.seconds, limit=seconds, least=least)
                progress.update(min(share, 1.0), f"step {last.step} of {last.steps}, loss {last.loss:.3f}")
    except InputError as error:
        if last is None:
            raise
        raise WorkError(str(error)) from error


def fine_tune(
    steps: "Iterator[TrainStep]", settings: FinetuneConfig, terminal: Terminal, *, what: str = ""
) -> bool:
    """Run a fine-tuning to its end, and say how it went; tells whether there was something to learn from.

    Parameters
    ----------
    steps : iterator of TrainStep
    settings : FinetuneConfig
    terminal : Terminal
    what : str
        Names a network that is not the main one.
    """
    last = follow_training(
        steps, terminal, title="Fine-tuning", seconds=settings.seconds, least=settings.least
    )
    name = f" {what}" if what else ""
    if last is None:
        from napari_masktrack.training.lessons import NOT_LEARNED

        terminal.complain(f"Not fine-tuned{name}: {NOT_LEARNED}")
    else:
        took = duration(last.seconds)
        terminal.complain(f"Fine-tuned{name}: {last.step} steps in {took}, loss {last.loss:.3f}.")
    return last is not None


def fit_crf(steps: "Iterator[SearchStep]", terminal: Terminal) -> None:
    """Run a search for the CRF's parameters to its end, and say what it found.

    Raises
    ------
    WorkError
        A frame could not be read or computed.
    """
    from napari_masktrack.core.crf_search import SEARCHED

    first = last = None
    try:
        with terminal.progress("Fitting the CRF") as progress, _closing(steps):
            for last in steps:
                first = first or last
                terminal.check()
                progress.update(last.step / last.steps, f"try {last.step} of {last.steps}")
    except InputError as error:
        raise WorkError(str(error)) from error
    if first is None or last is None:
        terminal.complain("The CRF stays as in the paper: no painted mask could be carried over two frames.")
        return
    found = ", ".join(f"{name} {getattr(last.config, name):.3g}" for name in SEARCHED)
    terminal.complain(
        f"CRF: {found}; J on the painted frames {first.similarity:.3f} before, {last.similarity:.3f} now."
    )


def carry(results: "Iterator[FrameResult | Headway]", sink: Sink, terminal: Terminal) -> None:
    """Run a propagation to its end; every frame is written as it comes.

    Parameters
    ----------
    results : iterator of FrameResult and Headway
        The bar follows the `Headway`: it moves also while frames wait for their other half.
    sink : Sink
    terminal : Terminal

    Raises
    ------
    WorkError
        A frame could not be read, computed or written.
    """
    from napari_masktrack.propagation import Headway

    total, done, share = sink.writer.layout.frames, 0, 0.0
    try:
        with terminal.progress("Propagating") as progress, _closing(results):
            for item in results:
                if isinstance(item, Headway):
                    share = item.share
                else:
                    with terminal.finishing():
                        sink.keep(item)
                    done += 1
                terminal.check()
                progress.update(share, f"{done} of {total} frames")
    except InputError as error:
        raise WorkError(str(error)) from error


def _refused(write: Callable[[], object]) -> str:
    """Write; gives what went wrong in words."""
    try:
        write()
    except MaskTrackError as error:
        return str(error)
    return ""


@contextmanager
def _closing(items: Iterator[object]) -> Iterator[None]:
    """Let a generator end its threads and files now, not when it is forgotten."""
    try:
        yield
    finally:
        if isinstance(items, Generator):
            items.close()


def _spans(frames: list[int]) -> str:
    """Write sorted indices as spans: 0 to 3, 7, 9 to 12."""
    spans: list[list[int]] = []
    for frame in frames:
        if spans and spans[-1][1] == frame - 1:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    texts = [f"{first} to {last}" if first < last else f"{first}" for first, last in spans]
    return ", ".join(texts[:4]) + (", ..." if len(texts) > 4 else "")
