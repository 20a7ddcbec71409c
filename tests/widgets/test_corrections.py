"""Only what was corrected: which frames that touches, and what counts as corrected before and after a run."""

import pytest

from napari_masktrack.io.session import MovieReference, Session
from napari_masktrack.widgets.corrections import range_around


@pytest.mark.parametrize(
    ("annotated", "corrected", "expected"),
    [
        ((0, 5, 9), {5}, range(10)),
        ((0, 5, 9), {9}, range(5, 20)),
        ((3,), {3}, range(20)),
        ((0, 5, 9, 15), {5, 9}, range(16)),
        ((0, 9), {5}, range(10)),
        ((0, 5), set(), None),
    ],
)
def test_a_correction_touches_what_lies_between_its_neighbours(annotated, corrected, expected):
    assert range_around({1: annotated}, {(frame, 1) for frame in corrected}, 20) == expected


def test_frames_on_which_only_others_are_annotated_do_not_end_the_range_of_an_object():
    anchors = {1: (0, 4, 8, 12), 2: (0, 8)}
    assert range_around(anchors, {(8, 2)}, 20) == range(20)
    assert range_around(anchors, {(4, 1)}, 20) == range(9)


def test_a_new_object_touches_all_frames_to_which_it_is_carried():
    assert range_around({1: (0, 4, 8), 2: (4,)}, {(4, 2)}, 20) == range(20)


@pytest.fixture
def run(dock, finish):
    """Propagate, and wait for the end."""

    def act():
        dock.finetune.set_value("off")
        dock.bar.run.click()
        finish(dock)

    return act


def test_an_object_that_is_drawn_later_between_two_frames_of_another_is_propagated_everywhere(
    dock, paint, run
):
    for frame in (0, 3, 6):
        paint(dock, frame, 1)
    run()
    assert dock.commands.touched() is None
    paint(dock, 3, 1, 2)
    assert dock.commands.touched() == range(8)
    dock.propagate.touched.setChecked(True)
    run()
    carried = [frame for frame in range(8) if 2 in dock.workspace.result.labels(frame)]
    assert carried == [1, 2, 3, 4, 5, 7], "0 and 6 stay as they were painted"


def test_what_is_painted_while_it_works_is_still_corrected_afterwards(dock, tracker, paint, finish, qtbot):
    tracker.frame_seconds = 0.1
    paint(dock, 0)
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.workspace.result is not None and bool(dock.workspace.result.done))
    paint(dock, 5)
    finish(dock)
    assert dock.workspace.drawings.corrected == {(5, 1), (5, 2)}
    assert dock.commands.touched() == range(8)


def test_after_a_cancelled_run_everything_is_still_corrected(dock, tracker, paint, finish, qtbot):
    tracker.frame_seconds = 0.1
    paint(dock, 3)
    dock.bar.run.click()
    qtbot.waitUntil(lambda: dock.workspace.result is not None and bool(dock.workspace.result.done))
    dock.bar.cancel.click()
    finish(dock)
    assert dock.workspace.drawings.corrected == {(3, 1), (3, 2)}


def test_a_run_on_a_part_of_the_frames_does_not_end_a_correction_that_reaches_further(dock, paint, run):
    paint(dock, 4)
    dock.propagate.part.setChecked(True)
    dock.propagate.first.setValue(2)
    run()
    assert dock.commands.touched() == range(8)
    dock.propagate.everything.setChecked(True)
    run()
    assert dock.commands.touched() is None


def test_after_opening_a_session_only_what_is_newer_than_the_result_counts_as_corrected(
    dock, truth, paint, run, qtbot, tmp_path
):
    folder = tmp_path / "mine.masktrack"
    dock.sessions.create(folder)
    drawings = dock.workspace.drawings
    for frame in (0, 2, 4, 6):
        paint(dock, frame)
    drawings.set_absent(7, 2, absent=True)
    drawings.ensure("shapes").add_rectangles([[[1, 10, 10], [1, 10, 40], [1, 40, 40], [1, 40, 10]]])
    run()
    changed = drawings.painted(4)
    changed[changed == 2] = 0
    changed[:3, :3] = 2
    drawings.paint(4, changed)
    paint(dock, 5, 1)
    dock.sessions.close()
    for name in ("cells result", "cells masks", "cells shapes"):
        dock.viewer.layers.remove(name)

    dock.sessions.open(folder)
    qtbot.waitUntil(lambda: dock.workspace.result is not None and not dock.workspace.result.unread)
    drawings = dock.workspace.drawings
    qtbot.waitUntil(lambda: drawings.corrected == {(4, 2), (5, 1)})
    qtbot.wait(400)
    assert drawings.corrected == {(4, 2), (5, 1)}
    assert dock.commands.touched() == range(2, 7)


def test_after_opening_a_session_without_a_result_everything_is_corrected(dock, truth, qtbot, tmp_path):
    folder = tmp_path / "mine.masktrack"
    with Session.create(folder, MovieReference.of(dock.workspace.view.movie)) as session:
        session.save_annotation(2, truth.frame(2).labels)
    dock.sessions.open(folder)
    qtbot.waitUntil(lambda: dock.workspace.drawings.corrected == {(2, 1), (2, 2)})
    qtbot.wait(200)
    assert dock.commands.touched() == range(8)
