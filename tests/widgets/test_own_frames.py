"""What the user painted is never overwritten: by J, by the network's masks for boxes, by an import."""

import numpy as np
import pytest
from napari.layers import Labels
from PIL import Image

EDGE = (slice(0, 6), slice(0, 9))
"""A corner where no object is."""


@pytest.fixture
def propagated(dock, paint, finish):
    """A dock with a result, that shows frame 3."""
    dock.finetune.set_value("off")
    paint(dock, 0)
    dock.bar.run.click()
    finish(dock)
    dock.workspace.go_to(3)
    return dock


def use_result(dock):
    dock.attempt(lambda: dock.commands.do("use result"))
    return dock.workspace.drawings.painted(dock.workspace.frame)


def stroke(dock, frame, place, label):
    layer = dock.workspace.drawings.ensure("masks")
    rows, columns = np.mgrid[place]
    layer.data_setitem((np.full(rows.size, frame), rows.ravel(), columns.ravel()), label)


# J


def test_what_was_painted_since_the_run_stays_when_the_result_is_used(propagated):
    result = propagated.workspace.result.labels(3)
    middle = tuple(slice(int(c) - 2, int(c) + 3) for c in np.argwhere(result == 1).mean(axis=0))
    stroke(propagated, 3, EDGE, 1)
    stroke(propagated, 3, middle, 7)
    expected = result.copy()
    expected[EDGE], expected[middle] = 1, 7
    np.testing.assert_array_equal(use_result(propagated), expected)
    assert "What you painted there stays" in propagated.bar.message.text()


def test_pressed_twice_it_does_not_bring_back_what_was_erased(propagated):
    kept = use_result(propagated)
    stroke(propagated, 3, (slice(int(np.argwhere(kept)[:, 0].mean()), 96), slice(0, 128)), 0)
    stroke(propagated, 3, EDGE, 1)
    erased = propagated.workspace.drawings.painted(3)
    assert not np.array_equal(erased, kept)
    np.testing.assert_array_equal(use_result(propagated), erased)


def test_pressed_again_after_an_undo_it_takes_the_result_again(propagated):
    stroke(propagated, 3, EDGE, 1)
    taken = use_result(propagated)
    propagated.workspace.drawings.layers["masks"].undo()
    assert (propagated.workspace.drawings.painted(3) > 0).sum() == 54
    np.testing.assert_array_equal(use_result(propagated), taken)


def test_while_it_works_on_a_painted_frame_the_frame_stays_as_it_is_painted(
    propagated, tracker, finish, qtbot
):
    stroke(propagated, 3, EDGE, 1)
    tracker.frame_seconds = 0.2
    propagated.bar.run.click()
    qtbot.waitUntil(lambda: propagated.runner.is_running)
    assert (use_result(propagated)[EDGE] == 1).all()
    finish(propagated)


def test_a_result_of_an_unchanged_frame_is_taken_as_it_is(propagated, finish):
    use_result(propagated)
    propagated.bar.run.click()
    finish(propagated)
    layer = propagated.workspace.result.layer
    layer.data_setitem((np.full(4, 3), np.arange(4), np.arange(4)), 9)
    np.testing.assert_array_equal(use_result(propagated), propagated.workspace.result.labels(3))


def test_an_object_that_is_marked_absent_does_not_come_with_the_result(propagated):
    drawings = propagated.workspace.drawings
    drawings.set_absent(3, 2, absent=True)
    assert set(np.unique(use_result(propagated))) == {0, 1}
    drawings.read()  # does not contradict itself


# Box to mask


def test_the_mask_of_a_box_leaves_painted_neighbours_and_strokes_alone(dock, truth, finish):
    mask = truth.frame(2).labels == 1
    rows, columns = np.nonzero(mask)
    y0, x0, y1, x1 = rows.min() - 2, columns.min() - 2, rows.max() + 2, columns.max() + 2
    middle = (slice(y0 + 6, y0 + 12), slice(x0 + 6, x0 + 12))
    stroke(dock, 2, middle, 2)
    stroke(dock, 2, EDGE, 1)
    before = dock.workspace.drawings.painted(2)
    dock.workspace.go_to(2)
    dock.annotate.tools["Box"].click()
    shapes = dock.viewer.layers.selection.active
    shapes.add_rectangles(np.array([[2, y0, x0], [2, y0, x1], [2, y1, x1], [2, y1, x0]], float))
    drawings, reads = dock.workspace.drawings, []
    read = drawings.read
    drawings.read = lambda: reads.append(1) or read()
    dock.annotate.box_to_mask.click()
    assert len(reads) == 1  # a long layer takes long to read, while the window waits
    finish(dock)
    after = dock.workspace.drawings.painted(2)
    np.testing.assert_array_equal(after[before > 0], before[before > 0])
    assert (after == 1).sum() > (before == 1).sum() + 20
    assert len(shapes.data) == 0


