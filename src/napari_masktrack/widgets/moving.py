"""Go on with the session of a dock in another folder, which is filled in the dock's thread."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_masktrack.errors import InputError
from napari_masktrack.io.session_copy import SessionCopy
from napari_masktrack.layers.create import notes_of
from napari_masktrack.layers.notes import remember_session
from napari_masktrack.widgets.engine import Phase

if TYPE_CHECKING:
    from napari_masktrack.widgets.sessions import Sessions


def save_as(sessions: "Sessions", folder: Path) -> None:
    """Copy the session while the user goes on painting, then save there; the former folder stays.

    Raises
    ------
    InputError
        Something is being worked on, there is no session, or the folder cannot be used.
    """
    session, dock = sessions.session, sessions.dock
    dock.runner.require_idle()
    if session is None:
        raise InputError("There is no session yet; press 'Save session' first.")
    sessions.saving.finish()
    sessions.flush()
    copy, before = SessionCopy(session, folder), session.folder

    def work() -> Iterator[Any]:
        yield Phase("Copying the session")
        yield from copy.run()

    def end(ending: str) -> None:
        if ending != "done":
            return  # the thread took the copy away
        if sessions.session is not session:
            copy.drop()
            return
        dock.attempt(go_on)

    def go_on() -> None:
        sessions.saving.finish()
        sessions.flush()
        session.go_on_in(copy)
        remember_session(dock.workspace.require_movie(), session.folder)
        for layer in dock.viewer.layers:
            if notes_of(layer).get("session") == str(before.absolute()):
                notes_of(layer)["session"] = str(session.folder.absolute())
        sessions.say_where()
        dock.bar.say(f"Saved in {session.folder} from now on; {before} stays as it was.", "good")

    dock.runner.start(work, "copying the session", lambda _: None, then=end)
