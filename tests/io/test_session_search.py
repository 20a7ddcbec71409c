"""Earlier sessions of a movie are found by what they say of themselves, and nobody's lock is touched."""

import json
import os
import socket
from dataclasses import replace

import numpy as np
import pytest

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import OutputError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.io.session_search import earlier_sessions

NOBODY = 2**22 + 1
"""No process has this number."""


@pytest.fixture
def reference():
    pixels = np.random.default_rng(0).integers(0, 4000, (9, 24, 32), np.uint16)
    return MovieReference.of(Movie(pixels, name="cells"), path="/data/cells.tif")


@pytest.fixture
def begin(tmp_path, reference):
    """Makes a session that was saved so many seconds after another."""

    def act(stem, seconds=0.0, **changes):
        folder = tmp_path / f"{stem}.masktrack"
        with Session.create(folder, replace(reference, **changes)):
            pass
        for part in folder.rglob("*"):
            os.utime(part, (1e9 + seconds, 1e9 + seconds))
        return folder

    return act


def find(parent, path="/data/cells.tif", name="cells"):
    return earlier_sessions(parent, path=path, name=name, frames=9, shape=(24, 32))


def test_the_newest_session_of_the_file_comes_first(tmp_path, begin):
    begin("old", 1)
    begin("new", 2)
    begin("elsewhere", 3, path="/data/other.tif", name="other")
    begin("smaller", 4, shape=(12, 32))
    found = find(tmp_path)
    assert [each.folder.stem for each in found] == ["new", "old"]
    assert [each.saved for each in found] == [1e9 + 2, 1e9 + 1]


def test_a_movie_in_memory_is_found_by_name_and_length_on_any_plane(tmp_path, begin):
    begin("memory", path=None, name="cells (axis 1 at 4)")
    begin("longer", path=None, frames=10)
    begin("named alike", path=None, name="cells of mine")
    assert [each.folder.stem for each in find(tmp_path, path=None)] == ["memory"]


def test_what_a_crash_left_is_called_interrupted_and_what_is_open_is_left_out(tmp_path, begin):
    crashed, ended = begin("crashed", 2), begin("ended", 1)
    owner = {"pid": NOBODY, "host": socket.gethostname(), "since": 1e9}
    (crashed / "session.lock").write_text(json.dumps(owner))
    with Session.open(begin("open", 3)) as session:
        assert [(each.folder, each.interrupted) for each in find(tmp_path)] == [
            (crashed, True),
            (ended, False),
        ]
        with pytest.raises(OutputError, match="open elsewhere"):
            Session.open(session.folder)
    with Session.open(crashed) as session:
        assert session.interrupted


def test_damaged_folders_and_a_missing_place_are_passed_over(tmp_path, begin):
    (begin("damaged") / "session.json").write_text("nonsense")
    assert find(tmp_path) == []
    assert find(tmp_path / "nowhere") == []
