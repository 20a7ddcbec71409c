"""What a session has that begins while something is under way, or whose window goes at once."""

from napari_masktrack.errors import OutputError
from napari_masktrack.io.session import Session


def test_a_session_that_begins_while_the_result_layer_is_made_holds_the_result(
    dock, paint, finish, qtbot, tmp_path
):
    paint(dock, 0)
    steps = dock.workspace.show_result()
    next(steps)
    dock.sessions.create(tmp_path / "mine.masktrack")
    qtbot.waitUntil(lambda: dock.workspace.session is not None)
    list(steps)
    assert dock.workspace.result.session is dock.workspace.session
    dock.bar.run.click()
    finish(dock)
    dock.sessions.flush()
    assert set(dock.workspace.session.results.written) == set(range(8))


def test_settings_of_a_window_that_is_closed_are_kept(dock, paint, qtbot, tmp_path):
    paint(dock, 0)
    dock.sessions.create(tmp_path / "mine.masktrack")
    qtbot.waitUntil(lambda: dock.workspace.session is not None)
    dock.propagate.crf_search.setChecked(True)
    dock.hide()  # all that a dock sees when napari's window is closed by its X
    settings = Session.open(tmp_path / "mine.masktrack", read_only=True).settings
    assert settings["crf_search"] is True


def test_the_dock_does_not_say_that_work_is_saved_while_it_is_not(
    saving, dock, paint, finish, qtbot, monkeypatch
):
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.workspace.session is not None, timeout=20_000)

    def full(*_, **__):
        raise OutputError("The disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(Session, "save_annotation", full)
        paint(dock, 4)
        where = dock.save.where
        qtbot.waitUntil(
            lambda: where.text().startswith("Not all is saved: The disk is full."), timeout=20_000
        )
        dock.bar.run.click()
        finish(dock)
        assert "Done, but not saved: The disk is full." in dock.bar.message.text()
    qtbot.waitUntil(lambda: where.text().startswith("Saved as you work"), timeout=20_000)
    dock.bar.run.click()
    finish(dock)
    assert "not saved" not in dock.bar.message.text()