# Import


def test_an_import_keeps_what_is_painted_and_says_where_there_was_something(dock, truth, qtbot, tmp_path):
    folder = tmp_path / "drawn"
    folder.mkdir()
    for frame in (1, 5):
        Image.fromarray(truth.frame(frame).labels.astype(np.uint8)).save(folder / f"{frame:04d}.png")
    y, x = np.argwhere(truth.frame(5).labels == 1).mean(axis=0).astype(int)
    stroke(dock, 5, (slice(y - 2, y + 3), slice(x - 2, x + 3)), 7)
    expected = truth.frame(5).labels.copy()
    expected[y - 2 : y + 3, x - 2 : x + 3] = 7
    dock.commands.imports.start(folder)
    qtbot.waitUntil(lambda: "Imported drawn" in dock.bar.message.text())
    assert "2 object(s) on 2 frame(s). 1 of these frames held something already" in dock.bar.message.text()
    drawings = dock.workspace.drawings
    np.testing.assert_array_equal(drawings.painted(5), expected)
    np.testing.assert_array_equal(drawings.painted(1), truth.frame(1).labels)
    assert drawings.frames == (1, 5)
    assert drawings.corrected == {(1, 1), (1, 2), (5, 1), (5, 2), (5, 7)}


def test_files_are_read_in_a_thread_and_nothing_else_begins(dock, truth, qtbot, tmp_path, monkeypatch):
    import threading

    from napari_masktrack.widgets import imports

    read, threads, go_on = imports.read, [], threading.Event()

    def slowly(*given):
        threads.append(threading.current_thread())
        go_on.wait(10)
        return read(*given)

    monkeypatch.setattr(imports, "read", slowly)
    Image.fromarray(truth.frame(4).labels.astype(np.uint8)).save(tmp_path / "0004.png")
    dock.commands.imports.start(tmp_path / "0004.png")
    qtbot.waitUntil(lambda: bool(threads))
    dock.annotate.import_masks.click()
    assert "Something is being worked on" in dock.bar.message.text()
    go_on.set()
    qtbot.waitUntil(lambda: dock.workspace.drawings.frames == (4,))
    assert threads != [threading.main_thread()]


def test_a_run_begins_with_all_that_was_imported(dock, truth, qtbot, finish, tmp_path):
    folder = tmp_path / "drawn"
    folder.mkdir()
    for frame in range(8):
        Image.fromarray(truth.frame(frame).labels.astype(np.uint8)).save(folder / f"{frame:04d}.png")
    dock.finetune.set_value("off")
    dock.commands.imports.start(folder)
    finish(dock)
    dock.bar.run.click()
    finish(dock)
    assert "8 frames kept as you annotated them" in dock.bar.message.text()


# Layers that were taken over


@pytest.fixture
def take_over(dock):
    """Draw on a layer that was made elsewhere."""

    def act(dtype=np.uint16, **options):
        layer = dock.viewer.add_layer(Labels(np.zeros((8, 96, 128), dtype), name="mine", **options))
        dock.workspace.drawings.take("masks", layer)
        return layer

    return act


@pytest.mark.parametrize(
    "options", [{"translate": (0, 5, 0)}, {"scale": (1, 2, 2)}, {"translate": (2, 0, 0)}], ids=str
)
def test_a_layer_that_lies_elsewhere_is_refused_before_any_work(propagated, take_over, tmp_path, options):
    dock, layer = propagated, take_over(**options)
    assert use_result(dock) is not None
    assert "'mine' is shifted or scaled against 'cells'" in dock.bar.message.text()
    dock.attempt(lambda: dock.commands.imports.start(tmp_path / "nothing.png"))
    assert "'mine' is shifted or scaled" in dock.bar.message.text()
    shapes = dock.workspace.drawings.ensure("shapes")
    shapes.add_rectangles(np.array([[3, 10, 10], [3, 10, 40], [3, 40, 40], [3, 40, 10]], float))
    dock.annotate.box_to_mask.click()
    assert "'mine' is shifted or scaled" in dock.bar.message.text()
    assert not dock.runner.is_running
    assert not layer.data.any()


def test_an_id_that_does_not_fit_into_the_layer_is_refused_instead_of_becoming_another(
    dock, take_over, qtbot, tmp_path
):
    layer = take_over(np.uint8)
    Image.fromarray(np.full((96, 128), 300, np.uint16)).save(tmp_path / "0002.png")
    dock.commands.imports.start(tmp_path / "0002.png")
    qtbot.waitUntil(lambda: "'mine' holds ids up to 255, not 300" in dock.bar.message.text())
    assert not layer.data.any()
