"""What hiding an object does: to the colours, to all that was drawn of it, and to the list of objects."""

import pytest
from qtpy.QtCore import Qt

from napari_masktrack.layers import colours_of
from napari_masktrack.widgets.object_table import SHOW


@pytest.fixture
def show(dock):
    """Tick or untick an object in the list."""

    def act(label, *, visible):
        rows = [row for row, entry in enumerate(dock.annotate.table.value()) if entry.label == label]
        state = Qt.CheckState.Checked if visible else Qt.CheckState.Unchecked
        dock.annotate.table.item(rows[0], SHOW).setCheckState(state)

    return act


def test_hiding_and_showing_an_object_changes_no_colour(dock, paint, show):
    paint(dock, 0)
    masks = dock.workspace.drawings.layers["masks"]
    before, listed = colours_of(masks, (1, 2)), [each.colour for each in dock.annotate.table.value()]
    show(1, visible=False)
    assert colours_of(masks, (1, 2)) == {1: (*before[1][:3], 0), 2: pytest.approx(before[2])}
    assert [each.colour for each in dock.annotate.table.value()] == listed
    show(1, visible=True)
    assert colours_of(masks, (1, 2)) == before
    assert [each.colour for each in dock.annotate.table.value()] == listed == list(before.values())
