"""Earlier work on a movie, as of before a crash: found, said and offered, never opened unasked."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_masktrack.io.session_search import EarlierSession, earlier_sessions
from napari_masktrack.layers.movie import LayerMovie
from napari_masktrack.widgets.worker import Job

if TYPE_CHECKING:
    from napari_masktrack.widgets.sessions import Sessions


class Earlier:
    """Looks among the sessions that began by themselves.

    Parameters
    ----------
    sessions : Sessions
    """

    def __init__(self, sessions: "Sessions") -> None:
        self._sessions, self.dock = sessions, sessions.dock
        self._job: Job | None = None
        self._found: Path | None = None
        self._said = ""

    def look_for(self, view: LayerMovie) -> None:
        """Look for sessions of a movie, in a thread."""
        self.forget()
        if not self.dock.preferences.sessions.is_dir():
            return
        parent, path, name = self.dock.preferences.sessions, view.layer.source.path, str(view.layer.name)
        frames, shape = len(view), view.movie.shape
        self._job = Job(
            lambda: iter([earlier_sessions(parent, path=path, name=name, frames=frames, shape=shape)]),
            title="looking for earlier work",
        )
        self._job.arrived.connect(self._offer)
        self._job.start()

    def open(self) -> None:
        """Go on with what was found.

        Raises
        ------
        MaskTrackError
            Other work is under way, or what is drawn cannot be saved.
        """
        self.dock.runner.require_idle()
        if self._found is not None:
            self._sessions.reopening.open_soon(self._found)

    def forget(self) -> None:
        """Offer nothing any more: there is a session now, or another movie."""
        if self._job is not None:
            self._job.cancel()
        self._job = self._found = None
        self.dock.save.set_earlier("")
        self.dock.bar.unsay(self._said)
        self._said = ""

    def _offer(self, found: Sequence[EarlierSession]) -> None:
        if not found or self._sessions.session is not None:
            return
        newest = found[0]
        self._found = newest.folder
        said = f"There is work on this movie of {moment(newest.saved)}"
        said += " (interrupted)." if newest.interrupted else "."
        self.dock.save.set_earlier(said)
        self.dock.folds["6  Save"].set_open()
        self._said = f"{said} 'Open it' in 6 Save goes on with it."
        self.dock.bar.say(self._said)


def moment(seconds: float) -> str:
    """Say a time: of today without the day."""
    then, now = time.localtime(seconds), time.localtime()
    return time.strftime("%H:%M" if then[:3] == now[:3] else "%Y-%m-%d %H:%M", then)
