"""Whoever leaves a movie while its masks are still being read waits for nothing and loses nothing."""

import time

import numpy as np
import pytest

from napari_masktrack.io.session_results import LabelStore

from .conftest import press


@pytest.fixture
def worked(saving, dock, paint, finish, qtbot):
    """A dock with a session, masks and probabilities."""
    dock.finetune.set_value("off")
    dock.propagate.probability.setChecked(True)
    paint(dock, 0)
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    dock.bar.run.click()
    finish(dock)
    dock.viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="other")
    return dock


@pytest.fixture
def reads(monkeypatch):
    """The frames that are read, from a disk so slow that others wait while it gives one."""

    def read(self, frame):
        found.append(frame)
        time.sleep(0.03)
        return usual(self, frame)

    found, usual = [], LabelStore.read
    monkeypatch.setattr(LabelStore, "read", read)
    return found


def choose(dock, name):
    dock.movie.layer.set_value(dock.viewer.layers[name])


def come_back(dock, qtbot):
    """Choose the movie again; its masks are being read then."""
    choose(dock, "cells")
    qtbot.waitUntil(lambda: dock.workspace.result is not None and 0 < dock.workspace.result.unread < 7)


@pytest.mark.parametrize("way", ["another image", "closed"])
def test_leaving_while_the_masks_are_read_reads_no_more_and_shows_them_all(worked, reads, qtbot, way):
    masks = [worked.workspace.result.labels(frame) for frame in range(8)]
    choose(worked, "other")
    come_back(worked, qtbot)
    layer, viewer = worked.workspace.result.layer, worked.viewer
    reads.clear()
    press(worked, "Close") if way == "closed" else choose(worked, "other")
    assert len(reads) <= 4, "only what is shown"
    assert layer in viewer.layers
    assert layer.editable
    for frame in range(8):
        np.testing.assert_array_equal(layer.data[frame], masks[frame])


def test_masks_that_were_left_half_read_are_read_whole_on_coming_back(worked, reads, qtbot):
    masks = [worked.workspace.result.labels(frame) for frame in range(8)]
    rows, shown = worked.workspace.result.rows(), sorted(layer.name for layer in worked.viewer.layers)
    choose(worked, "other")
    for _ in range(3):
        come_back(worked, qtbot)
        choose(worked, "other")
    choose(worked, "cells")
    qtbot.waitUntil(lambda: sorted(layer.name for layer in worked.viewer.layers) == shown, timeout=20_000)
    result = worked.workspace.result
    assert [row["frame"] for row in result.rows()] == [row["frame"] for row in rows]
    for frame in range(8):
        np.testing.assert_array_equal(result.labels(frame), masks[frame])


def test_what_is_painted_on_masks_that_were_left_half_read_is_kept(worked, reads, qtbot):
    choose(worked, "other")
    come_back(worked, qtbot)
    layer = worked.workspace.result.layer
    choose(worked, "other")
    layer.data[7, :4] = 77
    choose(worked, "cells")
    qtbot.waitUntil(lambda: "so it was kept" in worked.bar.message.text(), timeout=20_000)
    assert layer in worked.viewer.layers
    assert (layer.data[7, :4] == 77).all()
    assert 77 not in worked.workspace.result.labels(7)


def test_a_new_session_takes_over_what_is_still_being_read(worked, reads, qtbot, tmp_path):
    choose(worked, "other")
    come_back(worked, qtbot)
    worked.sessions.create(tmp_path / "mine.masktrack")
    session = worked.sessions.session
    qtbot.waitUntil(lambda: session.results.written == tuple(range(8)))
    qtbot.waitUntil(lambda: session.probabilities.written == tuple(range(8)))


def test_what_is_being_written_into_a_new_session_is_written_whole_before_it_is_left(worked, tmp_path):
    worked.sessions.create(tmp_path / "mine.masktrack")
    session = worked.sessions.session
    choose(worked, "other")
    assert session.results.written == tuple(range(8))
    assert len(list(session.numbers.metrics())) > 0


def test_a_result_that_was_hidden_for_a_correction_is_shown_once_its_movie_is_left(worked):
    layer = worked.workspace.result.layer
    worked.workspace.go_to(3)
    worked.commands.do("use result")
    assert not layer.visible
    choose(worked, "other")
    assert layer.visible
