"""One index follows each layer that is drawn on: for the lists, for the run and for the session."""

import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_masktrack.errors import AnnotationError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.layers import LayerMovie, SessionLink
from napari_masktrack.layers.create import new_labels
from napari_masktrack.widgets.drawings import Drawings
from napari_masktrack.widgets.watched import Watched


class Slow:
    """A label array of which each frame takes a while to read, and which counts how often."""

    def __init__(self, array, seconds=0.02):
        self.array, self.seconds, self.reads = array, seconds, []
        self.shape, self.dtype, self.ndim, self.size = array.shape, array.dtype, array.ndim, array.size

    def __getitem__(self, key):
        if isinstance(key, tuple) and isinstance(key[0], int):
            time.sleep(self.seconds)
            self.reads.append(key[0])
        return self.array[key]


@pytest.fixture
def view(qapp):
    return LayerMovie(ViewerModel().add_image(np.zeros((60, 20, 30), np.uint8), name="cells"))


@pytest.fixture
def slow():
    array = np.zeros((60, 20, 30), np.uint16)
    array[::3, 3:9, 3:9] = 4
    return Slow(array)


@pytest.fixture
def drawings(view, slow):
    viewer = ViewerModel()
    viewer.add_layer(view.layer)
    drawings = Drawings(viewer, view)
    drawings.take("masks", viewer.add_labels(slow, name="mine", visible=False))
    slow.reads.clear()
    yield drawings
    drawings.release()


def test_another_object_waits_for_a_long_layer_in_words_and_not_in_a_frozen_window(drawings, slow):
    drawings.indices["masks"].touch([3])
    with pytest.raises(AnnotationError, match="'mine' is still being looked through, 59 frames are left"):
        drawings.new_object()
    assert set(slow.reads) == {3}
    assert (drawings.objects, drawings.label) == ({4: (3,)}, 1)
    drawings.settle()
    assert drawings.new_object() == 5
    assert drawings.objects == {4: tuple(range(0, 60, 3)), 5: ()}


def test_another_object_is_none_of_those_on_frames_that_were_not_looked_at(view):
    viewer = ViewerModel()
    viewer.add_layer(view.layer)
    drawings, masks, strokes = Drawings(viewer, view), *(np.zeros((60, 20, 30), np.uint16) for _ in range(2))
    masks[0, 3:9, 3:9], masks[59, 3:9, 3:9], strokes[30, 3:9, 12:18] = 1, 2, 3
    drawings.take("masks", viewer.add_labels(masks))
    layer = new_labels(view, "scribbles", array=strokes)
    drawings.take("scribbles", viewer.add_layer(layer))
    assert drawings.new_object() == 4
    drawings.settle()
    assert drawings.objects == {1: (0,), 2: (59,), 3: (30,), 4: ()}
    drawings.release()


def test_absent_is_refused_where_the_object_is_painted_though_nobody_looked_there_yet(drawings, slow):
    with pytest.raises(AnnotationError, match="Object 4 is drawn on frame 57; erase it there"):
        drawings.set_absent(57, 4, absent=True)
    drawings.set_absent(58, 4, absent=True)
    assert slow.reads == [57, 58]
    assert drawings.absent == ((58, 4),)


def test_lists_and_session_read_a_long_layer_once(drawings, view, slow, tmp_path):
    with Session.create(tmp_path / "s.masktrack", MovieReference.of(view.movie)) as session:
        link = SessionLink(session, view)
        Watched(link, print, print).follow(drawings.followed)
        link.tick()
        drawings.settle()
        assert sorted(slow.reads) == list(range(60))
        assert drawings.frames == tuple(range(0, 60, 3))
        link.flush()
        assert session.annotated_frames() == drawings.frames
        link.close()


def test_a_layer_that_is_given_up_and_taken_again_is_saved(drawings, view, tmp_path):
    layer = drawings.layers["masks"]
    with Session.create(tmp_path / "s.masktrack", MovieReference.of(view.movie)) as session:
        link = SessionLink(session, view)
        watched = Watched(link, print, print)
        watched.follow(drawings.followed)
        drawings.take("masks", None)
        drawings.take("masks", layer)
        watched.follow(drawings.followed)
        layer.data.array[1, 3:9, 3:9] = 1
        drawings.indices["masks"].touch([1])
        link.flush()
        assert session.annotated_frames() == (0, 1, *range(3, 60, 3))
        assert session.former.drawings == ()
        link.close()


def test_what_others_wrote_in_place_is_propagated(dock, truth, finish):
    masks = dock.workspace.drawings.ensure("masks")
    dock.workspace.go_to(4)
    dock.workspace.drawings.settle()
    masks.data[0] = truth.frame(0).labels
    masks.refresh()
    dock.bar.run.click()
    finish(dock)
    assert dock.workspace.drawings.frames == (0,)
    assert dock.workspace.result.done == tuple(range(len(truth)))


def test_what_others_wrote_in_place_on_the_shown_frame_is_noticed_by_itself(dock, truth, qtbot):
    masks = dock.workspace.drawings.ensure("masks")
    dock.workspace.go_to(2)
    dock.workspace.drawings.settle()
    masks.data[2] = truth.frame(2).labels
    masks.refresh()
    qtbot.waitUntil(lambda: dock.workspace.drawings.frames == (2,))
