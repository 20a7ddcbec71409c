"""What all sections of the dock share: a heading that folds, rows, and buttons that explain themselves."""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_masktrack.widgets.form import explain


class Fold(QWidget):
    """A part of the dock with a heading; Space or a click folds it.

    Parameters
    ----------
    title : str
    content : QWidget
    tooltip : str
        What the part is for.
    is_open : bool
    """

    def __init__(self, title: str, content: QWidget, *, tooltip: str, is_open: bool = True) -> None:
        super().__init__()
        self._title, self.content = title, content
        self.heading = button("", tooltip, lambda: self.set_open(is_open=self.content.isHidden()), name=title)
        self.heading.setStyleSheet("text-align: left; font-weight: bold; padding: 5px;")
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        rows.addWidget(self.heading)
        rows.addWidget(content)
        self.set_open(is_open=is_open)

    def set_open(self, *, is_open: bool = True) -> None:
        """Unfold or fold."""
        self.content.setVisible(is_open)
        triangle = (
            "\N{BLACK DOWN-POINTING SMALL TRIANGLE}" if is_open else "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
        )
        self.heading.setText(f"{triangle}  {self._title}")


class Section(QWidget):
    """Base of the sections: widgets below one another."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(4, 2, 4, 6)
        self.rows.setSpacing(4)

    def form(self) -> QFormLayout:
        """Add a form, one row per control."""
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setContentsMargins(0, 0, 0, 0)
        self.rows.addLayout(form)
        return form

    def line(self, *widgets: QWidget) -> QHBoxLayout:
        """Add widgets beside one another."""
        line = QHBoxLayout()
        line.setSpacing(4)
        for widget in widgets:
            line.addWidget(widget)
        self.rows.addLayout(line)
        return line


def button(text: str, tooltip: str, press: Callable[[], object], *, name: str = "") -> QPushButton:
    """Make a button; its tooltip says what it does."""
    made = QPushButton(text)
    explain(made, tooltip, name or text)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    made.setMinimumWidth(10)
    made.clicked.connect(lambda _checked=False: press())
    return made


def note(text: str = "") -> QLabel:
    """Make a line of explanation that wraps, and that can be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
    return label
