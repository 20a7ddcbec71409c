"""What leaves a session is kept beside it, and a result can be changed back."""

import numpy as np
import pytest

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import OutputError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.io.session_former import RESULT

SHAPE = (24, 32)


@pytest.fixture
def session(tmp_path):
    movie = Movie(np.random.default_rng(0).integers(0, 4000, (5, *SHAPE), np.uint16), name="cells")
    with Session.create(tmp_path / "cells.masktrack", MovieReference.of(movie)) as made:
        yield made


def write_result(session, value):
    for frame in (1, 3):
        session.results.write(frame, np.full(SHAPE, value))
        session.probabilities.write(frame, np.full(SHAPE, value))
    session.numbers.save_metrics([{"frame": 1, "label": value}])
    session.numbers.save_scores([{"frame": 1, "label": value, "J": 0.5, "F": 0.5, "source": "here"}])
    session.weights.write_bytes(bytes([value]))
    session.weights.with_name("finetuned.motion.safetensors").write_bytes(bytes([value]))


def result(session):
    return (
        [int(session.results.read(frame)[0, 0]) for frame in session.results.written],
        [int(session.probabilities.read(frame)[0, 0]) for frame in session.probabilities.written],
        [row["label"] for row in session.numbers.metrics()],
        session.weights.read_bytes(),
    )


def test_drawings_that_leave_twice_in_a_moment_are_both_kept(session):
    for value in (1, 2):
        session.save_annotation(value, np.full(SHAPE, value))
        session.former.take_drawings("masks")
    first, second = session.former.drawings
    assert [path.name for path in (*first.iterdir(), *second.iterdir())] == ["00001.png", "00002.png"]
    assert session.annotated_frames() == ()
    assert session.former.take_drawings("masks") is None


def test_absent_marks_without_masks_are_kept_too(session):
    session.save_absent([(2, 7)])
    assert (session.former.take_drawings("masks") / "absent.json").is_file()
    assert session.absent == ()


def test_a_result_is_changed_against_the_kept_one_and_back(session):
    assert not session.former.swap_result()
    write_result(session, 1)
    session.former.keep_result()
    write_result(session, 2)
    session.results.write(4, np.full(SHAPE, 2))
    assert session.former.swap_result()
    assert result(session) == ([1, 1], [1, 1], ["1"], b"\1")
    assert session.former.swap_result()
    assert result(session) == ([2, 2, 2], [2, 2], ["2"], b"\2")


def test_a_result_that_is_moved_away_can_be_brought_back(session):
    write_result(session, 1)
    session.former.keep_result(moved=True)
    assert session.results.written == session.probabilities.written == ()
    assert session.numbers.metrics() == []
    assert session.weights.read_bytes() == b"\1"
    assert not session.results.read(1).any()
    session.former.swap_result()
    assert result(session)[0] == [1, 1]


def test_weights_without_masks_are_kept_and_no_former_masks_go(session):
    session.former.keep_result()
    assert not session.former.has_result
    session.weights.write_bytes(b"1")
    session.former.keep_result()
    session.weights.write_bytes(b"2")
    session.results.write(3, np.full(SHAPE, 2))
    session.former.swap_result()
    assert (session.weights.read_bytes(), session.results.written) == (b"1", ())
    session.former.swap_result()
    assert (session.weights.read_bytes(), session.results.written) == (b"2", (3,))

    session.former.keep_result(moved=True)
    session.weights.write_bytes(b"3")
    session.former.keep_result()
    assert session.former.swap_result()
    assert (session.weights.read_bytes(), session.results.written) == (b"3", (3,))


@pytest.mark.parametrize("name", RESULT)
def test_a_change_that_was_cut_off_is_ended_by_the_next(session, name):
    write_result(session, 1)
    session.former.keep_result()
    write_result(session, 2)
    kept = session.former.folder / name
    (session.folder / name).rename(kept.with_name(f"{kept.name}.swapped"))
    session.results.reread()
    session.former.swap_result()
    assert result(session) == ([1, 1], [1, 1], ["1"], b"\1")


def test_weights_that_are_replaced_are_all_kept_with_those_of_the_motion(session):
    for value in range(4):
        assert session.save_weights(lambda path, value=value: path.write_bytes(bytes([value])))
        if value == 1:
            session.weights.with_name("finetuned.motion.safetensors").write_bytes(b"m")
    assert [path.read_bytes() for path in session.former.weights] == [bytes([value]) for value in range(3)]
    motion = [(path.parent / "finetuned.motion.safetensors").exists() for path in session.former.weights]
    assert motion == [False, True, True]
    assert not session.former.has_result, "else the masks of now would leave when the result is changed back"


def test_weights_for_image_and_motion_are_changed_together(session):
    motion = session.weights.with_name("finetuned.motion.safetensors")
    write_result(session, 1)
    motion.write_bytes(b"1")
    session.former.keep_result()
    write_result(session, 2)
    motion.unlink()
    session.former.swap_result()
    assert (session.weights.read_bytes(), motion.read_bytes()) == (bytes([1]), b"1")
    session.former.swap_result()
    assert session.weights.read_bytes() == bytes([2])
    assert not motion.exists()


def test_a_session_that_is_read_only_is_left_alone(session):
    write_result(session, 1)
    session.save_annotation(1, np.full(SHAPE, 1))
    session.close()
    with Session.open(session.folder, read_only=True) as again:
        for act in (again.former.keep_result, again.former.swap_result):
            with pytest.raises(OutputError, match="read only"):
                act()
        with pytest.raises(OutputError, match="read only"):
            again.former.take_drawings("masks")
    assert not session.former.folder.exists()
