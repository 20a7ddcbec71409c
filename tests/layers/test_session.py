"""A session follows what is drawn and brings it back, in the window and by drag and drop."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tifffile
from napari.layers import Layer

from napari_masktrack.core.annotation import Absent, Annotations, Mask
from napari_masktrack.core.movie import Movie
from napari_masktrack.errors import AnnotationError, ConfigError, MovieError
from napari_masktrack.io.readers import read_annotations as read_masks
from napari_masktrack.io.session import MovieReference, Session, SessionObject
from napari_masktrack.io.session_drawings import read_shapes as read_shape_file
from napari_masktrack.layers import (
    AnnotationIndex,
    LayerMovie,
    ProbabilityStore,
    ResultStore,
    SessionLink,
    absent_marks,
    mark_absent,
    new_labels,
    new_shapes,
    read_annotations,
    restore_layers,
)
from napari_masktrack.layers.looks import put_aside
from napari_masktrack.layers.reader import get_reader
from napari_masktrack.layers.session import restore_look
from napari_masktrack.propagation import FrameResult

SIZE = (20, 30)


@pytest.fixture
def view(viewer, pixels, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", pixels, metadata={"axes": "TYX"})
    layer = viewer.add_image(
        pixels, name="cells", scale=(2, 0.5, 0.25), translate=(1, 2, 3), contrast_limits=(3, 77)
    )
    return LayerMovie(layer)


@pytest.fixture
def session(tmp_path, view):
    reference = MovieReference.of(view.movie, path=tmp_path / "cells.tif")
    with Session.create(tmp_path / "s.masktrack", reference) as session:
        yield session


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def link(viewer, view, session, clock):
    link = SessionLink(session, view, dims=viewer.dims, clock=clock)
    yield link
    link.close()


@pytest.fixture
def followed(viewer, view, session, link):
    """A result whose painting the link saves."""
    store = ResultStore(view, session=session)
    viewer.add_layer(store.layer)
    link.follow(store)
    return store


def paint(viewer, view, layer, frame, label):
    view.go_to(viewer.dims, frame)
    layer.paint((frame, 10, 10), label)


def test_strokes_are_on_disk_after_a_pause(viewer, view, session, link, clock):
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    link.flush()
    paint(viewer, view, layer, 3, 300)
    assert link.tick() == {"masks": (3,)}
    assert session.annotated_frames() == ()
    assert not link.is_saved
    clock.now += 0.5
    assert link.tick() == {}
    link.flush()
    assert link.is_saved
    np.testing.assert_array_equal(dict(session.label_images())[3], layer.data[3])
    layer.undo()
    assert link.tick() == {"masks": (3,)}
    link.flush()
    assert session.annotated_frames() == ()


def test_at_most_two_seconds_of_painting_without_a_pause_are_not_on_disk(viewer, view, session, link, clock):
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    painted = {}
    for stroke in range(1, 41):
        clock.now += 0.1
        painted[stroke] = clock.now
        paint(viewer, view, layer, 3, stroke)
        if stroke % 3:
            continue
        link.tick()
        due = max((each for each, when in painted.items() if when < clock.now - 1.7), default=0)
        deadline = time.monotonic() + 20
        while due and on_disk(session, 3) < due:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not link.is_saved


def on_disk(session, frame):
    return int(dict(session.label_images()).get(frame, np.zeros(SIZE))[10, 10])


def test_all_that_is_drawn_is_saved_and_restored(viewer, view, session, link):
    masks, scribbles, beside = (
        viewer.add_layer(new_labels(view, r)) for r in ("masks", "scribbles", "beside")
    )
    shapes = viewer.add_layer(new_shapes(view))
    for layer in (masks, scribbles, beside, shapes):
        link.watch(layer)
    paint(viewer, view, masks, 0, 300)
    paint(viewer, view, scribbles, 1, 2)
    view.go_to(viewer.dims, 1)
    beside.paint((1, 2, 25), 2)
    shapes.add_rectangles(np.array([[2, 3, 4], [2, 3, 9], [2, 8, 9], [2, 8, 4]]))
    shapes.add_ellipses(np.array([[4, 3, 4], [4, 3, 9], [4, 8, 9], [4, 8, 4]]))
    shapes.features = {"label": [7, 8]}
    mark_absent(masks, 5, 300)
    link.note("absent")
    link.note("settings", {"model": "mine"})
    link.note("objects", {7: SessionObject("bud")})
    link.note("metrics", [{"frame": 0, "label": 7}])
    link.flush()
    drawn = read_annotations(view, [masks, scribbles, beside, shapes])
    assert len(drawn) == 5
    with Session.open(session.folder, read_only=True) as again:
        assert again.annotations() == drawn
        assert again.settings == {"model": "mine"}
        assert again.objects == {7: SessionObject("bud")}
        assert again.numbers.metrics() == [{"frame": "0", "label": "7"}]
        restored = restore_layers(again, view)
    assert list(restored) == ["masks", "scribbles", "beside", "shapes"]
    assert absent_marks(restored["masks"]) == ((5, 300),)
    assert read_annotations(view, restored.values()) == drawn


def test_what_was_restored_is_not_saved_again(view, session, link, clock):
    session.save_annotation(3, np.full(SIZE, 2))
    path = session.folder / "annotations" / "masks" / "00003.png"
    before = path.stat().st_mtime_ns
    layer = restore_layers(session, view)["masks"]
    link.watch(layer, saved=True)
    assert link.tick() == {}
    link.flush()
    assert path.stat().st_mtime_ns == before


def test_a_layer_painted_before_is_saved_whole(viewer, view, session, link):
    layer = new_labels(view)
    layer.data[2], layer.data[6] = 1, 2
    mark_absent(layer, 4, 1)
    link.watch(layer)
    link.flush()
    assert session.annotated_frames() == (2, 6)
    assert session.absent == ((4, 1),)


def test_one_layer_of_a_kind_is_watched(view, link):
    first = new_labels(view)
    link.watch(first)
    with pytest.raises(ConfigError, match="one layer of masks"):
        link.watch(new_labels(view))
    link.unwatch(first)
    link.watch(new_labels(view))
    link.watch(new_shapes(view))
    with pytest.raises(ConfigError, match="one layer of shapes"):
        link.watch(new_shapes(view))


def test_letting_a_layer_go_keeps_what_was_drawn_on_it(viewer, view, session, link):
    layer, shapes = viewer.add_layer(new_labels(view)), viewer.add_layer(new_shapes(view))
    link.watch(layer)
    link.watch(shapes)
    paint(viewer, view, layer, 3, 1)
    shapes.add_rectangles(np.array([[2, 3, 4], [2, 3, 9], [2, 8, 9], [2, 8, 4]]))
    link.unwatch(layer)
    link.unwatch(shapes)
    assert session.annotated_frames() == (3,)
    assert len(session.shapes()) == 1
    paint(viewer, view, layer, 5, 1)
    shapes.data = []
    link.flush()
    assert session.annotated_frames() == (3,)
    assert len(session.shapes()) == 1


def test_the_drawings_of_a_deleted_layer_leave_the_session_and_are_kept(viewer, view, session, link):
    layer, shapes = viewer.add_layer(new_labels(view)), viewer.add_layer(new_shapes(view))
    link.watch(layer)
    link.watch(shapes)
    paint(viewer, view, layer, 3, 300)
    mark_absent(layer, 5, 300)
    link.note("absent")
    shapes.add_rectangles(np.array([[2, 3, 4], [2, 3, 9], [2, 8, 9], [2, 8, 4]]))
    kept = link.unwatch(layer, gone=True)
    drawn = link.unwatch(shapes, gone=True)
    assert len(session.annotations()) == 0
    assert session.former.drawings == tuple(sorted([kept, drawn]))
    assert read_masks(kept, view.movie) == Annotations([Mask(3, 300, layer.data[3] == 300)])
    assert json.loads((kept / "absent.json").read_text())["absent"] == [[5, 300]]
    assert [shape.frame for shape in read_shape_file(drawn / "shapes.json")] == [2]
    other = viewer.add_layer(new_labels(view))
    link.watch(other)
    paint(viewer, view, other, 4, 1)
    link.flush()
    assert [item.frame for item in session.annotations().items] == [4]


def test_an_empty_layer_leaves_nothing_behind(viewer, view, session, link):
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    assert link.unwatch(layer, gone=True) is None
    assert session.former.drawings == ()


def test_a_layer_that_was_changed_unwatched_is_saved_as_it_is(view, session, link):
    session.save_annotation(3, np.full(SIZE, 2))
    session.save_annotation(4, np.full(SIZE, 2))
    session.save_absent([(6, 2)])
    layer = restore_layers(session, view)["masks"]
    layer.data[3], layer.data[5] = 0, 7
    mark_absent(layer, 6, 2, absent=False)
    link.watch(layer)
    link.flush()
    assert session.annotated_frames() == (4, 5)
    assert session.absent == ()


def test_corrections_of_the_result_are_saved(viewer, view, session, link, followed):
    store = followed
    store.begin()
    store.write_frame(FrameResult(3, np.full(SIZE, 2, np.uint16), {2: 1.0}, {2: 0}), viewer.dims)
    store.end()
    paint(viewer, view, store.layer, 3, 9)
    assert link.tick() == {"result": (3,)}
    link.flush()
    assert session.results.read(3)[10, 10] == 9
    store.layer.brush_size = 100
    paint(viewer, view, store.layer, 3, 0)
    assert link.tick() == {"result": (3,)}
    link.flush()
    assert not session.results.read(3).any()


def test_what_is_painted_where_there_is_no_result_yet_is_saved_and_counts(
    viewer, view, session, link, followed
):
    store = followed
    paint(viewer, view, store.layer, 5, 300)
    link.flush()
    assert session.results.written == store.done == (5,)
    store.layer.undo()
    link.flush()
    assert not session.results.read(5).any()


def test_a_long_stroke_on_the_result_is_saved_before_it_ends(viewer, view, session, link, followed):
    store = followed
    with store.layer.block_history():
        paint(viewer, view, store.layer, 3, 7)
        link.flush()
        assert session.results.read(3)[10, 10] == 7


def test_what_a_propagation_writes_and_takes_back_is_no_painting(viewer, view, session, link, followed):
    store = followed
    store.begin()
    store.write_frame(FrameResult(3, np.full(SIZE, 2, np.uint16), {2: 1.0}, {2: 0}), viewer.dims)
    assert link.tick() == {}
    store.end()
    view.go_to(viewer.dims, 3)
    assert link.tick() == {}
    paint(viewer, view, store.layer, 3, 9)
    link.flush()
    store.revert()
    assert link.tick() == {}
    assert session.results.written == store.done == ()


def test_a_propagation_over_what_was_painted_can_be_taken_back(viewer, view):
    store = ResultStore(view)
    viewer.add_layer(store.layer)
    paint(viewer, view, store.layer, 3, 9)
    painted = store.labels(3)
    store.begin()
    store.write_frame(FrameResult(3, np.full(SIZE, 2, np.uint16), {2: 1.0}, {2: 0}), viewer.dims)
    store.end()
    store.revert()
    np.testing.assert_array_equal(store.labels(3), painted)


def test_an_unfinished_shape_does_not_stop_the_others(viewer, view, session, link):
    shapes = viewer.add_layer(new_shapes(view))
    link.watch(shapes)
    for frame in (2, 3):
        shapes.add_rectangles(np.array([[frame, 3, 4], [frame, 3, 9], [frame, 8, 9], [frame, 8, 4]]))
    shapes.features = {"label": [7, np.nan]}
    link.flush()
    assert [shape.frame for shape in session.shapes()] == [2]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_a_layer_that_is_turned_away_is_reported(viewer, view, link):
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    paint(viewer, view, layer, 3, 1)
    layer.rotate = (0, 30, 0)
    with pytest.raises(AnnotationError, match="turned or sheared"):
        link.tick()
    layer.rotate = (0, 0, 0)
    assert link.tick() == {"masks": (3,)}


def test_a_layer_that_was_turned_away_and_deleted_makes_room_for_another(viewer, view, session, link):
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    paint(viewer, view, layer, 3, 1)
    link.flush()
    paint(viewer, view, layer, 4, 1)
    link.tick()
    layer.rotate = 30
    assert link.unwatch(layer, gone=True) is not None
    other = viewer.add_layer(new_labels(view))
    link.watch(other)
    paint(viewer, view, other, 5, 1)
    link.flush()
    assert session.annotated_frames() == (5,)


def test_files_are_not_written_on_the_main_thread(viewer, view, session, link, monkeypatch):
    threads = []
    save = session.save_annotation
    monkeypatch.setattr(
        session,
        "save_annotation",
        lambda *args, **options: (threads.append(threading.current_thread()), save(*args, **options)),
    )
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    paint(viewer, view, layer, 3, 1)
    link.flush()
    assert threads
    assert threading.main_thread() not in threads


def test_closing_saves_and_lets_go(viewer, view, session):
    link = SessionLink(session, view)
    layer = viewer.add_layer(new_labels(view))
    index = link.watch(layer)
    paint(viewer, view, layer, 3, 1)
    link.close()
    assert session.annotated_frames() == (3,)
    assert index.settle() == (3,)
    paint(viewer, view, layer, 5, 1)
    assert index.settle() == ()


def test_a_layer_is_saved_by_the_index_of_who_follows_it_already(viewer, view, session, link):
    layer = viewer.add_layer(new_labels(view))
    index = AnnotationIndex(layer, view)
    paint(viewer, view, layer, 3, 1)
    assert index.settle() == (3,)
    assert link.watch(index) is index
    paint(viewer, view, layer, 4, 1)
    link.flush()
    assert session.annotated_frames() == (3, 4)
    assert index.settle() == (4,)  # the session took nothing away from it
    link.close()
    paint(viewer, view, layer, 5, 1)
    assert index.settle() == (5,)
    index.close()


def test_a_layer_that_is_followed_anew_is_saved_by_the_other_index(viewer, view, session, link):
    layer = viewer.add_layer(new_labels(view))
    first = AnnotationIndex(layer, view)
    link.watch(first)
    paint(viewer, view, layer, 3, 1)
    paint(viewer, view, layer, 4, 1)
    link.flush()
    first.close()
    layer.data[3] = 0
    second = AnnotationIndex(layer, view)
    link.watch(second)
    paint(viewer, view, layer, 5, 1)
    link.flush()
    assert session.annotated_frames() == (4, 5)
    second.close()


def test_layers_of_another_movie_are_not_restored(viewer, session, pixels):
    other = LayerMovie(viewer.add_image(pixels[:, ::-1], name="mirrored"))
    with pytest.raises(MovieError, match="other pixels"):
        restore_layers(session, other)


def test_a_movie_that_was_checked_is_not_read_again(view, session, monkeypatch):
    monkeypatch.setattr(session, "check_movie", lambda _: pytest.fail("the movie was read"))
    assert list(restore_layers(session, view, checked=True)) == ["masks"]


# Drag and drop


def test_a_dropped_session_brings_movie_drawings_and_result(viewer, view, session, link, pixels):
    layer = viewer.add_layer(new_labels(view))
    link.watch(layer)
    paint(viewer, view, layer, 3, 300)
    store = ResultStore(view, session=session)
    store.begin()
    store.write_frame(FrameResult(4, np.full(SIZE, 300, np.uint16), {300: 0.5}, {300: 3}))
    store.end()
    link.note("metrics", store.rows())
    link.flush()
    read = get_reader(str(session.folder))
    viewer.layers.clear()
    for data, options, kind in read(str(session.folder)):
        getattr(viewer, f"add_{kind}")(data, **options)
    image, masks, result = viewer.layers
    assert (image.name, masks.name, result.name) == ("cells", "cells masks", "cells result")
    np.testing.assert_allclose(image.scale, (2, 0.5, 0.25))
    np.testing.assert_allclose(image.translate, (1, 2, 3))
    assert image.contrast_limits == [3, 77]
    again = LayerMovie(image)
    np.testing.assert_array_equal(again.movie.raw(3), pixels[3])
    assert read_annotations(again, [masks]) == Annotations([Mask(3, 300, layer.data[3] == 300)])
    assert np.asarray(result.data[4]).min() == 300
    assert list(result.features["confidence"]) == [0.5]
    assert image.metadata["masktrack"]["session"] == str(session.folder)


def test_a_dropped_colour_movie_stays_in_colour(viewer, tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (4, *SIZE, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", data, metadata={"axes": "TYXS"}, photometric="rgb")
    movie = Movie(data, axes="tyxc", name="rgb")
    with Session.create(tmp_path / "s", MovieReference.of(movie, path=tmp_path / "rgb.tif")) as session:
        session.save_annotation(2, np.full(SIZE, 1))
    for content, options, kind in get_reader(str(tmp_path / "s"))(tmp_path / "s"):
        getattr(viewer, f"add_{kind}")(content, **options)
    image, masks = viewer.layers
    assert image.rgb
    assert masks.data.shape == (4, *SIZE)


@pytest.mark.parametrize("name", ["cells.tif", ".", "nothing"])
def test_other_things_are_left_to_other_readers(view, tmp_path, name):
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / name)]) is None


def test_a_session_whose_movie_is_gone_says_so(session, tmp_path):
    (tmp_path / "cells.tif").unlink()
    with pytest.raises(MovieError, match=r"cells\.tif .*not there any more"):
        get_reader(str(session.folder))(session.folder)


def test_no_qt_is_imported_but_by_napari():
    found = []
    for module in ("napari.components, napari.layers", "napari_masktrack.layers.reader"):
        code = f"import sys, {module}; print(*(name for name in sys.modules if 'qt' in name.lower()))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found.append(set(done.stdout.split()))
    assert found[1] <= found[0]


def test_layers_are_shown_again_as_they_were(viewer, view, session, link):
    masks = viewer.add_layer(new_labels(view))
    link.watch(masks)
    paint(viewer, view, masks, 3, 300)
    result, probability = ResultStore(view, session=session), ProbabilityStore(view, session=session)
    result.write_frame(FrameResult(4, np.full(SIZE, 300, np.uint16), {300: 0.5}, {300: 3}))
    probability.write_frame(4, np.full(SIZE, 200, np.uint8))
    link.show("result", result.layer)
    link.show("probability", probability.layer)
    masks.opacity, masks.contour = 0.25, 3
    result.layer.blending, result.layer.contour, result.layer.opacity = "additive", 2, 0.375
    probability.layer.visible, probability.layer.colormap = False, "viridis"
    probability.layer.contrast_limits = (9, 99)
    link.flush()
    read = {content[1]["name"]: content for content in get_reader(str(session.folder))(session.folder)}
    seen = {}
    for role in ("masks", "result", "probability"):
        seen[role] = Layer.create(*read[f"cells {role}"])
        restore_look(session, role, seen[role])  # a dock does; napari's readers cannot say the contour
    masks, result, probability = seen.values()
    assert (masks.opacity, masks.contour) == (0.25, 3)
    assert (result.blending, result.contour, result.opacity) == ("additive", 2, 0.375)
    assert (probability.visible, probability.colormap.name) == (False, "viridis")
    assert probability.contrast_limits == [9, 99]
    assert read["cells result"][1]["opacity"] == 0.375  # also without a dock
    assert not read["cells probability"][1]["visible"]


def test_a_look_that_makes_no_sense_changes_nothing(viewer, view, session):
    session.save_layer({"looks": {"masks": {"opacity": "much", "blending": "odd", "contour": 1}}})
    layer = restore_layers(session, view)["masks"]
    assert (layer.opacity, layer.blending, layer.contour) == (0.7, "translucent", 1)


def test_a_layer_that_is_put_aside_for_a_while_is_not_hidden_for_good(view, session, link):
    layer = new_labels(view)
    link.watch(layer)
    put_aside(layer, aside=True)
    link.flush()
    assert not layer.visible
    assert restore_layers(session, view)["masks"].visible
    put_aside(layer, aside=False)
    assert layer.visible
    layer.visible = False
    link.flush()
    assert not restore_layers(session, view)["masks"].visible


def test_an_absent_object_may_have_strokes_beside_it(viewer, view, session):
    beside = viewer.add_layer(new_labels(view, "beside"))
    masks = viewer.add_layer(new_labels(view))
    paint(viewer, view, beside, 3, 1)
    mark_absent(masks, 3, 1)
    assert read_annotations(view, [masks, beside]) == Annotations([Absent(3, 1)])
