"""Timeline, suggestion, scores, lists: value in, value out."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit

from napari_masktrack.widgets.engine import Score
from napari_masktrack.widgets.frame_strip import FrameStrip
from napari_masktrack.widgets.object_table import NAME, Entry, ObjectTable
from napari_masktrack.widgets.plot import LossPlot
from napari_masktrack.widgets.propagate_section import PropagateSection
from napari_masktrack.widgets.run_bar import RunBar
from napari_masktrack.widgets.score_table import ScoreTable, summarise
from napari_masktrack.widgets.timeline import Curve, Marks, Timeline

RED = (1.0, 0.0, 0.0)


@pytest.fixture
def timeline(qtbot):
    widget = Timeline()
    qtbot.addWidget(widget)
    widget.resize(400, 150)
    widget.set_frames(101)
    return widget


def test_a_click_on_the_timeline_chooses_the_frame_below_it(timeline, qtbot):
    place = timeline.at(50, 0.5)
    with qtbot.waitSignal(timeline.chosen) as chosen:
        qtbot.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=QPoint(int(place.x()), 60))
    assert chosen.args == [50]


def test_arrow_keys_step_and_do_not_leave_the_movie(timeline, qtbot):
    frames = []
    timeline.chosen.connect(frames.append)
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_End, Qt.Key.Key_Home):
        qtbot.keyClick(timeline, key)
    assert frames == [0, 1, 100, 0]


def test_the_timeline_draws_gaps_marks_and_ten_thousand_frames(timeline):
    values = np.full(10_000, np.nan)
    values[100:5000] = np.linspace(0, 1, 4900)
    timeline.set_frames(10_000)
    timeline.set_value([Curve(1, RED, values), Curve(300, RED, values)])
    timeline.set_marks(Marks((0, 5000), 42))
    assert not timeline.grab().isNull()
    assert "object 1" in timeline.describe(200)
    assert "annotated by you" in timeline.describe(5000)


def test_the_range_of_frames_comes_out_as_it_went_in(qtbot):
    section = PropagateSection(lambda: range(2, 5))
    qtbot.addWidget(section)
    section.set_frames(10)
    assert section.frames() is None
    section.part.setChecked(True)
    section.first.setValue(3)
    assert section.frames() == range(3, 10)
    section.touched.setChecked(True)
    assert section.frames() == range(2, 5)


def test_scores_are_summarised_per_object_and_over_all(qtbot):
    scores = [
        Score(frame, label, J=0.1 * frame + label / 10, F=0.5) for frame in range(5) for label in (1, 2)
    ]
    rows = summarise(scores)
    assert [row.label for row in rows] == [1, 2, None]
    assert rows[0].mean == pytest.approx(0.3)
    assert rows[0].worst[0] == 0
    table = ScoreTable()
    qtbot.addWidget(table)
    table.set_value(rows)
    assert table.value() == rows
    assert "0.300" in table.text()
    with qtbot.waitSignal(table.went) as went:
        table.selectRow(0)
    assert went.args == [0]


def test_objects_and_frames_are_listed_and_chosen(qtbot):
    table, strip = ObjectTable(), FrameStrip()
    for widget in (table, strip):
        qtbot.addWidget(widget)
    entries = [Entry(1, "", (0,), RED, True), Entry(65535, "mother", (0, 3), RED, True)]
    table.set_value(entries, 1)
    assert table.value() == tuple(entries)
    with qtbot.waitSignal(table.chosen) as chosen:
        table.selectRow(1)
    assert chosen.args == [65535]
    with qtbot.waitSignal(table.renamed) as renamed:
        table.item(0, 1).setText("daughter")
    assert renamed.args == [1, "daughter"]
    with qtbot.waitSignal(table.shown) as shown:
        table.item(1, 3).setCheckState(Qt.CheckState.Unchecked)
    assert shown.args == [65535, False]
    strip.set_value((0, 3))
    with qtbot.waitSignal(strip.chosen) as went:
        strip.setCurrentRow(1)
    assert went.args == [3]


@pytest.mark.parametrize("clicked", [True, False], ids=["after a click", "in a marked row"])
def test_f2_renames_the_object(qtbot, clicked):
    table = ObjectTable()
    qtbot.addWidget(table)
    table.set_value([Entry(1, "", (0,), RED, True), Entry(2, "", (0,), RED, True)], 2)
    table.chosen.connect(table.mark)  # as the dock does when an object was chosen
    table.show()
    if clicked:
        place = table.visualItemRect(table.item(0, NAME)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = table.findChild(QLineEdit)
    assert editor is not None
    qtbot.keyClicks(editor, "mother")
    with qtbot.waitSignal(table.renamed) as renamed:
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert renamed.args == [1 if clicked else 2, "mother"]


def test_the_time_left_follows_the_pace_and_never_passes_the_limit(qtbot):
    bar = RunBar()
    qtbot.addWidget(bar)
    now = [0.0]
    bar._clock = lambda: now[0]
    bar.begin("Fine-tuning", 10)
    assert bar.seconds_left() is None
    now[0] = 4.0
    bar.advance(2)
    assert bar.seconds_left() == pytest.approx(16)
    assert "2/10, 16 s left" in bar.bar.format()
    bar.begin("Fine-tuning", 10, seconds=6)
    now[0] = 8.0
    bar.advance(2)
    assert bar.seconds_left() == pytest.approx(2)
    bar.begin("Fine-tuning", 10, seconds=6, least=5)
    now[0] = 16.0
    bar.advance(2)
    assert bar.seconds_left() == pytest.approx(12), "three more steps in any case"


def test_the_bar_moves_while_no_step_is_finished(qtbot):
    bar = RunBar()
    qtbot.addWidget(bar)
    now = [0.0]
    bar._clock = lambda: now[0]
    bar.begin("Propagating", 10)
    now[0] = 6.0
    bar.reach(0.25)
    assert bar.bar.value() == 2
    assert "0/10, 18 s left" in bar.bar.format()
    bar.reach(0.75)
    bar.advance()
    assert bar.bar.value() == 7
    assert "1/10, 2 s left" in bar.bar.format()
    bar.begin("Comparing", 10)
    assert (bar.bar.value(), bar.seconds_left()) == (0, None)


def test_the_loss_plot_keeps_its_points(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.clear(3)
    for step in (1, 2, 3):
        plot.add(step, 1 / step)
    assert plot.value() == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert not plot.grab().isNull()
