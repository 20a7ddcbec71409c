"""A session goes on in another folder: nothing is lost, and the former folder stays as it was."""

import shutil

import numpy as np
import pytest

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import OutputError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.io.session_copy import SessionCopy

SHAPE = (24, 32)


@pytest.fixture
def session(tmp_path):
    movie = Movie(np.random.default_rng(0).integers(0, 4000, (5, *SHAPE), np.uint16), name="cells")
    with Session.create(tmp_path / "cells.masktrack", MovieReference.of(movie)) as made:
        made.save_annotation(1, np.full(SHAPE, 300))
        made.results.write(2, np.full(SHAPE, 7))
        made.save_weights(lambda path: path.write_bytes(b"1"))
        made.save_weights(lambda path: path.write_bytes(b"2"))
        made.save_settings({"mode": "quick"})
        yield made


@pytest.fixture
def place(tmp_path):
    return tmp_path / "elsewhere" / "mine.masktrack"


def held(folder):
    with Session.open(folder) as session:
        annotated, written = session.annotated_frames(), session.results.written
        former = [path.read_bytes() for path in session.former.weights]
        assert not session.problems
        return annotated, written, session.weights.read_bytes(), former, session.settings


def test_the_session_goes_on_in_the_copy_and_the_former_folder_stays(session, place):
    before, copy = session.folder, SessionCopy(session, place)
    list(copy.run())
    session.go_on_in(copy)
    session.save_annotation(4, np.full(SHAPE, 1))
    session.results.write(3, np.full(SHAPE, 8))
    session.probabilities.write(3, np.full(SHAPE, 9))
    session.save_settings({"mode": "full"})
    session.numbers.save_metrics([{"frame": 1, "label": 1}])
    assert (session.folder, session.weights.parent.parent) == (place, place)
    assert session.results.read(2)[0, 0] == 7
    session.close()
    assert held(before) == ((1,), (2,), b"2", [b"1"], {"mode": "quick"})
    assert held(place) == ((1, 4), (2, 3), b"2", [b"1"], {"mode": "full"})


def test_what_was_changed_while_it_was_copied_is_in_the_copy(session, place):
    copy = SessionCopy(session, place)
    for number, _ in enumerate(copy.run()):
        if number == 1:
            session.save_annotation(1, np.full(SHAPE, 301))
            session.results.forget(2)
            session.results.write(4, np.full(SHAPE, 8))
    session.save_annotation(3, np.full(SHAPE, 5))
    session.go_on_in(copy)
    assert dict(session.label_images())[1][0, 0] == 301
    assert session.annotated_frames() == (1, 3)
    assert session.results.written == (4,)


def test_the_copy_is_locked_as_the_session_was(session, place):
    before, copy = session.folder, SessionCopy(session, place)
    list(copy.run())
    session.go_on_in(copy)
    with pytest.raises(OutputError, match="open elsewhere"):
        Session.open(place)
    Session.open(before).close()


def test_a_copy_that_was_stopped_leaves_nothing(session, place):
    copy = SessionCopy(session, place)
    files = copy.run()
    next(files)
    assert place.exists()
    files.close()
    assert not place.exists()
    session.save_annotation(4, np.full(SHAPE, 1))


def test_a_place_that_cannot_be_used_is_refused(session, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(OutputError, match="not an empty folder"):
        SessionCopy(session, tmp_path / "full")
    for place in (session.folder, session.folder / "former"):
        with pytest.raises(OutputError, match="within the session itself"):
            SessionCopy(session, place)


def test_a_movie_that_moved_with_the_session_is_still_found(tmp_path, place):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    np.save(old / "cells.npy", np.zeros(3))
    movie = Movie(np.random.default_rng(0).integers(0, 4000, (5, *SHAPE), np.uint16), name="cells")
    Session.create(old / "s.masktrack", MovieReference.of(movie, path=old / "cells.npy")).close()
    shutil.move(old, new)
    with Session.open(new / "s.masktrack") as session:
        copy = SessionCopy(session, place)
        list(copy.run())
        session.go_on_in(copy)
    with Session.open(place) as session:
        assert session.movie.find(place) == new / "cells.npy"
