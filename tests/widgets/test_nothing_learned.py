"""Where fine-tuning found nothing to learn from, nothing is kept as learned."""

import pytest


@pytest.mark.parametrize("learns", [True, False])
def test_weights_are_kept_only_where_something_was_learned(
    saving, dock, paint, finish, qtbot, tracker, monkeypatch, learns
):
    if not learns:
        monkeypatch.setattr(tracker, "finetune", lambda *_, **__: (step for step in ()))
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    session = dock.sessions.session
    dock.bar.run.click()
    finish(dock)
    assert ("Nothing was learned" in dock.bar.message.text()) != learns
    assert session.weights.is_file() == learns
