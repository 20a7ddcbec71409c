"""A viewer without a window, and movies of every kind."""

import numpy as np
import pytest
from napari.components import ViewerModel


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def pixels():
    """A small movie, (T, Y, X), not square."""
    return np.random.default_rng(0).integers(0, 255, (7, 20, 30)).astype(np.uint8)
