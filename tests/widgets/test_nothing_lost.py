"""What the user has in the window comes back from a session, and nothing is lost on the way there."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_masktrack.errors import AnnotationError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.layers import LayerMovie
from napari_masktrack.widgets.drawings import Drawings
from napari_masktrack.widgets.preferences import Preferences


@pytest.fixture
def saving(monkeypatch, tmp_path):
    mine = Preferences(autosave=True, session_folder=tmp_path / "sessions")
    monkeypatch.setattr(Preferences, "read", classmethod(lambda cls: mine))


def held(folder):
    """Which frames are in a session, and how many pixels of objects on each."""
    with Session.open(folder, read_only=True) as session:
        results = session.results
        return {frame: int((results.read(frame) > 0).sum()) for frame in results.written}


def test_running_waits_until_the_masks_of_a_session_are_read(dock, truth, paint, finish, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    with Session.create(folder, MovieReference.of(dock.workspace.view.movie)) as session:
        session.save_annotation(0, truth.frame(0).labels)
        for frame in range(len(truth)):
            session.results.write(frame, np.ones(truth.labels.shape[1:], int))
    before = held(folder)
    dock.sessions.open(folder)
    for act in (dock.bar.run.click, lambda: dock.attempt(lambda: dock.commands.do("use result"))):
        act()
        assert "still being read, 8 frames are left" in dock.bar.message.text()
        assert not dock.runner.is_running
    qtbot.waitUntil(lambda: len(dock.workspace.result.done) == len(truth))
    qtbot.waitUntil(lambda: not dock.workspace.result.unread)
    dock.bar.run.click()
    finish(dock)
    assert held(folder) != before
    dock.commands.revert()
    finish(dock)
    assert held(folder) == before


def test_a_run_on_a_result_on_disk_leaves_a_closed_session_alone(dock, paint, finish, tmp_path):
    folder = tmp_path / "mine.masktrack"
    dock.workspace.in_memory_up_to = 0
    dock.sessions.create(folder)
    paint(dock, 0, 1)
    dock.bar.run.click()
    finish(dock)
    weights = dock.sessions.session.weights
    assert weights.read_bytes() == b"weights"
    dock.sessions.close()
    before = held(folder)
    weights.write_bytes(b"others")
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.result.on_disk
    assert len(np.unique(dock.workspace.result.labels(5))) == 3
    assert held(folder) == before
    assert weights.read_bytes() == b"others"


def test_probabilities_and_looks_come_back_with_the_session(saving, dock, paint, finish, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    dock.sessions.create(folder)
    paint(dock, 0)
    dock.propagate.probability.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    probable = np.array(dock.viewer.layers["cells probability"].data)
    assert probable.any()
    result = dock.workspace.result.layer
    result.opacity, result.contour, result.visible = 0.125, 2, False
    dock.sessions.flush()
    dock.sessions.close()
    for name in ("cells result", "cells probability", "cells masks"):
        dock.viewer.layers.remove(name)

    dock.sessions.open(folder)
    qtbot.waitUntil(lambda: dock.workspace.probability is not None and not dock.workspace.probability.unread)
    qtbot.waitUntil(lambda: not dock.workspace.result.unread)
    np.testing.assert_array_equal(dock.viewer.layers["cells probability"].data, probable)
    result = dock.workspace.result.layer
    assert (result.opacity, result.contour, result.visible) == (0.125, 2, False)

    dock.propagate.probability.setChecked(False)
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.probability.done == ()  # they were those of other masks
    dock.commands.revert()
    finish(dock)
    np.testing.assert_array_equal(dock.viewer.layers["cells probability"].data, probable)

    dock.viewer.layers.remove("cells probability")
    session = dock.sessions.session
    qtbot.waitUntil(lambda: session.probabilities.written == ())
    assert len(session.results.written) == 8


def test_an_object_with_strokes_beside_it_only_may_be_called_absent(qtbot):
    viewer = ViewerModel()
    drawings = Drawings(viewer, LayerMovie(viewer.add_image(np.zeros((5, 20, 30), np.uint8), name="cells")))
    drawings.ensure("beside").paint((0, 5, 5), 1)
    drawings.settle()
    drawings.set_absent(0, 1, absent=True)
    assert [type(item).__name__ for item in drawings.read().items] == ["Absent"]
    drawings.ensure("scribbles").paint((0, 15, 15), 2)
    drawings.settle()
    with pytest.raises(AnnotationError, match="Object 2 is drawn on frame 0; erase it there"):
        drawings.set_absent(0, 2, absent=True)
    drawings.release()
