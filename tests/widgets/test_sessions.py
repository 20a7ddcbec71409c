"""Work is kept in a folder and comes back, by hand or by itself."""

import numpy as np
import pytest
import tifffile

from napari_masktrack.io.session import Session
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine
from napari_masktrack.widgets.preferences import Preferences


@pytest.fixture
def saving(monkeypatch, tmp_path):
    mine = Preferences(autosave=True, session_folder=tmp_path / "sessions")
    monkeypatch.setattr(Preferences, "read", classmethod(lambda cls: mine))


def wait_saved(qtbot, dock):
    qtbot.waitUntil(lambda: dock.sessions.link is not None and dock.sessions.link.is_saved, timeout=10_000)


def test_a_session_comes_back_with_everything(
    make_napari_viewer, truth, tracker, saving, paint, finish, qtbot, tmp_path
):
    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "movie.tif", plugin="napari")
    dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    dock.finetune.details.set_value(type(dock.finetune.details.value())(steps=7))
    dock.sessions.create(tmp_path / "mine.masktrack")
    paint(dock, 0)
    dock.workspace.drawings.new_object()
    dock.workspace.drawings.rename(2, "daughter")
    dock.workspace.drawings.set_absent(5, 1, absent=True)
    dock.bar.run.click()
    finish(dock)
    result = dock.workspace.result.labels(3)
    wait_saved(qtbot, dock)
    dock.release()

    other = MaskTrackDock(make_napari_viewer(), Engine(lambda model, device: tracker))
    other.sessions.open(tmp_path / "mine.masktrack")
    qtbot.waitUntil(lambda: other.workspace.drawings.frames == (0, 5), timeout=10_000)
    drawings = other.workspace.drawings
    assert np.array_equal(drawings.indices["masks"].image(0), truth.frame(0).labels)
    assert drawings.absent == ((5, 1),)
    assert drawings.names[2] == "daughter"
    assert other.finetune.value().steps == 7
    assert str(other.finetune.model).endswith("finetuned.safetensors")
    qtbot.waitUntil(lambda: len(other.workspace.result.done) == len(truth))
    assert np.array_equal(other.workspace.result.labels(3), result)
    assert {row["frame"] for row in other.workspace.result.rows()} == set(range(len(truth)))
    other.release()


def test_drawing_begins_a_session_by_itself(saving, dock, paint, qtbot, tmp_path):
    paint(dock, 2)
    wait_saved(qtbot, dock)
    (folder,) = (tmp_path / "sessions").glob("*.masktrack")
    with Session.open(folder, read_only=True) as session:
        assert session.annotated_frames() == (2,)
    assert str(folder) in dock.save.where.text()


def test_another_movie_is_refused_in_words(dock, qtbot, tmp_path, truth):
    dock.sessions.create(tmp_path / "mine.masktrack")
    dock.sessions.close()
    dock.viewer.add_image(255 - truth.images, name="other")
    dock.movie.layer.set_value(dock.viewer.layers["other"])
    dock.attempt(lambda: dock.sessions.open(tmp_path / "mine.masktrack"))
    assert "in memory only" in dock.bar.message.text()
