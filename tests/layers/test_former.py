"""The former frames of a result, and a temporary folder that is full."""

import io

import numpy as np
import pytest

from napari_masktrack.errors import WorkError
from napari_masktrack.layers import ResultStore
from napari_masktrack.layers.former import FormerFrames
from napari_masktrack.propagation import FrameResult

NO_SPACE = OSError(28, "No space left on device")


class FullFile(io.BytesIO):
    """A file that notices only when it is flushed or closed that the disk is full."""

    def flush(self):
        raise NO_SPACE

    def close(self):
        super().close()
        raise NO_SPACE


def no_file():
    raise NO_SPACE


@pytest.mark.parametrize("file", [no_file, FullFile])
def test_a_frame_that_a_full_disk_does_not_take_is_not_called_kept(monkeypatch, file):
    former, labels = FormerFrames((4, 5)), np.ones((4, 5), np.uint16)
    with monkeypatch.context() as full:
        full.setattr("napari_masktrack.layers.former.tempfile.TemporaryFile", lambda **_: file())
        with pytest.raises(WorkError, match=r"\(No space left on device\); make room"):
            former.keep(1, labels)
    assert former.frames == ()
    former.close()
    former.keep(1, labels)
    np.testing.assert_array_equal(former.get(1), labels)
    former.close()


class LostFile(io.BytesIO):
    """A file whose drive does not answer for a while."""

    lost = False

    def read(self, *size):
        if self.lost:
            raise OSError(5, "Input/output error")
        return super().read(*size)


def test_a_frame_that_cannot_be_read_back_is_not_said_to_find_no_room(monkeypatch):
    file, former, labels = LostFile(), FormerFrames((4, 5)), np.ones((4, 5), np.uint16)
    monkeypatch.setattr("napari_masktrack.layers.former.tempfile.TemporaryFile", lambda **_: file)
    former.keep(1, labels)
    file.lost = True
    with pytest.raises(WorkError, match=r"could not be read from .*\(Input/output error\); see that"):
        former.get(1)
    file.lost = False
    np.testing.assert_array_equal(former.get(1), labels)


def test_frames_are_kept_in_room_that_was_taken_before():
    former = FormerFrames((4, 5))
    former.reserve()
    for frame in range(3):
        former.keep(frame, np.full((4, 5), frame + 1, np.uint16))
    assert [int(former.get(frame).min()) for frame in range(3)] == [1, 2, 3]
    former.close()


@pytest.mark.parametrize("file", [no_file, FullFile])
def test_a_run_that_finds_no_room_leaves_the_last_one_its_way_back(view, monkeypatch, file):
    def masks(label):
        return FrameResult(1, np.full((20, 30), label, np.uint16), {label: label / 10}, {label: 0})

    store = ResultStore(view)
    for label in (1, 2):
        store.begin()
        store.write_frame(masks(label))
        store.end()
    with monkeypatch.context() as full:
        full.setattr("napari_masktrack.layers.former.tempfile.TemporaryFile", lambda **_: file())
        store.begin({"model": "another"})
        with pytest.raises(WorkError, match="make room there"):
            store.write_frame(masks(3))
        store.end()
    assert (int(store.labels(1).max()), store.can_revert) == (2, True)
    store.revert()
    assert (int(store.labels(1).max()), store.rows()[0]["confidence"]) == (1, 0.1)
    assert "model" not in store.layer.metadata["masktrack"]
