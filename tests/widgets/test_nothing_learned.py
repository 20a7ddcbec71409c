"""Where fine-tuning found nothing to learn from, nothing is kept as learned."""

import pytest

from napari_masktrack.training.lessons import NOT_LEARNED, SEVERAL
from napari_masktrack.widgets.closing import done


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


def test_the_window_gives_both_reasons_why_nothing_was_learned():
    said = done({"carried": 3}, learned=False)
    assert f"Nothing was learned: {NOT_LEARNED} Review" in said
    assert f"fewer than {SEVERAL} objects" in said
    assert "not sure" in said
