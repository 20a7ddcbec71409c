"""Long work on sessions and results leaves the window alive; where it would be torn, it is refused."""

import threading

import numpy as np
import pytest

from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.widgets import reopening, sessions


@pytest.fixture
def folder(dock, truth, tmp_path):
    folder = tmp_path / "mine.masktrack"
    with Session.create(folder, MovieReference.of(dock.workspace.view.movie)) as session:
        session.save_annotation(1, truth.frame(1).labels)
    return folder


@pytest.fixture
def reading(monkeypatch):
    """In which threads sessions were read; reading waits until it is let go."""
    read, threads, go_on = reopening.read_drawings, [], threading.Event()

    def slowly(*given):
        threads.append(threading.current_thread())
        go_on.wait(10)
        return read(*given)

    monkeypatch.setattr(reopening, "read_drawings", slowly)
    yield threads, go_on
    go_on.set()


def choose(monkeypatch, name, path):
    monkeypatch.setattr(sessions.QFileDialog, name, lambda *_: path if "Existing" in name else (path, ""))


def test_a_session_is_read_in_a_thread(dock, folder, reading, finish, qtbot, monkeypatch):
    threads, go_on = reading
    choose(monkeypatch, "getExistingDirectory", str(folder))
    dock.commands.do("open")
    qtbot.waitUntil(lambda: bool(threads))
    assert threads != [threading.main_thread()]
    qtbot.waitUntil(lambda: "Opening" in dock.bar.bar.format())
    assert dock.sessions.session is None
    go_on.set()
    finish(dock)
    assert dock.sessions.session.folder == folder
    assert dock.workspace.drawings.indices["masks"].frames == (1,)


def test_opening_can_be_cancelled_and_changes_nothing(dock, folder, reading, qtbot, monkeypatch):
    threads, go_on = reading
    dock.sessions.reopening.open_soon(folder)
    qtbot.waitUntil(lambda: bool(threads))
    dock.bar.cancel.click()
    go_on.set()
    qtbot.wait(200)
    assert dock.sessions.session is None
    assert dock.workspace.drawings.layers == {}


def test_a_session_that_cannot_be_read_is_said_in_words(dock, finish, tmp_path):
    dock.sessions.reopening.open_soon(tmp_path / "nothing")
    finish(dock)
    assert "There is no session" in dock.bar.message.text()
    assert dock.bar.run.isEnabled()


def test_a_chosen_place_for_a_session_is_taken_and_the_movie_is_looked_at_in_a_thread(
    dock, paint, qtbot, monkeypatch, tmp_path
):
    threads, of = [], MovieReference.of

    def look(*given, **named):
        threads.append(threading.current_thread())
        return of(*given, **named)

    monkeypatch.setattr(MovieReference, "of", look)
    choose(monkeypatch, "getSaveFileName", str(tmp_path / "chosen"))
    paint(dock, 2)
    dock.sessions.create_by_itself()
    dock.commands.do("save")
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    qtbot.wait(200)
    assert dock.sessions.session.folder == tmp_path / "chosen.masktrack"
    assert str(dock.sessions.session.folder) in dock.bar.message.text()
    assert threading.main_thread() not in threads
    dock.sessions.flush()
    with Session.open(tmp_path / "chosen.masktrack", read_only=True) as session:
        assert session.annotated_frames() == (2,)


def test_a_propagation_is_taken_back_in_slices_during_which_nothing_else_begins(dock, paint, finish):
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    before = dock.workspace.result.labels(3)
    paint(dock, 3)
    dock.bar.run.click()
    finish(dock)
    dock.commands.do("revert")
    dock.bar.run.click()
    assert "is being taken back; wait" in dock.bar.message.text()
    assert not dock.runner.is_running
    finish(dock)
    assert "Taken back on 8 frames" in dock.bar.message.text()
    assert np.array_equal(dock.workspace.result.labels(3), before)
