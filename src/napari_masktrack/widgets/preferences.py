"""What is set on napari's preferences page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
        models, sessions = (str(each).strip() for each in (values.model_folder, values.session_folder))
        return cls(
            str(values.device),
            Path(models) if models else None,
            bool(values.autosave),
            Path(sessions) if sessions else None,
        )
