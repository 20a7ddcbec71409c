"""OpenCV, imported late and without letting its bundled Qt disturb ours."""

import os
from functools import cache
from types import ModuleType

_KEPT = ("QT_QPA_PLATFORM_PLUGIN_PATH", "QT_QPA_FONTDIR")


@cache
def cv2() -> ModuleType:
    """Return OpenCV; the variables that its Linux wheel overwrites on import keep their values."""
    before = {name: os.environ.get(name) for name in _KEPT}
    import cv2 as library

    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return library
