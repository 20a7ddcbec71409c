"""Every kind of layer becomes a movie, or is refused with an explicit choice."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_masktrack.widgets.movie_section import MovieSection


@pytest.fixture
def open_section(qtbot):
    sections = []

    def act(data, **options):
        viewer = ViewerModel()
        viewer.add_image(data, **options)
        section = MovieSection(viewer)
        qtbot.addWidget(section)
        sections.append(section)
        return section

    yield act
    for section in sections:
        section.release()


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "bool"])
@pytest.mark.parametrize("wrap", [np.asarray, da.from_array, zarr.array], ids=["numpy", "dask", "zarr"])
def test_types_and_arrays(open_section, kind, wrap):
    view = open_section(wrap(np.zeros((7, 20, 30), kind))).value()
    assert (len(view), view.movie.shape, view.layout.shape) == (7, (20, 30), (7, 20, 30))
    assert view.movie.image(3).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("shape", "options", "frames", "layout"),
    [
        ((7, 20, 30, 3), {"rgb": True}, 7, (7, 20, 30)),
        ((7, 2, 20, 30), {}, 7, (7, 1, 20, 30)),
        ((1, 20, 30), {}, 1, (1, 20, 30)),
        ((20, 30), {}, 1, (20, 30)),
        ((7, 9, 20, 30), {}, 7, (7, 1, 20, 30)),
    ],
    ids=["rgb", "channels", "one frame", "one image", "volumes"],
)
def test_shapes(open_section, shape, options, frames, layout):
    section = open_section(np.zeros(shape, np.uint8), **options)
    view = section.value()
    assert (len(view), view.layout.shape) == (frames, layout)


def test_a_movie_of_volumes_asks_to_look_and_its_plane_can_be_chosen(open_section):
    section = open_section(np.zeros((7, 9, 20, 30), np.uint8))
    assert section.value().axes.planes == {1: 4}
    section.planes[1].setValue(2)
    assert section.value().axes.planes == {1: 2}
    section.frame_axis.setCurrentIndex(section.frame_axis.findData(1))
    assert len(section.value()) == 9


def test_axes_can_be_changed_and_nonsense_is_refused_in_words(open_section):
    section = open_section(np.zeros((7, 2, 20, 30), np.uint8))
    section.channel_axis.setCurrentIndex(section.channel_axis.findData(0))
    assert section.value() is None
    assert "\N{WARNING SIGN}" in section.reason.text()
    section.frame_axis.setCurrentIndex(section.frame_axis.findData(1))
    assert len(section.value()) == 2


def test_one_channel_can_be_chosen(open_section):
    data = np.zeros((3, 2, 20, 30), np.uint8)
    data[:, 1] = 200
    section = open_section(data)
    section.channel.setCurrentIndex(section.channel.findData(1))
    assert section.value().movie.channels == (1,)


def test_another_time_axis_leaves_the_channel_that_was_chosen(open_section):
    section = open_section(np.zeros((7, 2, 20, 30), np.uint8))
    time = section.frame_axis.currentIndex()
    section.channel.setCurrentIndex(section.channel.findData(1))
    section.frame_axis.setCurrentIndex(section.frame_axis.findData(None))
    section.frame_axis.setCurrentIndex(time)
    assert section.value().channel == 1
    section.channel_axis.setCurrentIndex(section.channel_axis.findData(None))
    assert section.channel.currentData() is None


def test_multiscale_and_transforms_use_full_resolution_and_keep_their_place(open_section):
    full = np.zeros((5, 40, 60), np.uint8)
    section = open_section(
        [full, full[:, ::2, ::2]], multiscale=True, scale=(2, 0.5, 0.25), translate=(1, 2, 3), rotate=10
    )
    assert section.value().movie.shape == (40, 60)


def test_no_image_says_what_to_do(qtbot):
    section = MovieSection(ViewerModel())
    qtbot.addWidget(section)
    assert section.value() is None
    assert "Open an image" in section.reason.text()
    section.release()
