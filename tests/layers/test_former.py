"""The former frames of a result, and a temporary folder that is full."""

import io

import numpy as np
import pytest

from napari_masktrack.errors import WorkError
from napari_masktrack.layers.former import FormerFrames

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
