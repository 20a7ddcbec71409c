"""Which layers a session saves; one that left is watched until its drawings are kept."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from napari.layers import Labels, Layer, Shapes

from napari_masktrack.errors import MaskTrackError
from napari_masktrack.layers.create import role_of
from napari_masktrack.layers.index import AnnotationIndex
from napari_masktrack.layers.session import SessionLink

Followed: TypeAlias = AnnotationIndex | Labels | Shapes

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
        self._held: list[Followed] = []
        self._wanted: list[Followed] = []
        self._again: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether all layers are saved that are drawn on, and no other."""
        return self._again is None

    def follow(self, drawn: Iterable[AnnotationIndex | Layer], restored: Sequence[Layer] = ()) -> None:
        """Save these layers from now on; what was on others leaves the session and is kept beside it.

        What the disk refuses is tried again by `retry`; until then a layer that left is still watched,
        and the one that takes its place is not.

        Parameters
        ----------
        drawn : iterable of AnnotationIndex or napari layer
            As of `SessionLink.watch`.
        restored : sequence of napari layers
            Those of which the session holds everything.
        """
        self._wanted = [each for each in drawn if isinstance(each, Followed)]
        self._again = None
        layers = [_layer(each) for each in self._wanted]
        for each in [each for each in self._held if _layer(each) not in layers]:
            self._attempt(lambda each=each: self._let_go(each), each)
        held = {role_of(_layer(each)) for each in self._held}
        for each, layer in zip(self._wanted, layers, strict=True):
            if each not in self._held and not (self._again and role_of(layer) in held):
                saved = any(layer is other for other in restored)
                self._attempt(lambda each=each, saved=saved: self._take(each, saved=saved), each)

    def retry(self, *, now: bool = False) -> None:
        """Try again what failed, if it is time for that."""
        if self._again is not None and (now or self._clock() >= self._again):
            self.follow(self._wanted)

    def _let_go(self, drawn: Followed) -> None:
        layer = _layer(drawn)
        kept = self._link.unwatch(layer, gone=True)
        self._held.remove(drawn)
        if kept is not None:
            self._say(f"What was drawn on {layer.name!r} left the session; it is kept in {kept}.")

    def _take(self, drawn: Followed, *, saved: bool) -> None:
        self._link.watch(drawn, saved=saved)
        self._held = [each for each in self._held if _layer(each) is not _layer(drawn)] + [drawn]

    def _attempt(self, act: Callable[[], None], drawn: Followed) -> None:
        try:
            act()
        except MaskTrackError as error:
            self._again, name = self._clock() + RETRY, _layer(drawn).name
            left = drawn in self._held
            then = "stays in the session, and what takes its place is not saved" if left else "is not saved"
            self._complain(f"{error} Until then {name!r} {then}; this is tried again by itself.")


def _layer(drawn: Followed) -> Labels | Shapes:
    """Give the layer that is followed."""
    return drawn.layer if isinstance(drawn, AnnotationIndex) else drawn
