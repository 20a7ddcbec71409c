"""What a dock works on: one movie of one viewer, its drawings, its result, its session."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_masktrack.errors import InputError, MaskTrackError
from napari_masktrack.io.session import Session
from napari_masktrack.layers.create import belongs_to
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.layers.placement import PLACING, lies_at, over, place
from napari_masktrack.layers.probability import ProbabilityStore
from napari_masktrack.layers.result import ResultStore
from napari_masktrack.layers.session import restore_look
from napari_masktrack.layers.stored import IN_MEMORY_UP_TO, StoredFrames
from napari_masktrack.widgets.drawings import Drawings


class Workspace(QObject):
    """The state of one dock; nothing of it is shared between viewers.

    Attributes
    ----------
    leaving : Signal
        The movie will be another one, another plane of it, or none; drawings and result are still there.
    movie_changed : Signal
        Another movie, or none: `drawings` and `result` are new.
    channels_changed : Signal
        Other channels of the same movie are looked at; all else stays.
    result_changed : Signal
        Frames were written, taken back, or the result layer is gone.
    in_memory_up_to : int
        Bytes from which on a result lies on disk.
    """

    leaving = Signal()
    movie_changed = Signal()
    channels_changed = Signal()
    result_changed = Signal()
    problem = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.in_memory_up_to = IN_MEMORY_UP_TO
        self.view: LayerMovie | None = None
        self.drawings: Drawings | None = None
        self.result: ResultStore | None = None
        self.probability: ProbabilityStore | None = None
        self.session: Session | None = None
        self._placement: dict[str, Any] = {}
        viewer.layers.events.removed.connect(self._forget_layer)

    def set_movie(self, view: LayerMovie | None) -> None:
        """Work on another movie, or look at the same one with other channels."""
        if view is not None and view.lies_like(self.view):
            self._look_at(view)
            return
        if self.view is not None:
            self.leaving.emit()
            self._connect_placement(self.view, connect=False)
        if self.drawings is not None:
            self.drawings.release()
            self.drawings.deleteLater()
        self.close_result()
        self.view = view
        self.drawings = None if view is None else Drawings(self.viewer, view, self)
        if self.drawings is not None:
            self.drawings.problem.connect(self.problem)
        if view is not None:
            self._connect_placement(view, connect=True)
        self.movie_changed.emit()

    def _look_at(self, view: LayerMovie) -> None:
        """Look at the channels of this view; all that was drawn and found stays."""
        self.view = view
        for part in (self.drawings, self.result, self.probability):
            if part is not None:
                part.view = view
        self.channels_changed.emit()

    def _connect_placement(self, view: LayerMovie, *, connect: bool) -> None:
        """Follow the movie's layer when it gets another place or scale, or stop following it."""
        self._placement = over(view)
        for name in PLACING:
            event = getattr(view.layer.events, name)
            (event.connect if connect else event.disconnect)(self._follow_placement)

    def _follow_placement(self, _event: Any = None) -> None:
        """Put what lay over the movie over it again."""
        if self.view is None:
            return
        former, self._placement = self._placement, over(self.view)
        shown = self.viewer.layers
        for layer in shown:
            if belongs_to(layer, self.view, shown) and lies_at(layer, former):
                place(layer, self._placement)

    @property
    def frame(self) -> int | None:
        """The frame that the viewer shows."""
        return None if self.view is None else self.view.frame_at(self.viewer.dims)

    def go_to(self, frame: int) -> None:
        """Show a frame."""
        if self.view is not None:
            self.view.go_to(self.viewer.dims, frame)

    def require_movie(self) -> LayerMovie:
        """Give the movie.

        Raises
        ------
        InputError
            None is chosen.
        """
        if self.view is None:
            raise InputError("There is no movie yet; open an image with a time or depth axis first.")
        return self.view

    def require_drawings(self) -> Drawings:
        """Give the drawings; raises as `require_movie`."""
        self.require_movie()
        assert self.drawings is not None
        return self.drawings

    def ensure_result(self) -> ResultStore:
        """Give the result; make its layer if there is none. Raises as `require_movie`."""
        for _ in self.show_result():
            pass
        assert self.result is not None
        return self.result

    def ensure_probability(self) -> ProbabilityStore:
        """Give the probabilities; make their layer if there is none. Raises as `require_movie`."""
        if self.probability is None:
            self.probability = ProbabilityStore(
                self.require_movie(), session=self.session, in_memory_up_to=self.in_memory_up_to
            )
            self._add(self.probability.layer)
            self._put_below_masks(self.probability.layer)
        return self.probability

    def show_result(self, *, probability: bool = False) -> Iterator[None]:
        """As `ensure_result`, in steps between which the window may live: napari takes long for a layer.

        Parameters
        ----------
        probability : bool, default: False
            Whether to go on as `ensure_probability`.
        """
        view = self.require_movie()
        if self.result is None:
            made = ResultStore(view, session=self.session, in_memory_up_to=self.in_memory_up_to)
            try:
                yield
            except GeneratorExit:
                made.close(gone=True)
                raise
            if made.session is not self.session:  # one began meanwhile
                made.close(gone=True)
                made = ResultStore(view, session=self.session, in_memory_up_to=self.in_memory_up_to)
            self.result = made
            yield from self._adding(made.layer)
            self.result_changed.emit()
        if probability:
            yield
            self.ensure_probability()

    def read_results(self, session: Session) -> list[StoredFrames]:
        """Open the masks and probabilities of a session, for `restore_results`; nothing is changed yet.

        Raises
        ------
        InputError
            They cannot be read now.
        """
        view, limit, made = self.require_movie(), self.in_memory_up_to, list[StoredFrames]()
        try:
            if session.results.written:
                made.append(ResultStore(view, session=session, in_memory_up_to=limit))
            if session.probabilities.written:
                made.append(ProbabilityStore(view, session=session, in_memory_up_to=limit))
        except MaskTrackError:
            for store in made:
                store.close(gone=True)
            raise
        return made

    def restore_results(self, session: Session, stores: Sequence[StoredFrames]) -> Iterator[int]:
        """Show what `read_results` opened in new layers; the frames are read as one goes on."""
        for store in stores:
            if isinstance(store, ResultStore):
                self.result = store
                restore_look(session, "result", store.layer)
                self._add(store.layer)
            elif isinstance(store, ProbabilityStore):
                self.probability = store
                restore_look(session, "probability", store.layer)
                self._add(store.layer)
                self._put_below_masks(store.layer)
        return chain(*[store.restore() for store in stores])

    def require_restored(self) -> None:
        """Refuse to begin something while results of a session are being read, or a propagation taken back.

        Raises
        ------
        InputError
            They are.
        """
        stores = [store for store in (self.result, self.probability) if store is not None]
        if any(store.is_reverting for store in stores):
            raise InputError("The last propagation is being taken back; wait a moment, then try again.")
        left = sum(store.unread for store in stores)
        if left:
            raise InputError(
                f"The masks of the session are still being read, {left} frames are left; wait a moment, then "
                f"try again."
            )

    def _add(self, layer: Layer) -> None:
        for _ in self._adding(layer):
            pass

    def _adding(self, layer: Layer) -> Iterator[None]:
        """Show a layer; then, in a second step, go on with the one that the user works on."""
        active = self.viewer.layers.selection.active
        shown, layer.visible = layer.visible, False  # it is drawn in the second step, too
        self.viewer.add_layer(layer)
        try:
            yield
        finally:
            layer.visible = shown
        if active is not None and active in self.viewer.layers:
            self.viewer.layers.selection.active = active

    def _put_below_masks(self, layer: Layer) -> None:
        """Move a picture from the top to just above the movie, so that it covers no masks."""
        layers = self.viewer.layers
        layers.move(layers.index(layer), layers.index(self.require_movie().layer) + 1)

    def close_result(self, *, gone: bool = False) -> None:
        """Let the result and the probabilities go; their layers stay, unless the result's is gone."""
        if self.probability is not None:
            self.probability.close()
            self.probability = None
        if self.result is not None:
            self.result.close(gone=gone)
            self.result = None
            self.result_changed.emit()

    def release(self) -> None:
        """Stop following the viewer."""
        self.viewer.layers.events.removed.disconnect(self._forget_layer)
        if self.view is not None:
            self._connect_placement(self.view, connect=False)
        if self.drawings is not None:
            self.drawings.release()
        for store in (self.result, self.probability):
            if store is not None:
                store.close()
        if self.session is not None:
            self.session.close()
            self.session = None

    def _forget_layer(self, event: Any) -> None:
        layer: Layer = event.value
        try:
            if self.result is not None and layer is self.result.layer:
                self.close_result(gone=True)
            if self.probability is not None and layer is self.probability.layer:
                self.probability.close(gone=True)
                self.probability = None
                self.result_changed.emit()
            if self.drawings is not None:
                for role, each in list(self.drawings.layers.items()):
                    if each is layer:
                        self.drawings.take(role, None)
        except MaskTrackError as error:
            self.problem.emit(str(error))
