"""A session that begins while the layer of the result is being made gets the result, too."""


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
