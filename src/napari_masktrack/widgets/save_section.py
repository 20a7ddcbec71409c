"""Export the result, take it back, and keep the session."""

from qtpy.QtCore import Signal

from napari_masktrack.io.exporters import EXPORTERS
from napari_masktrack.widgets.form import Choice, allow, explain
from napari_masktrack.widgets.section import Section, button, note

NOWHERE = "Nothing is saved yet."
ASK = "Save session\N{HORIZONTAL ELLIPSIS}"


class SaveSection(Section):
    """Buttons for files; what they do is in `Sessions`.

    Attributes
    ----------
    asked : Signal(str)
        'export', 'revert', 'save', 'save as', 'open' or 'open earlier'.
    """

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.format = Choice()
        for key, exporter in EXPORTERS.items():
            self.format.addItem(exporter.title, key)
        explain(self.format, "How the masks are written", "Export format")
        self.export = button(
            "Export\N{HORIZONTAL ELLIPSIS}", "Write the result to files", lambda: self.asked.emit("export")
        )
        self.line(self.format, self.export).setStretch(0, 3)
        self.revert = button(
            "Revert last propagation",
            "Bring the masks back that were there before the last run",
            lambda: self.asked.emit("revert"),
        )
        self.rows.addWidget(self.revert)
        self.open = button(
            "Open session\N{HORIZONTAL ELLIPSIS}",
            "Go on with a session folder",
            lambda: self.asked.emit("open"),
        )
        self.save = button(
            ASK,
            "Keep drawings, settings, weights and results in a folder, from now on as you work",
            lambda: self.asked.emit("save"),
        )
        self.save_as = button(
            "Save as\N{HORIZONTAL ELLIPSIS}",
            "Go on in a folder that you choose; everything is copied there, and the former folder stays",
            lambda: self.asked.emit("save as"),
            name="Save the session in another folder",
        )
        self.line(self.open, self.save, self.save_as)
        self._add_earlier()
        self.where = note(NOWHERE)
        self.rows.addWidget(self.where)
        self.set_where(NOWHERE)
        self.set_state(has_result=False, can_revert=False)

    def _add_earlier(self) -> None:
        self.earlier = note()
        self.open_earlier = button(
            "Open it",
            "Go on with the work on this movie that was saved last; 'Open session' has the others",
            lambda: self.asked.emit("open earlier"),
            name="Open the earlier work on this movie",
        )
        self.line(self.earlier, self.open_earlier).setStretch(0, 3)
        self.set_earlier("")

    def set_state(self, *, has_result: bool, can_revert: bool) -> None:
        """Say what can be done now."""
        allow(self.export, allowed=has_result, first="There is no result yet: propagate first.")
        allow(self.revert, allowed=can_revert, first="There is no propagation to take back.")

    def set_earlier(self, text: str) -> None:
        """Say that there is earlier work on the movie; nothing to say hides the line."""
        self.earlier.setText(text)
        self.earlier.setVisible(bool(text))
        self.open_earlier.setVisible(bool(text))

    def set_where(self, text: str) -> None:
        """Say where the work is kept."""
        self.where.setText(text)
        self.save.setText(ASK if text == NOWHERE else "Save now")  # nobody is asked where a second time
        self.save_as.setVisible(text != NOWHERE)
