"""The result layer: written frame by frame, shown when it is shown, taken back, on disk when it is large."""

from dataclasses import replace

import numpy as np
import pytest

from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import InputError, OutputError, WorkError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.layers import LayerAxes, LayerMovie, ResultStore
from napari_masktrack.layers.result import COLUMNS
from napari_masktrack.propagation import FrameResult

SIZE = (20, 30)


@pytest.fixture(params=["memory", "disk", "memory and session", "disk in session"])
def store(request, viewer, view):
    session = request.getfixturevalue("session") if "session" in request.param else None
    limit = 0 if "disk" in request.param else 2**40
    store = ResultStore(view, session=session, in_memory_up_to=limit)
    viewer.add_layer(store.layer)
    yield store
    store.close()


def image(*labels):
    out = np.zeros(SIZE, np.uint16)
    for number, label in enumerate(labels):
        out[3 * number : 3 * number + 2, 4:20] = label
    return out


def result(frame, *labels, confidence=0.5):
    return FrameResult(frame, image(*labels), dict.fromkeys(labels, confidence), dict.fromkeys(labels, 0))


def run(store, *results, dims=None, about=None):
    store.begin(about)
    for each in results:
        store.write_frame(each, dims)
    store.end()


def test_frames_are_kept_bit_by_bit(store, view):
    run(store, result(3, 1, 300, 65535), result(0, 2))
    assert store.done == (0, 3)
    np.testing.assert_array_equal(store.labels(3), image(1, 300, 65535))
    np.testing.assert_array_equal(np.asarray(store.layer.data)[3], image(1, 300, 65535))
    assert not store.labels(1).any()
    assert store.on_disk == (type(store.layer.data) is not np.ndarray)
    if store.session is not None:
        assert store.session.results.written == (0, 3)
        np.testing.assert_array_equal(store.session.results.read(3), image(1, 300, 65535))


def test_only_the_shown_frame_is_redrawn(store, viewer, view):
    drawn = []
    view.go_to(viewer.dims, 3)
    store.layer.events.set_data.connect(lambda event: drawn.append(view.frame_at(viewer.dims)))
    run(store, *(result(frame, 1) for frame in range(7)), dims=viewer.dims)
    assert drawn == [3]
    assert store.layer.get_value((3, 0, 5), world=True) == 1
    viewer.dims.set_point(0, 5)
    assert store.layer.get_value((5, 0, 5), world=True) == 1


def test_in_three_dimensions_it_is_not_redrawn_at_every_frame(store, viewer):
    viewer.dims.ndisplay = 3
    drawn = []
    store.layer.events.set_data.connect(lambda event: drawn.append(1))
    run(store, *(result(frame, 1) for frame in range(7)), dims=viewer.dims)
    assert not drawn


def test_a_second_run_replaces_its_range_only_and_can_be_taken_back(store):
    run(store, *(result(frame, 1, 2) for frame in range(4)), about={"model": "first"})
    rows = store.rows()
    run(store, result(2, 5, confidence=0.9), result(3), result(4, 6), about={"model": "second"})
    assert store.done == (0, 1, 2, 3, 4)
    np.testing.assert_array_equal(store.labels(2), image(5))
    assert store.layer.metadata["masktrack"]["model"] == "second"
    assert store.can_revert
    assert store.revert() == (2, 3, 4)
    assert store.done == (0, 1, 2, 3)
    for frame in range(4):
        np.testing.assert_array_equal(store.labels(frame), image(1, 2))
    assert not store.labels(4).any()
    assert store.rows() == rows
    assert store.layer.metadata["masktrack"]["model"] == "first"
    assert not store.can_revert
    assert store.revert() == ()
    if store.session is not None:
        assert store.session.results.written == (0, 1, 2, 3)


def test_the_first_run_can_be_taken_back_too(store):
    run(store, result(2, 1))
    store.revert()
    assert store.done == ()
    assert not np.asarray(store.layer.data).any()


def test_a_frame_that_is_written_twice_in_a_run_goes_back_to_what_it_was_before(store):
    run(store, result(2, 1))
    run(store, result(2, 5), result(2, 6))
    store.revert()
    np.testing.assert_array_equal(store.labels(2), image(1))


