"""Pieces of frames that wait on disk come back as they were, and leave nothing behind."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from napari_masktrack.core.carrier import Piece
from napari_masktrack.core.spill import Spill
from napari_masktrack.errors import WorkError


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def piece(label, value, box=(3, 4, 9, 12), confidence=0.83, source=5):
    rng = np.random.default_rng(label)
    values = rng.random((box[2] - box[0], box[3] - box[1]), np.float32) * np.float32(value)
    return Piece(label, values, box, confidence, source)


def test_pieces_come_back_once_as_they_were():
    given = [piece(300, 1.0), piece(65535, 1.0, box=(0, 0, 1, 1), confidence=0.0, source=70_000)]
    with Spill() as waiting:
        waiting.put(7, given)
        waiting.put(8, [piece(1, 1.0)])
        back = waiting.take(7)
        assert waiting.take(7) == []
        assert [p.label for p in waiting.take(8)] == [1]
    for one, other in zip(given, back, strict=True):
        assert (one.label, one.box, one.source) == (other.label, other.box, other.source)
        assert other.confidence == one.confidence
        assert other.values.dtype == np.float32
        assert np.abs(one.values - other.values).max() < 1 / 1000


def test_what_the_user_painted_stays_more_than_any_probability():
    painted = Piece(1, np.full((4, 4), 2.0, np.float32), (0, 0, 4, 4), 1.0, 0)
    with Spill() as waiting:
        waiting.put(0, [painted])
        assert np.array_equal(waiting.take(0)[0].values, painted.values)


def test_a_frame_has_a_place_for_every_kind():
    with Spill() as waiting:
        waiting.put(3, [piece(1, 1.0)])
        waiting.put(3, [piece(2, 1.0)], kind="compared")
        assert waiting.take(3, kind="result") == []
        assert [p.label for p in waiting.take(3, kind="compared")] == [2]
        assert [p.label for p in waiting.take(3)] == [1]


def test_an_object_that_is_nowhere_and_a_frame_without_objects_are_kept_too():
    nowhere = Piece(9, np.zeros((0, 0), np.float32), (0, 0, 0, 0), 0.3, 2)
    with Spill() as waiting:
        waiting.put(4, [nowhere])
        waiting.put(5, [])
        (back,) = waiting.take(4)
        assert back.values.shape == (0, 0)
        assert back.box == (0, 0, 0, 0)
        assert waiting.take(5) == []
        assert waiting.take(6) == []


def test_nothing_is_written_before_something_waits_and_nothing_stays_behind(temporary):
    with Spill() as waiting:
        assert waiting.take(0) == []
        assert list(temporary.iterdir()) == []
        waiting.put(0, [piece(1, 1.0)])
        assert len(list(temporary.rglob("*/*"))) == 1
        waiting.take(0)
        assert list(temporary.rglob("*/*")) == []
        waiting.put(1, [piece(1, 1.0)])
    assert list(temporary.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error_in_words(monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with Spill() as waiting, pytest.raises(WorkError, match=r"Frame 3 .*No space left on device.*TMPDIR"):
        waiting.put(3, [piece(1, 1.0)])


def test_the_folder_goes_when_an_error_passes_through(temporary):
    def interrupted():
        with Spill() as waiting:
            waiting.put(0, [piece(1, 1.0)])
            yield

    work = interrupted()
    next(work)
    with pytest.raises(KeyError):
        work.throw(KeyError())
    assert list(Path(temporary).iterdir()) == []


def test_what_somebody_cleared_is_missed_aloud(temporary):
    with Spill() as waiting:
        waiting.put(3, [piece(1, 1.0)])
        for file in temporary.rglob("3.carried"):
            file.unlink()
        with pytest.raises(WorkError, match="Frame 3 cannot be read back"):
            waiting.take(3)
