"""Work is kept in a folder and comes back, by hand or by itself."""

import json
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_masktrack.io.readers import open_movie
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.widgets import MaskTrackDock, sessions
from napari_masktrack.widgets.engine import Engine


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
    dock.viewer.layers.remove("cells")
    dock.attempt(lambda: dock.sessions.open(tmp_path / "mine.masktrack"))
    assert "in memory only" in dock.bar.message.text()
    assert dock.sessions.session is None


def test_a_session_of_a_movie_that_is_shown_but_not_chosen_chooses_it(dock, tmp_path, truth):
    dock.sessions.create(tmp_path / "mine.masktrack")
    dock.sessions.close()
    dock.viewer.add_image(255 - truth.images, name="other")
    dock.movie.layer.set_value(dock.viewer.layers["other"])
    dock.sessions.open(tmp_path / "mine.masktrack")
    assert dock.workspace.view.layer is dock.viewer.layers["cells"]
    assert dock.sessions.session.folder == tmp_path / "mine.masktrack"


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
    dock.commands.imports.start(kept)
    qtbot.waitUntil(lambda: dock.workspace.drawings.frames == (2, 4))
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


def test_earlier_work_on_the_movie_is_offered_and_opened_only_when_asked(
    make_napari_viewer, truth, tracker, saving, paint, qtbot, tmp_path, monkeypatch
):
    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    for number, folder in enumerate(("other", "older", "newer")):
        movie = open_movie(tmp_path / "movie.tif")
        place, path = tmp_path / "sessions" / f"{folder}.masktrack", tmp_path / "movie.tif"
        reference = MovieReference.of(movie, path=path)
        if folder == "other":
            reference = replace(reference, path=str(tmp_path / "other.tif"), name="other")
        with Session.create(place, reference) as session:
            session.save_annotation(number, truth.frame(number).labels)
        for part in (*place.glob("**/*"), place):
            os.utime(part, (1e9 + number, 1e9 + number))
    lock = tmp_path / "sessions" / "newer.masktrack" / "session.lock"
    lock.write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname(), "since": 1e9}))
    os.utime(lock, (1e9, 1e9))
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "movie.tif", plugin="napari")
    dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
    qtbot.waitUntil(lambda: "There is work on this movie" in dock.save.earlier.text())
    assert dock.save.earlier.text().endswith("(interrupted).")
    assert "Open it" in dock.bar.message.text()
    assert dock.sessions.session is None
    assert dock.workspace.drawings.layers == {}
    shown = []
    monkeypatch.setattr(
        sessions.QFileDialog, "getExistingDirectory", lambda *given: shown.append(given) or ""
    )
    dock.commands.do("open")
    assert shown[0][2] == str(tmp_path / "sessions")
    dock.save.open_earlier.click()
    qtbot.waitUntil(lambda: dock.sessions.session is not None)
    assert dock.sessions.session.folder == tmp_path / "sessions" / "newer.masktrack"
    assert dock.save.open_earlier.isHidden()
    qtbot.waitUntil(lambda: dock.workspace.drawings.frames == (2,))
    dock.release()


def test_weights_of_one_movie_do_not_start_another(dock, truth, paint, finish):
    start = dock.finetune.model
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    assert dock.finetune.model is None
    assert dock.runner.engine.tuned
    dock.viewer.add_image(np.array(truth.images), name="other")
    dock.movie.layer.set_value(dock.viewer.layers["other"])
    assert dock.finetune.model == start
    assert not dock.runner.engine.tuned
    dock.commands.finish()  # of an export, for example
    assert dock.finetune.model == start
    chosen = dock.finetune.start.findText("Fine-tuned so far")
    assert chosen == -1


@pytest.mark.parametrize("when", ["after the run", "while it runs"])
def test_weights_that_were_tuned_before_the_session_began_are_saved_into_it(
    dock, tracker, paint, finish, qtbot, tmp_path, when
):
    tracker.step_seconds = 0.1
    paint(dock, 0)
    dock.bar.run.click()
    if when == "after the run":
        finish(dock)
    dock.sessions.create(tmp_path / "mine.masktrack")
    finish(dock)
    weights = dock.sessions.session.weights
    qtbot.waitUntil(weights.is_file)
    assert weights.read_bytes() == b"weights"


def test_everything_that_cannot_be_read_is_said_once_at_the_end(dock, truth, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    with Session.create(folder, MovieReference.of(dock.workspace.view.movie)) as session:
        for frame in (1, 2):
            session.save_annotation(frame, truth.frame(frame).labels)
            session.results.write(frame, truth.frame(frame).labels)
    masks = folder / "annotations" / "masks" / "00001.png"
    masks.write_bytes(b"damaged")
    (chunk,) = (path for path in (folder / "results.zarr").rglob("2*") if path.is_file())
    chunk.write_bytes(b"damaged")
    (folder / "session.json").write_text("damaged")
    dock.sessions.open(folder)
    qtbot.waitUntil(lambda: dock.workspace.result is not None and dock.workspace.result.done == (1,))
    said = dock.bar.message.text
    qtbot.waitUntil(lambda: "00001.png" in said())
    assert "session.json" in said()
    assert "results.zarr" in said()
    assert dock.workspace.drawings.frames == (2,)
