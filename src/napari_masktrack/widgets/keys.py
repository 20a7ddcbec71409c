"""Single keys while the dock is open, on the layers that it knows and on the viewer."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_masktrack.widgets.dock import MaskTrackDock

KEYS = {
    "J": ("use result", "use this frame of the result as your annotation"),
    "N": ("next", "go to the frame where help is worth most"),
    "H": ("previous annotated", "go to the annotated frame before"),
    "K": ("next annotated", "go to the annotated frame after"),
}
"""Free on the viewer and on all layers of napari."""


class Key:
    """What one key does, and what it did before.

    Parameters
    ----------
    press : callable
        Takes nothing.
    text : str
        What napari shows of it.
    """

    def __init__(self, press: Callable[[], object], text: str) -> None:
        self._press = press
        # napari looks at both, as of a function, to show what keys do, and at each key that is pressed
        self.__name__, self.__doc__ = "masktrack", f"MaskTrack: {text}"
        self.former: Any = None

    def __call__(self, _viewer: Any) -> None:
        """Be pressed."""
        self._press()


class KeyBindings:
    """Bind the keys to a viewer; `release` gives each back to what it was bound to."""

    def __init__(self, dock: "MaskTrackDock") -> None:
        self._dock = dock
        self._viewer = dock.viewer
        self._keys = {name: Key(partial(self._press, what), text) for name, (what, text) in KEYS.items()}
        for name, key in self._keys.items():
            key.former = self._viewer.bind_key(name, key, overwrite=True)

    def release(self) -> None:
        """Free the keys, also where they were bound anew since, as by another dock."""
        for name, key in self._keys.items():
            left = _without(key, self._viewer.bind_key(name, None))
            if left is not None:
                self._viewer.bind_key(name, left)

    def _press(self, what: str) -> None:
        if what in ("next annotated", "previous annotated"):
            self._step(1 if what.startswith("next") else -1)
        else:
            self._dock.attempt(lambda: self._dock.commands.do(what))

    def _step(self, direction: int) -> None:
        workspace = self._dock.workspace
        frame, drawings = workspace.frame, workspace.drawings
        if frame is None or drawings is None:
            return
        ahead = [each for each in drawings.frames if (each - frame) * direction > 0]
        if ahead:
            workspace.go_to(min(ahead, key=lambda each: abs(each - frame)))


def _without(key: Key, bound: Any) -> Any:
    """Take a key out of what is bound and of all that this puts back one day."""
    if bound is key:
        return key.former
    if isinstance(bound, Key):
        bound.former = _without(key, bound.former)
    return bound