def test_undo_writes_no_old_pixels(store, viewer, view):
    run(store, result(3, 1))
    view.go_to(viewer.dims, 3)
    store.layer.paint((3, 15, 25), 9)
    run(store, result(3, 2), dims=viewer.dims)
    store.layer.undo()
    np.testing.assert_array_equal(store.labels(3), image(2))
    store.layer.paint((3, 15, 25), 9)
    store.revert()
    store.layer.undo()
    assert store.labels(3)[15, 25] == 9  # painted by the user before the run
    assert store.labels(3)[0, 5] == 1


def test_nobody_paints_while_frames_come_in(store):
    store.begin()
    assert not store.layer.editable
    store.write_frame(result(3, 2))
    store.end()
    assert store.layer.editable


def test_a_run_cancelled_before_its_first_frame_leaves_the_way_back_of_the_one_before(store):
    run(store, result(3, 1), about={"model": "first"})
    run(store, result(3, 2), about={"model": "second"})
    run(store, about={"model": "cancelled while fine-tuning"})
    assert store.layer.metadata["masktrack"]["model"] == "second"
    assert store.can_revert
    store.revert()
    np.testing.assert_array_equal(store.labels(3), image(1))
    assert store.layer.metadata["masktrack"]["model"] == "first"
    assert store.layer.features["label"].tolist() == [1]


def test_the_result_can_be_corrected_by_hand(store, viewer, view):
    run(store, result(3, 1))
    view.go_to(viewer.dims, 3)
    store.layer.paint((3, 15, 25), 9)
    assert store.labels(3)[15, 25] == 9
    store.layer.undo()
    np.testing.assert_array_equal(store.labels(3), image(1))


def test_agreement_of_both_sides_is_a_number_like_the_others(store):
    compared = replace(result(3, 1, 300), agreement={300: 0.25})
    run(store, compared)
    assert store.layer.features["agreement"].fillna(-1).tolist() == [-1, 0.25]
    assert store.rows()[1]["agreement"] == 0.25


def test_numbers_stand_in_the_features(store):
    run(store, result(3, 1, 300, confidence=0.25), result(0, 1))
    features = store.layer.features
    assert tuple(features.columns) == COLUMNS
    assert list(features["frame"]) == [0, 3, 3]
    assert list(features["label"]) == [1, 1, 300]
    assert list(features["confidence"]) == [0.5, 0.25, 0.25]
    store.set_scores({(3, 300): 0.75})
    assert store.layer.features["iou"].isna().tolist() == [True, True, False]
    store.refresh_features(shown=0)
    assert list(store.layer.features["frame"]) == [3, 3, 0]
    run(store, result(3, 7))
    assert list(store.layer.features["label"]) == [1, 7]


def test_model_and_settings_stand_in_the_metadata(store):
    run(store, result(3, 1), about={"model": "default", "weights_sha256": "ab", "settings": {"warp": True}})
    notes = store.layer.metadata["masktrack"]
    assert notes["model"] == "default"
    assert notes["settings"] == {"warp": True}
    assert notes["role"] == "result"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (FrameResult(9, image(1), {}, {}), WorkError),
        (FrameResult(-1, image(1), {}, {}), WorkError),
        (FrameResult(0, image(1)[1:], {}, {}), WorkError),
        (FrameResult(0, image(1).astype(float), {}, {}), InputError),
    ],
)
def test_results_that_do_not_fit_are_refused(view, given, error):
    store = ResultStore(view)
    with pytest.raises(error, match="frame"):
        store.write_frame(given)


def test_results_of_a_session_are_taken_over(view, session):
    first = ResultStore(view, session=session)
    run(first, result(3, 1, 300), result(5, 2))
    session.numbers.save_metrics(first.rows())
    (session.results.path / "5.0.0").write_bytes(b"rubbish")
    with Session.open(session.folder, read_only=True) as again:
        for limit in (0, 2**40):
            store = ResultStore(view, session=again, in_memory_up_to=limit)
            assert list(store.restore()) == [1]
            assert store.done == (3,)
            np.testing.assert_array_equal(store.labels(3), image(1, 300))
            numbers = [(row["frame"], row["label"], row["confidence"], row["source"]) for row in store.rows()]
            assert numbers == [(3, 1, 0.5, 0), (3, 300, 0.5, 0)]
        assert "Frame 5" in again.problems[0]


