"""Where masks from two annotations meet."""

import numpy as np

from napari_masktrack.core.agreement import agreement


class Masks:
    """Two objects on six frames, annotated on the first and the last; object 2 sits still."""

    def __init__(self, jump):
        self.images = np.zeros((6, 8, 20), np.uint16)
        self.images[:, 6:, :4] = 2
        self.images[:3, :4, :10] = 1
        self.images[3:, :4, jump : 10 + jump] = 1

    def rows(self):
        for frame in range(6):
            for label in (1, 2):
                yield {"frame": frame, "label": label, "source": 0 if frame < 3 else 5}

    def labels(self, frame):
        return self.images[frame]


def meetings(jump, frames=6):
    found = {}
    looked_at = list(agreement(Masks(jump), frames, found))
    return looked_at, found


def test_masks_are_compared_on_the_two_frames_where_their_sources_change():
    looked_at, found = meetings(jump=0)
    assert looked_at == [2, 2]
    for label in (1, 2):
        assert list(found[label][[2, 3]]) == [1, 1]
        assert np.isnan(found[label][[0, 1, 4, 5]]).all()


def test_an_object_that_is_somewhere_else_afterwards_does_not_agree():
    _, found = meetings(jump=5)
    assert found[1][2] == found[1][3] == 5 / 15
    assert found[2][2] == 1
