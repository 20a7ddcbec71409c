"""Layers that left a session, on a disk that refuses for a while."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_masktrack.errors import WorkError
from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.io.session_former import FormerWork
from napari_masktrack.layers import LayerMovie, SessionLink, new_labels
from napari_masktrack.widgets.watched import RETRY, Watched


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def view():
    return LayerMovie(ViewerModel().add_image(np.zeros((7, 20, 30), np.uint8), name="cells"))


@pytest.fixture
def session(tmp_path, view):
    with Session.create(tmp_path / "s.masktrack", MovieReference.of(view.movie)) as session:
        yield session


@pytest.fixture
def link(session, view):
    link = SessionLink(session, view)
    yield link
    link.close()


def painted(view, frame):
    layer = new_labels(view)
    layer.data[frame, 3:9, 3:9] = 1
    return layer


@pytest.mark.parametrize("what", ["take_drawings", "save_annotation"])
def test_a_layer_that_left_stays_saved_until_the_disk_takes_its_drawings(
    view, session, link, monkeypatch, what
):
    owner = session.former if what == "take_drawings" else session
    said, complaints, clock = [], [], Clock()
    watched = Watched(link, said.append, complaints.append, clock)
    first, second = painted(view, 2), painted(view, 4)
    if what == "take_drawings":
        watched.follow([first])
        link.flush()

    def refuse(*_, **__):
        raise WorkError("The disk is full; make room.")

    with monkeypatch.context() as full:
        full.setattr(type(owner), what, refuse)
        if what == "save_annotation":
            watched.follow([first])  # and what is on it cannot be saved
        watched.follow([second])
        assert not watched.is_settled
        assert "disk is full; make room. Until then 'cells masks' stays in the session" in complaints[-1]
        assert link.indices["masks"].layer is first
        count = len(complaints)
        watched.retry()
        assert len(complaints) == count  # not yet
        clock.now += RETRY
        watched.retry()
        assert len(complaints) == count + 1
    watched.retry(now=True)
    assert watched.is_settled
    link.flush()
    assert session.annotated_frames() == (4,)
    (kept,) = session.former.drawings
    assert [path.name for path in kept.iterdir()] == ["00002.png"]
    assert str(kept) in said[-1]


def test_a_layer_that_comes_back_meanwhile_is_saved_as_before(view, session, link, monkeypatch):
    complaints = []
    watched = Watched(link, complaints.append, complaints.append)
    layer = painted(view, 2)
    watched.follow([layer])
    with monkeypatch.context() as full:
        full.setattr(FormerWork, "take_drawings", lambda *_: (_ for _ in ()).throw(WorkError("Full.")))
        watched.follow([])
    watched.follow([layer])
    assert watched.is_settled
    assert link.indices["masks"].layer is layer
    assert session.former.drawings == ()
    assert session.annotated_frames() == (2,)