def test_results_are_saved_into_a_session_made_later(view, session):
    store = ResultStore(view)
    run(store, result(3, 1), result(5, 2))
    assert list(store.save_to(session)) == [1, 0]
    assert session.results.written == (3, 5)
    run(store, result(6, 2))
    assert session.results.written == (3, 5, 6)


def test_what_is_propagated_while_results_are_saved_into_a_session_is_saved_too(view, session):
    store = ResultStore(view)
    run(store, result(3, 1), result(5, 2))
    saving = store.save_to(session)
    next(saving)
    run(store, result(3, 7), result(6, 2))
    list(saving)
    assert session.results.written == (3, 5, 6)
    np.testing.assert_array_equal(session.results.read(3), image(7))


def test_numbers_of_a_session_that_was_propagated_in_a_terminal_come_back(view, session):
    session.results.write(3, image(1))
    session.numbers.save_metrics(
        [{"frame": 3, "label": 1, "confidence": 0.5, "source": 0, "agreement": None}]
    )
    store = ResultStore(view, session=session)
    list(store.restore())
    (row,) = store.rows()
    assert (row["confidence"], row["source"]) == (0.5, 0)
    assert np.isnan(row["agreement"])
    assert np.isnan(row["iou"])


def test_a_session_of_another_movie_is_refused(view, tmp_path, pixels):
    reference = MovieReference.of(Movie(pixels[:5, 1:]))
    with Session.create(tmp_path / "other", reference) as other:
        store = ResultStore(view)
        run(store, result(3, 1))
        with pytest.raises(OutputError, match="do not fit"):
            list(store.save_to(other))


def test_a_large_result_lies_on_disk_and_its_temporary_files_go_with_the_layer(viewer):
    import dask.array as da

    data = da.zeros((3000, 1024, 1024), dtype=np.uint8, chunks=(1, -1, -1))
    view = LayerMovie(viewer.add_image(data, contrast_limits=(0, 255)))
    store = ResultStore(view)
    viewer.add_layer(store.layer)
    assert store.on_disk
    labels = np.zeros((1024, 1024), np.uint16)
    labels[5:9] = 3
    run(store, FrameResult(2999, labels, {3: 1.0}, {3: 0}), dims=viewer.dims)
    view.go_to(viewer.dims, 2999)
    assert store.layer.get_value((2999, 5, 5), world=True) == 3
    folder = store.layer.data.source.path
    assert folder.exists()
    store.close()
    assert store.layer.get_value((2999, 5, 5), world=True) == 3
    store.close(gone=True)
    assert not folder.exists()


@pytest.mark.parametrize("axes", [LayerAxes(frame=1, planes={0: 2}), LayerAxes(frame=1, channel=0)])
def test_a_result_on_disk_serves_other_layouts(viewer, axes):
    view = LayerMovie(viewer.add_image(np.zeros((3, 7, *SIZE), np.uint8)), axes)
    store = ResultStore(view, in_memory_up_to=0)
    viewer.add_layer(store.layer)
    run(store, result(4, 1), dims=viewer.dims)
    viewer.dims.set_point((0, 1), (2, 4))
    assert store.layer.get_value(view.layer.data_to_world((2, 4, 0, 5)), world=True) == 1
    store.layer.paint(store.layer.world_to_data((2, 4, 15, 25)), 8)
    assert store.labels(4)[15, 25] == 8
    store.close()


def test_former_frames_are_small_and_outside_the_memory():
    import tracemalloc

    from napari_masktrack.layers.former import FormerFrames

    labels = np.zeros((1000, 1000), np.uint16)
    labels[300:700, 300:700] = np.random.default_rng(0).integers(0, 9, (400, 400))
    former = FormerFrames((1000, 1000))
    tracemalloc.start()
    for frame in range(30):
        former.keep(frame, labels)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 100_000
    np.testing.assert_array_equal(former.get(29), labels)
    former.keep(30, None)
    former.keep(31, np.zeros_like(labels))
    assert former.get(30) is None
    assert not former.get(31).any()
    former.close()
    assert former.frames == ()
