"""What is set on napari's preferences page."""

import os
import re
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

from napari_masktrack.io.session import SESSION_SUFFIX

PLUGIN = "napari-masktrack"


@dataclass(frozen=True)
class Preferences:
    """Preferences as they were when the dock was opened.

    Attributes
    ----------
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    model_folder : Path or None
        A folder of weights that are offered besides the built-in ones.
    autosave : bool
        Whether work is saved as one works, also where nobody chose a folder.
    session_folder : Path or None
        Where sessions are begun for which nobody chose a folder.
    """

    device: str = "auto"
    model_folder: Path | None = None
    autosave: bool = True
    session_folder: Path | None = None

    @property
    def sessions(self) -> Path:
        """The folder of sessions for which nobody chose one."""
        from platformdirs import user_data_path

        return self.session_folder or user_data_path(PLUGIN, appauthor=False) / "sessions"

    @classmethod
    def read(cls) -> Self:
        """Read them from napari; the defaults where this napari has no preferences of plugins."""
        try:
            from napari.settings import get_plugin_settings
        except ImportError:
            return cls()
        try:
            values = get_plugin_settings(PLUGIN).general
        except (AttributeError, KeyError):
            return cls()
        models, sessions = _folder(values.model_folder), _folder(values.session_folder)
        return cls(str(values.device), models, bool(values.autosave), sessions)


def _folder(typed: object) -> Path | None:
    """Read a folder as it is typed: ~ is the user's own, in which all lie that do not begin at the root."""
    text = str(typed).strip()
    return Path.home() / os.path.expanduser(text) if text else None


def open_sessions_here() -> None:
    """Let napari open session folders with this plugin, unless the user chose otherwise.

    napari offers a folder to every plugin that takes any, and asks which one is meant. So this is noted
    among its preferences for files, for names that end in `SESSION_SUFFIX` only.
    """
    from napari.settings import get_settings

    plugins, pattern = get_settings().plugins, f"*{SESSION_SUFFIX}/"
    if pattern not in plugins.extension2reader:
        plugins.extension2reader = {**plugins.extension2reader, pattern: PLUGIN}


def free_folder(parent: Path, movie: str) -> Path:
    """Name a new session after a movie and the time."""
    name = re.sub(r"[^\w.-]+", "_", movie)[:60]
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(path for each in names if not (path := parent / f"{each}{SESSION_SUFFIX}").exists())
