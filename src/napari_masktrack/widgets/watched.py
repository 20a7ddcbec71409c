"""Which layers a session saves; one that left is watched until its drawings are kept."""

import time
from collections.abc import Callable, Iterable, Sequence

from napari.layers import Labels, Layer, Shapes

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.layers.create import role_of
from napari_masktrack.layers.session import SessionLink

RETRY = 5.0
"""Seconds after which something that failed is tried again."""


class Watched:
    """The layers that are drawn on, as a session knows them.

    Parameters
    ----------
    link : SessionLink
    say, complain : callable
        Take a message for the user.
    clock : callable, optional
        Gives the time in seconds.
    """

    def __init__(
        self,
        link: SessionLink,
        say: Callable[[str], None],
        complain: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link, self._say, self._complain, self._clock = link, say, complain, clock
        self._layers: list[Layer] = []
        self._wanted: list[Layer] = []
        self._again: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether all layers are saved that are drawn on, and no other."""
        return self._again is None

    def follow(self, layers: Iterable[Layer], restored: Sequence[Layer] = ()) -> None:
        """Save these layers from now on; what was on others leaves the session and is kept beside it.

        What the disk refuses is tried again by `retry`; until then a layer that left is still watched,
        and the one that takes its place is not.

        Parameters
        ----------
        layers : iterable of napari layers
        restored : sequence of napari layers
            Those of which the session holds everything.
        """
        self._wanted = [layer for layer in layers if isinstance(layer, Labels | Shapes)]
        self._again = None
        for layer in [each for each in self._layers if each not in self._wanted]:
            self._attempt(lambda layer=layer: self._let_go(layer), layer)
        held = {role_of(each) for each in self._layers}
        for layer in self._wanted:
            if layer not in self._layers and not (self._again and role_of(layer) in held):
                saved = any(layer is each for each in restored)
                self._attempt(lambda layer=layer, saved=saved: self._take(layer, saved=saved), layer)

    def retry(self, *, now: bool = False) -> None:
        """Try again what failed, if it is time for that."""
        if self._again is not None and (now or self._clock() >= self._again):
            self.follow(self._wanted)

    def _let_go(self, layer: Layer) -> None:
        kept = self._link.unwatch(layer, gone=True)
        self._layers.remove(layer)
        if kept is not None:
            self._say(f"What was drawn on {layer.name!r} left the session; it is kept in {kept}.")

    def _take(self, layer: Labels | Shapes, *, saved: bool) -> None:
        self._link.watch(layer, saved=saved)
        self._layers.append(layer)

    def _attempt(self, act: Callable[[], None], layer: Layer) -> None:
        try:
            act()
        except MaskTrackError as error:
            self._again = self._clock() + RETRY
            left = layer in self._layers
            then = "stays in the session, and what takes its place is not saved" if left else "is not saved"
            self._complain(f"{error} Until then {layer.name!r} {then}; this is tried again by itself.")
