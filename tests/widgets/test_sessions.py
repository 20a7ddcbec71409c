"""Work is kept in a folder and comes back, by hand or by itself."""

import numpy as np
import pytest
import tifffile

from napari_masktrack.io.readers import open_movie
from napari_masktrack.io.session import MovieReference, Session
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
    rows = other.workspace.result.rows
    qtbot.waitUntil(lambda: {row["frame"] for row in rows()} == set(range(len(truth))))
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


def in_session(folder):
    with Session.open(folder, read_only=True) as session:
        return session.annotated_frames()


def test_a_deleted_layer_leaves_the_session_and_its_drawings_can_be_imported_again(
    saving, dock, truth, paint, qtbot, tmp_path
):
    folder = tmp_path / "mine.masktrack"
    dock.sessions.create(folder)
    paint(dock, 2)
    dock.workspace.drawings.set_absent(5, 1, absent=True)
    wait_saved(qtbot, dock)
    dock.viewer.layers.remove("cells masks")
    qtbot.waitUntil(lambda: in_session(folder) == ())
    (kept,) = dock.sessions.session.former.drawings
    assert str(kept) in dock.bar.message.text()
    paint(dock, 4)
    dock.sessions.flush()
    assert in_session(folder) == (4,)
    assert dock.sessions.session.absent == ()
    dock.commands.import_from(kept)
    dock.sessions.flush()
    assert in_session(folder) == (2, 4)
    assert np.array_equal(dock.workspace.drawings.indices["masks"].image(2), truth.frame(2).labels)


def test_a_deleted_result_leaves_the_session_and_is_kept(saving, dock, paint, finish, qtbot, tmp_path):
    dock.sessions.create(tmp_path / "mine.masktrack")
    session = dock.sessions.session
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    dock.sessions.flush()
    before = session.results.read(3)
    dock.viewer.layers.remove("cells result")
    qtbot.waitUntil(lambda: session.results.written == ())
    assert session.numbers.metrics() == []
    assert session.former.swap_result()
    assert np.array_equal(session.results.read(3), before)


@pytest.mark.parametrize("way", ["viewer", "layers", "dock"])
def test_closing_or_clearing_everything_takes_nothing_out_of_the_session(
    saving, dock, paint, finish, qtbot, tmp_path, way
):
    folder = tmp_path / "mine.masktrack"
    dock.sessions.create(folder)
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    paint(dock, 2)
    {"viewer": dock.viewer.close, "layers": dock.viewer.layers.clear, "dock": dock.close}[way]()
    qtbot.wait(600)
    with Session.open(folder) as session:
        assert session.annotated_frames() == (0, 2)
        assert len(session.results.written) == 8
        assert session.former.drawings == ()
        assert not session.former.has_result


def test_opening_another_session_lets_the_first_go_as_it_is(saving, dock, paint, qtbot, tmp_path):
    folders = first, second = tmp_path / "first.masktrack", tmp_path / "second.masktrack"
    for folder, frame in zip(folders, (1, 3), strict=True):
        dock.sessions.create(folder)
        paint(dock, frame)
        dock.sessions.flush()
        dock.sessions.close()
        dock.viewer.layers.remove("cells masks")
        qtbot.wait(300)
    dock.sessions.open(first)
    dock.sessions.open(second)
    qtbot.wait(300)
    assert dock.workspace.drawings.frames == (3,)
    with Session.open(first) as session:  # nobody else holds it
        assert session.annotated_frames() == (1,)
    assert in_session(second) == (3,)


def test_what_was_painted_between_dropping_a_session_and_opening_the_dock_is_saved(
    make_napari_viewer, truth, tracker, saving, qtbot, tmp_path
):
    from napari_masktrack.layers.reader import read_session

    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    folder = tmp_path / "mine.masktrack"
    movie = open_movie(tmp_path / "movie.tif")
    with Session.create(folder, MovieReference.of(movie, path=tmp_path / "movie.tif")) as session:
        session.save_annotation(1, truth.frame(1).labels)
        session.save_annotation(2, truth.frame(2).labels)
    viewer = make_napari_viewer()
    for data, options, kind in read_session(folder):
        getattr(viewer, f"add_{kind}")(data, **options)
    masks = viewer.layers["movie masks"]
    masks.data[2] = 0
    masks.paint((6, 10, 10), 1)
    dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    wait_saved(qtbot, dock)
    qtbot.waitUntil(lambda: in_session(folder) == (1, 6))
    dock.release()


def test_opening_the_session_that_is_open_loses_no_stroke(saving, dock, truth, paint, qtbot, tmp_path):
    dock.sessions.create(tmp_path / "mine.masktrack")
    paint(dock, 2)
    dock.sessions.open(tmp_path / "mine.masktrack")
    qtbot.waitUntil(lambda: dock.workspace.drawings.frames == (2,))
    assert in_session(tmp_path / "mine.masktrack") == (2,)


def test_what_was_drawn_before_stays_out_of_a_session_that_is_opened(saving, dock, truth, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    with Session.create(folder, MovieReference.of(dock.workspace.view.movie)) as session:
        session.save_annotation(1, truth.frame(1).labels)
    strokes = dock.workspace.drawings.ensure("scribbles")
    strokes.paint((4, 10, 10), 1)
    qtbot.waitUntil(lambda: dock.workspace.drawings.frames == (4,))
    dock.sessions.open(folder)
    dock.workspace.set_movie(dock.workspace.view)  # as after another channel was chosen
    qtbot.wait(300)
    dock.sessions.flush()
    assert dock.workspace.drawings.frames == (1,)
    assert strokes in dock.viewer.layers
    with Session.open(folder, read_only=True) as session:
        assert session.annotated_frames("scribbles") == ()
