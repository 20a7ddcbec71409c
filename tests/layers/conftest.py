"""A viewer without a window, and movies of every kind."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.layers import LayerMovie


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def pixels():
    """A small movie, (T, Y, X), not square."""
    return np.random.default_rng(0).integers(0, 255, (7, 20, 30)).astype(np.uint8)


@pytest.fixture
def view(viewer, pixels):
    return LayerMovie(viewer.add_image(pixels, name="cells"))


@pytest.fixture
def session(tmp_path, view):
    with Session.create(tmp_path / "s.masktrack", MovieReference.of(view.movie)) as session:
        yield session
