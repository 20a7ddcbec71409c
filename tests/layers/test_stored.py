"""Results and probabilities in sessions: none is lost while they are read, closed, or taken back."""

import threading

import numpy as np
import pytest

from napari_masktrack.errors import InputError, MaskTrackWarning, OutputError, WorkError
from napari_masktrack.io.session import Session
from napari_masktrack.layers import ProbabilityStore, ResultStore
from napari_masktrack.propagation import FrameResult

SIZE = (20, 30)


def result(frame, label):
    return FrameResult(frame, np.full(SIZE, label, np.uint16), {label: label / 10}, {label: 0})


def run(store, *results):
    store.begin()
    for each in results:
        store.write_frame(each)
    store.end()


def held(store):
    """Which label is on which frame."""
    return {frame: int(store.read(frame).max()) for frame in store.written}


@pytest.mark.parametrize("limit", [0, 2**40], ids=["on disk", "in memory"])
def test_a_run_while_the_session_is_read_can_be_taken_back_whole(view, session, limit):
    run(first := ResultStore(view, session=session), *(result(frame, 1) for frame in range(4)))
    session.numbers.save_metrics(first.rows())
    store = ResultStore(view, session=session, in_memory_up_to=limit)
    reading = store.restore()
    assert store.unread == 4
    assert not store.layer.editable
    next(reading)
    run(store, result(2, 5))
    list(reading)
    assert (store.done, store.unread, store.layer.editable) == ((0, 1, 2, 3), 0, True)
    assert [int(store.labels(frame).max()) for frame in range(4)] == [1, 1, 5, 1]
    assert [row["confidence"] for row in store.rows()] == [0.1, 0.1, 0.5, 0.1]
    assert store.revert() == (2,)
    assert held(session.results) == dict.fromkeys(range(4), 1)
    assert [row["confidence"] for row in store.rows()] == [0.1] * 4


def test_a_layer_on_disk_leaves_the_files_of_a_closed_session_alone(viewer, view, session):
    store = ResultStore(view, session=session, in_memory_up_to=0)
    viewer.add_layer(store.layer)
    run(store, result(1, 1), result(2, 1))
    store.leave_session()
    session.close()
    run(store, result(2, 7), result(3, 7))
    store.layer.paint((1, 5, 5), 9)
    assert (int(store.labels(1).max()), int(store.labels(2).max()), int(store.labels(3).max())) == (9, 7, 7)
    assert store.layer.data.source.written == (1, 2, 3)
    with Session.open(session.folder) as again:
        assert held(again.results) == {1: 1, 2: 1}
    store.revert()
    assert (int(store.labels(2).max()), store.labels(3).any()) == (1, False)
    assert store.layer.data.source.written == (1, 2)
    assert held(session.results) == {1: 1, 2: 1}


def test_a_layer_that_left_one_session_is_saved_into_the_next(view, session, tmp_path):
    store = ResultStore(view, session=session, in_memory_up_to=0)
    run(store, result(1, 1), result(2, 1))
    store.leave_session()
    session.close()
    with Session.create(tmp_path / "next.masktrack", session.movie) as following:
        list(store.save_to(following))
        run(store, result(2, 7))
        assert held(following.results) == {1: 1, 2: 7}
    assert held(session.results) == {1: 1, 2: 1}


def test_nothing_is_taken_out_of_a_closed_session(session):
    session.results.write(1, np.ones(SIZE, int))
    session.close()
    for act in (session.results.clear, lambda: session.results.forget(1)):
        with pytest.raises(OutputError, match="read only"):
            act()
    assert session.results.written == (1,)


def test_weights_are_written_as_long_as_the_session_is_open(session):
    begun, go_on = threading.Event(), threading.Event()

    def write(path):
        begun.set()
        go_on.wait(10)
        path.write_bytes(b"1")

    writing = threading.Thread(target=lambda: session.save_weights(write))
    closing = threading.Thread(target=session.close)
    writing.start()
    begun.wait(10)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()  # it waits
    go_on.set()
    closing.join(10)
    writing.join(10)
    assert not session.save_weights(lambda path: path.write_bytes(b"2"))
    assert session.weights.read_bytes() == b"1"


@pytest.mark.parametrize("limit", [0, 2**40], ids=["on disk", "in memory"])
def test_probabilities_are_kept_in_the_session_and_taken_back(viewer, view, session, limit):
    store = ProbabilityStore(view, session=session, in_memory_up_to=limit)
    viewer.add_layer(store.layer)
    for frame in (1, 2):
        store.write_frame(frame, np.full(SIZE, 100 + frame, np.uint8))
    store.begin()
    store.write_frame(2, np.full(SIZE, 7, np.uint8))
    store.write_frame(1, None)
    store.write_frame(3, None)
    assert held(session.probabilities) == {2: 7}
    assert store.revert() == (1, 2)
    assert held(session.probabilities) == {1: 101, 2: 102}

    again = ProbabilityStore(view, session=session, in_memory_up_to=limit)
    assert list(again.restore()) == [1, 0]
    assert again.done == (1, 2)
    np.testing.assert_array_equal(again.layer.data[2], np.full(SIZE, 102))
    assert (again.on_disk, again.layer.data.dtype, session.probabilities.dtype) == (
        limit == 0,
        np.uint8,
        np.uint8,
    )


