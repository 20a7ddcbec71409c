"""Single keys while the dock is open, on the layers that it knows and on the viewer."""

from collections.abc import Callable
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


class KeyBindings:
    """Bind the keys to a viewer; `release` frees them."""

    def __init__(self, dock: "MaskTrackDock") -> None:
        self._dock = dock
        self._viewer = dock.viewer
        for key, (what, text) in KEYS.items():
            self._viewer.bind_key(
                key, _named(lambda _viewer, what=what: self._press(what), text), overwrite=True
            )

    def release(self) -> None:
        """Free the keys."""
        for key in KEYS:
            self._viewer.bind_key(key, None)

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


def _named(function: Callable[[Any], None], text: str) -> Callable[[Any], None]:
    """Give a key's function the description that napari shows."""
    function.__doc__ = f"MaskTrack: {text}"
    return function
