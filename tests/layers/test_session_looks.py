"""A session keeps where the movie is in the window, also when that changes in the middle."""

import numpy as np

from napari_masktrack.layers import SessionLink


def test_a_movie_that_gets_another_scale_comes_back_with_it(view, session):
    link = SessionLink(session, view)
    link.flush()
    view.layer.scale, view.layer.translate = (1, 0.5, 0.5), (0, 7, 0)
    view.layer.contrast_limits = (3, 30)
    link.flush()
    kept = session.layer
    assert (kept["scale"], kept["translate"]) == ([1, 0.5, 0.5], [0, 7, 0])
    assert kept["contrast_limits"] == [3, 30]
    link.tick()
    assert link.is_saved  # nothing changed since
    link.close()


def test_where_other_pixels_are_is_not_where_the_movie_was(view, session, pixels):
    view.layer.scale = (1, 0.5, 0.5)
    link = SessionLink(session, view)
    link.flush()
    view.layer.data = np.stack([pixels] * 3)
    view.layer.scale = (1, 1, 2, 2)
    link.close()
    assert (session.layer["ndim"], session.layer["scale"]) == (3, [1, 0.5, 0.5])