@pytest.mark.parametrize("end", ["steps", "session", "deleted"])
@pytest.mark.parametrize("limit", [0, 2**40], ids=["on disk", "in memory"])
def test_what_is_taken_back_in_steps_is_taken_back_whole_also_when_it_is_closed(view, session, limit, end):
    store = ResultStore(view, session=session, in_memory_up_to=limit)
    run(store, *(result(frame, 1) for frame in range(4)))
    run(store, *(result(frame, 2) for frame in range(5)))
    steps = store.reverting()
    assert next(steps) == 4
    assert store.is_reverting
    assert not store.layer.editable
    {"steps": lambda: list(steps), "session": store.leave_session, "deleted": lambda: store.close(gone=True)}[
        end
    ]()
    assert held(session.results) == dict.fromkeys(range(4), 1)
    assert [row["confidence"] for row in store.rows()] == [0.1] * 4
    assert not store.is_reverting
    assert not store.can_revert


def test_what_could_not_be_taken_back_can_be_tried_again(view, session, monkeypatch):
    store = ResultStore(view, session=session)
    run(store, result(1, 1), result(2, 1))
    run(store, result(1, 2), result(2, 2))
    with monkeypatch.context() as full:
        full.setattr(
            type(session.results), "write", lambda *_: (_ for _ in ()).throw(WorkError("Disk full."))
        )
        with pytest.raises(WorkError):
            store.revert()
    assert not store.is_reverting
    assert store.layer.editable
    assert store.revert() == (1, 2)
    assert held(session.results) == {1: 1, 2: 1}


@pytest.mark.parametrize("store_of", [ResultStore, ProbabilityStore])
@pytest.mark.parametrize("limit", [0, 2**40], ids=["on disk", "in memory"])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_layer_that_leaves_its_session_half_read_shows_all_of_it(
    viewer, view, session, limit, store_of, steps
):
    kept = session.results if store_of is ResultStore else session.probabilities
    for frame in range(5):
        kept.write(frame, np.full(SIZE, frame + 1, np.uint8))
    session.numbers.save_metrics([{"frame": 4, "label": 5, "confidence": 0.5, "source": 0}])
    store = store_of(view, session=session, in_memory_up_to=limit)
    viewer.add_layer(store.layer)
    reading = store.restore()
    for _ in range(steps):
        next(reading)
    store.leave_session()
    reading.close()
    session.close()
    assert store.layer.editable
    assert (store.done, store.unread) == ((0, 1, 2, 3, 4), 0)
    assert [int(np.asarray(store.layer.data[frame]).max()) for frame in range(7)] == [1, 2, 3, 4, 5, 0, 0]
    if store_of is ResultStore:
        store.layer.paint((4, 5, 5), 9)
        assert store.layer.data[4, 5, 5] == 9
        assert len(store.layer.features) == (1 if steps else 0)
    assert held(kept) == {frame: frame + 1 for frame in range(5)}


@pytest.mark.parametrize("limit", [0, 2**40], ids=["on disk", "in memory"])
def test_a_damaged_frame_of_a_session_that_was_left_is_empty_and_said_once(
    viewer, view, session, tmp_path, limit
):
    for frame in range(3):
        session.results.write(frame, np.full(SIZE, frame + 1))
    session.results.reread()
    (session.folder / "results.zarr" / "1.0.0").write_bytes(b"half")
    store = ResultStore(view, session=session, in_memory_up_to=limit)
    viewer.add_layer(store.layer)
    store.restore()
    store.leave_session()
    session.close()

    def look():
        for frame in (1, 2, 1):
            viewer.dims.set_point(0, frame)

    with pytest.warns(MaskTrackWarning, match=r"Frame 1 of .* is damaged \(.*propagate it again") as said:
        look()
    assert len(said) == 1
    assert [int(np.asarray(store.layer.data[frame]).max()) for frame in range(3)] == [1, 0, 3]
    assert store.done == (0, 2)
    assert store.layer.data.source.written == (0, 2)
    with Session.create(tmp_path / "next.masktrack", session.movie) as following:
        list(store.save_to(following))
        assert held(following.results) == {0: 1, 2: 3}


def test_a_frame_that_cannot_be_read_now_is_not_taken_for_empty(view, session, monkeypatch):
    session.results.write(1, np.ones(SIZE, int))
    store = ResultStore(view, session=session, in_memory_up_to=0)
    store.leave_session()

    def gone(self, frame):
        raise InputError("Frame 1 cannot be read now.") from OSError(5, "Input/output error")

    with monkeypatch.context() as drive:
        drive.setattr(type(session.results), "read", gone)
        with pytest.raises(InputError, match="cannot be read now"):
            store.labels(1)
    assert store.labels(1).max() == 1
