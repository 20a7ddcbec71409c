"""Starts the long work of a dock and puts what comes back where it belongs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from napari.utils import progress
from qtpy.QtCore import QObject, Signal

from napari_masktrack.errors import InputError
from napari_masktrack.propagation import Headway
from napari_masktrack.widgets.engine import Described, Engine, Phase, Plan
from napari_masktrack.widgets.quiet import no_collections
from napari_masktrack.widgets.run_bar import RunBar
from napari_masktrack.widgets.worker import Job
from napari_masktrack.widgets.workspace import Workspace

TELL = 0.2
"""Seconds between two looks of napari at how far the work is: at each it redraws what is open."""


class Runner(QObject):
    """One job at a time, with progress in the dock and in napari.

    Attributes
    ----------
    trained : Signal(object)
        A `TrainStep`.
    searched : Signal(object)
        A `SearchStep`, of the search for the CRF's parameters.
    carrying : Signal
        Frames come now that will be written into the result.
    framed : Signal(object)
        A `FrameResult` that is in the layer now.
    ended : Signal(str, str)
        As of `Job`; what is to be done after some work alone is for the `then` of `start`.
    """

    trained = Signal(object)
    searched = Signal(object)
    carrying = Signal()
    framed = Signal(object)
    ended = Signal(str, str)

    def __init__(
        self, workspace: Workspace, engine: Engine, bar: RunBar, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.workspace, self.engine, self.bar = workspace, engine, bar
        self.job: Job | None = None
        self.follow: Callable[[], bool] = lambda: False
        self._seconds: float | None = None
        self._least = 0
        self._settings: dict[str, Any] = {}
        self._probability = False
        self._activity: Any = None
        self._shown, self._told = 0, 0.0
        self._writing = False
        self._take: Callable[[Any], None] | None = None
        self._then: Callable[[str], object] | None = None
        bar.cancelled.connect(self.cancel)

    @property
    def is_running(self) -> bool:
        """Whether there is work."""
        return self.job is not None and self.job.is_running

    def require_idle(self) -> None:
        """Refuse to begin something while there is work.

        Raises
        ------
        InputError
            There is work.
        """
        if self.is_running:
            raise InputError("Something is being worked on; wait, or press Cancel, then try again.")

    def run(self, plan: Plan, then: Callable[[str], object]) -> None:
        """Fine-tune and propagate; `then`, and what is raised: as of `start`."""
        self.require_idle()
        self._seconds = None if plan.finetune is None else plan.finetune.seconds
        self._least = 0 if plan.finetune is None else plan.finetune.least
        self._probability = plan.probability
        self._settings = {
            "settings": {
                "finetune": None if plan.finetune is None else asdict(plan.finetune),
                "propagate": None if plan.propagation is None else asdict(plan.propagation),
                "finetune_flow": plan.finetune_flow,
                "crf_search": plan.crf_search,
            }
        }
        layers = self.workspace.show_result(probability=plan.probability)
        title = "fine-tuning and propagation"
        self.start(lambda: self._work(plan), title, self._route, then=then, before=layers)

    def _work(self, plan: Plan) -> Iterator[Any]:
        """Run in the thread, where also that is imported with which the window writes frames to disk."""
        with no_collections():
            import zarr  # noqa: F401
        yield from self.engine.run(plan)

    def start(
        self,
        work: Callable[[], Iterator[Any]],
        title: str,
        take: Callable[[Any], None],
        *,
        then: Callable[[str], object] | None = None,
        before: Iterator[object] | None = None,
    ) -> None:
        """Do any work.

        Parameters
        ----------
        work : callable
            As of `Job`.
        title : str
            What is done, in words for the user.
        take : callable
            Is given, on the main thread, each item that is not a `Phase`.
        then : callable, optional
            Is told how this work ended: 'done', 'cancelled' or 'failed'; a failure is said already.
        before : iterator, optional
            As of `Job.start`.

        Raises
        ------
        InputError
            There is other work.
        """
        self.require_idle()
        for former in self.findChildren(Job):
            if former.thread_ended:
                former.deleteLater()
        # The thread of a cancelled job may still be at its last step, with the same network.
        self.job = Job(work, title=title, after=self.job, parent=self)
        self._take, self._then = take, then
        self.job.arrived.connect(self._arrive)
        self.job.ended.connect(self._end)
        self.bar.set_running(running=True)
        self.bar.begin("Starting", 0)
        self.bar.say("")
        self.job.start(before)

    def cancel(self) -> None:
        """Stop; what is finished stays."""
        if self.job is not None:
            self.job.cancel()

    def release(self, seconds: float = 3.0) -> None:
        """Stop and wait a moment for the thread; the window is closing."""
        if self.job is not None:
            self.job.cancel()
            self.job.wait(seconds)
        self._close_activity()

    def _arrive(self, item: Any) -> None:
        try:
            if isinstance(item, Phase):
                self._begin(item)
            elif self._take is not None:
                self._take(item)
        except Exception as error:  # noqa: BLE001  whatever it is, the next items would meet it, too
            assert self.job is not None
            self.job.fail(error)

    def _begin(self, phase: Phase) -> None:
        seconds = self._seconds if phase.title.startswith("Fine-tuning") else None
        self.bar.begin(phase.title, phase.steps, seconds=seconds, least=0 if seconds is None else self._least)
        self._close_activity()
        self._activity = progress(total=phase.steps, desc=f"MaskTrack: {phase.title}")
        self._shown, self._told = 0, time.monotonic()

    def advance(self) -> None:
        """Take note of one more step."""
        self.bar.advance()
        self._tell()

    def _tell(self) -> None:
        """Let napari know how far the work is, if it was not told just now."""
        if self._activity is not None and time.monotonic() - self._told > TELL:
            before, self._shown, self._told = self._shown, self.bar.value, time.monotonic()
            self._activity.update(self._shown - before)

    def _route(self, item: Any) -> None:
        if isinstance(item, Described):
            self.carrying.emit()
            self.workspace.ensure_result().begin({**item.notes, **self._settings})
            if self._probability:
                self.workspace.ensure_probability()
            if self.workspace.probability is not None:
                self.workspace.probability.begin()
            self._writing = True
        elif isinstance(item, Headway):
            self.bar.reach(item.share)
            self._tell()
        elif hasattr(item, "loss"):
            self.advance()
            self.trained.emit(item)
        elif hasattr(item, "similarity"):
            self.advance()
            self.searched.emit(item)
        else:
            self._write(item)

    def _write(self, item: Any) -> None:
        result = self.workspace.result
        if result is None:  # its layer was deleted meanwhile
            self.cancel()
            self.bar.say("The result layer was deleted, so the work was stopped.")
            return
        dims = self.workspace.viewer.dims
        result.write_frame(item, dims)
        if self.workspace.probability is not None:
            self.workspace.probability.write_frame(item.frame, item.probability, dims)
        self.advance()
        if self.follow():
            self.workspace.go_to(item.frame)
        self.framed.emit(item)

    def _end(self, ending: str, message: str) -> None:
        self._close_activity()
        self.bar.set_running(running=False)
        if self._writing and self.workspace.result is not None:
            self.workspace.result.end()
            self.workspace.result_changed.emit()
        self._writing = False
        then, self._take, self._then = self._then, None, None
        if ending == "failed":
            self.bar.say(message, "error")
        self.ended.emit(ending, message)
        if then is not None:
            then(ending)

    def _close_activity(self) -> None:
        if self._activity is not None:
            self._activity.close()
            self._activity = None
