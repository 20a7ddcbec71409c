"""The dock widget and what napari calls; Qt is loaded only when a widget is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_masktrack.widgets.demo import open_demo
    from napari_masktrack.widgets.dock import MaskTrackDock

__all__ = ["MaskTrackDock", "open_demo"]

_HOMES = {"MaskTrackDock": "dock", "open_demo": "demo"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
