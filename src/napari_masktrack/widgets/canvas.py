"""The dock takes room from the canvas: a movie that was seen whole is seen whole again."""

from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QObject, QTimer

NEARLY = 0.08
"""Share by which the zoom may differ: the slider of the frames comes after napari has fitted the movie."""
LATER = 100
"""Milliseconds after which the window has made room for the dock."""


class WholeView(QObject):
    """Fits the layers into what is left of the canvas, unless the user had zoomed or moved.

    To be made before the dock is in the window.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._fitted = _camera(viewer) if _is_fitted(viewer) else None
        self._timer = QTimer(self, singleShot=True, interval=LATER)
        self._timer.timeout.connect(self._fit)

    def follow(self) -> None:
        """Fit soon, now that the dock is shown; only the first time."""
        if self._fitted is not None:
            self._timer.start()

    def _fit(self) -> None:
        fitted, self._fitted = self._fitted, None
        if fitted is not None and np.allclose(_camera(self._viewer), fitted):
            self._viewer.reset_view()


def _is_fitted(viewer: ViewerModel) -> bool:
    """Whether the canvas shows what napari itself would show of the layers."""
    if viewer.dims.ndisplay != 2 or not len(viewer.layers):
        return False
    before = _camera(viewer)
    viewer.reset_view()
    zoom, *centre = _camera(viewer)
    fitted = abs(zoom / before[0] - 1) < NEARLY and np.allclose(centre, before[1:])
    camera = _scene(viewer).camera
    camera.zoom, camera.center = before[0], before[1:]
    return fitted


def _camera(viewer: ViewerModel) -> tuple[float, ...]:
    """Give zoom and centre."""
    camera = _scene(viewer).camera
    return (float(camera.zoom), *map(float, camera.center))


def _scene(viewer: ViewerModel) -> Any:
    return getattr(viewer, "scene", viewer)  # the camera moved there with napari 0.9
