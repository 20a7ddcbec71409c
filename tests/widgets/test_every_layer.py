"""The whole way, from painting to the result, on every kind of layer."""

from functools import partial

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_masktrack.config import PropagationConfig
from napari_masktrack.core.metrics import region_similarity
from napari_masktrack.widgets import MaskTrackDock
from napari_masktrack.widgets.engine import Engine
from napari_masktrack.widgets.exports import export

FRAMES, SIZE = 4, (40, 64)
ROWS, COLUMNS = np.indices(SIZE)
TRUTH = np.stack([np.hypot(ROWS - 18, COLUMNS - 24 - frame) < 9 for frame in range(FRAMES)])
"""A disk that moves one pixel per frame."""
LEVELS = {"uint8": (20, 200), "uint16": (500, 30_000), "int16": (-100, 2000), "float32": (0.1, 0.9)}
BACKINGS = {"numpy": np.asarray, "dask": partial(da.from_array, chunks=-1), "zarr": zarr.array}


def pixels(kind="uint8"):
    low, high = LEVELS.get(kind, (0, 1))
    return np.where(TRUTH, high, low).astype(kind)


def in_depth(planes):
    """Give volumes in which the object is on every plane."""
    return np.stack([pixels()] * planes, axis=1)


SHAPES = {
    "(T, Y, X)": (pixels, {}),
    "(Z, Y, X)": (pixels, {"axis_labels": ("z", "y", "x")}),
    "(T, Y, X, 3)": (lambda: np.stack([pixels()] * 3, axis=-1), {"rgb": True}),
    "(T, C, Y, X)": (lambda: in_depth(2), {}),
    "(T, Z, Y, X)": (lambda: in_depth(5), {}),
    "T = 1": (lambda: pixels()[:1], {}),
    "one image": (lambda: pixels()[0], {}),
}
PLACES = {
    "scaled": {"scale": (2, 0.5, 0.25)},
    "translated": {"translate": (3, -7, 11)},
    "rotated": {"rotate": 30},
    "sheared": {"shear": (0, 0, 0.2)},
    "all of it": {
        "scale": (2, 0.5, 0.25),
        "translate": (3, -7, 11),
        "rotate": 30,
        "units": ("s", "um", "um"),
    },
}


@pytest.fixture
def open_dock(qtbot, tracker):
    docks = []

    def act(data, **options):
        viewer = ViewerModel()
        viewer.add_image(data, name="cells", **options)
        dock = MaskTrackDock(viewer, Engine(lambda model, device: tracker))
        dock.finetune.set_value("off")
        dock.propagate.set_value(PropagationConfig(crop_size=96, warp=False))
        qtbot.addWidget(dock)
        docks.append(dock)
        return dock

    yield act
    for dock in docks:
        dock.release()


def go(dock, finish, *, label=1):
    """Paint the first frame, press the button, and give the mean J of all frames."""
    dock.workspace.drawings.paint(0, np.where(TRUTH[0], label, 0))
    dock.bar.run.click()
    finish(dock)
    result = dock.workspace.result
    assert result.done == tuple(range(len(dock.workspace.view))), dock.bar.message.text()
    return np.mean([region_similarity(TRUTH[frame], result.labels(frame) == label) for frame in result.done])


def same_place(dock):
    """Whether the result shows the object where the image does."""
    view, layer = dock.workspace.view, dock.workspace.result.layer
    for frame in dock.workspace.result.done:
        point = np.zeros(view.layer.ndim)
        for axis, plane in view.axes.planes.items():
            point[axis] = plane
        if view.axes.frame is not None:
            point[view.axes.frame] = frame
        for place, inside in (((18, 24 + frame), True), ((18, 50), False), ((3, 24), False)):
            point[[view.rows, view.columns]] = place
            there = view.layer.data_to_world(point)
            dock.viewer.dims.set_point(range(view.layer.ndim), there)
            seen = layer.get_value(there, world=True)
            if bool(seen == 1) != inside:
                return False
    return True


@pytest.mark.parametrize("backing", BACKINGS)
@pytest.mark.parametrize("kind", [*LEVELS, "bool"])
def test_every_type_and_array_is_tracked(open_dock, finish, kind, backing):
    dock = open_dock(BACKINGS[backing](pixels(kind)))
    assert go(dock, finish) >= 0.9
    assert same_place(dock)


@pytest.mark.parametrize("backing", ["numpy", "dask"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_tracked(open_dock, finish, shape, backing):
    make, options = SHAPES[shape]
    dock = open_dock(BACKINGS[backing](make()), **options)
    assert go(dock, finish) >= 0.9
    assert same_place(dock)


@pytest.mark.parametrize("place", PLACES)
def test_the_result_lies_where_the_movie_does(open_dock, finish, place):
    dock = open_dock(pixels(), **PLACES[place])
    assert go(dock, finish) >= 0.9
    assert same_place(dock)
    movie, result = dock.workspace.view.layer, dock.workspace.result.layer
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(result, name), getattr(movie, name))
    assert (result.units, result.axis_labels) == (movie.units, movie.axis_labels)


def test_multiscale_is_tracked_at_full_resolution(open_dock, finish):
    full = pixels()
    dock = open_dock([full, full[:, ::2, ::2]], multiscale=True, scale=(1, 0.5, 0.5))
    assert go(dock, finish) >= 0.9
    assert dock.workspace.result.layer.data.shape == full.shape
    assert same_place(dock)


@pytest.mark.parametrize("label", [1, 300, 65535])
def test_ids_stay_what_they_are(open_dock, finish, tmp_path, label):
    import tifffile

    dock = open_dock(pixels())
    assert go(dock, finish, label=label) >= 0.9
    assert [entry.label for entry in dock.annotate.table.value()] == [label]
    dock.annotate.table.selectRow(0)
    assert dock.workspace.drawings.layers["masks"].selected_label == label
    export(dock, tmp_path / "masks.tif", "tif")
    finish(dock)
    written = tifffile.imread(tmp_path / "masks.tif")
    assert set(np.unique(written)) == {0, label}
    np.testing.assert_array_equal(written[2], dock.workspace.result.labels(2))


def test_a_result_beyond_the_limit_lies_on_disk_and_is_used_like_any_other(open_dock, finish, tmp_path):
    import tifffile

    dock = open_dock(pixels())
    dock.workspace.in_memory_up_to = 1000
    assert go(dock, finish) >= 0.9
    result = dock.workspace.result
    assert result.on_disk
    assert same_place(dock)
    before = result.labels(3)
    dock.viewer.dims.set_point(0, 3)
    dock.commands.do("use result")
    wrong = np.where(COLUMNS < 28, before, 0)
    dock.workspace.drawings.paint(3, wrong)
    dock.propagate.touched.setChecked(True)
    dock.bar.run.click()
    finish(dock)
    np.testing.assert_array_equal(result.labels(3), wrong)
    dock.commands.do("revert")
    finish(dock)
    np.testing.assert_array_equal(result.labels(3), before)
    export(dock, tmp_path / "masks.tif", "tif")
    finish(dock)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "masks.tif")[3], before)
