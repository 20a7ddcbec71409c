"""A form from a config dataclass: one row per field, with its limits and tooltip."""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, Generic, TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_masktrack.config import Checked

C = TypeVar("C", bound=Checked)

TITLES = {
    "crop_size": "Crop size (px)",
    "size": "Sample size (px)",
    "seconds": "At most (s)",
    "reference": "Compare with annotated",
    "recall": "Comparing samples",
    "warp": "Follow optical flow",
    "fill_annotated": "Fill annotated frames",
    "reach": "Reach (crop px)",
    "dilation": "Widening (crop px)",
    "blend": "Keep of what is learnt",
    "dream": "Made-up scenes",
    "rate": "Learning rate",
    "steps": "Steps",
    "least": "Steps at least",
    "flip": "Average with mirrored",
    "margin": "Margin (object sizes)",
    "batch": "Samples per step",
    "growth": "Growth of the search",
    "crowd": "Limit for many objects",
    "flow": "Look at motion, too",
    "crf": "Sharpen with a CRF",
    "edges": "Snap to edges",
}
"""Rows whose field name does not say it."""
TOOLTIPS = {
    "dream": "share of samples in which your objects are cut out, moved and lit anew on a filled background",
}
"""Fields whose own words are those of the literature."""


class WholeNumber(QSpinBox):
    """A spin box that leaves the wheel to the scroll area unless it was clicked on."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802  Qt's name
        """Count only with the focus."""
        _wheel(self, QSpinBox, event)


class Number(QDoubleSpinBox):
    """The same for fractions; shows as many decimals as the value has."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802  Qt's name
        """Count only with the focus."""
        _wheel(self, QDoubleSpinBox, event)

    def textFromValue(self, value: float) -> str:  # noqa: N802  Qt's name
        """Leave trailing zeros out."""
        return f"{value:.{self.decimals()}f}".rstrip("0").rstrip(".")


class Choice(QComboBox):
    """A combo box with the same manners."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802  Qt's name
        """Count only with the focus."""
        _wheel(self, QComboBox, event)


def _wheel(widget: QWidget, kind: Any, event: QWheelEvent | None) -> None:
    if event is None or widget.hasFocus():
        kind.wheelEvent(widget, event)
    else:
        event.ignore()


def explain(widget: QWidget, tooltip: str, name: str) -> None:
    """Give a control its tooltip and the name that screen readers say."""
    widget.setToolTip(tooltip)
    widget.setAccessibleName(name)
    widget.setAccessibleDescription(tooltip)


def allow(widget: QWidget, *, allowed: bool, first: str) -> None:
    """Let an explained control be used, or have its tooltip say what comes `first`."""
    widget.setEnabled(allowed)
    what = widget.accessibleDescription()
    widget.setToolTip(what if allowed else f"{what}\n({first})")


@dataclass(frozen=True)
class Row:
    """How one kind of field is shown: make the control, read it, write it, and the signal of a change."""

    control: QWidget
    read: Any
    write: Any
    changed: Any


class ConfigForm(QWidget, Generic[C]):
    """All fields of a config; `value` and `set_value` as of any widget.

    Parameters
    ----------
    default : Checked
        The config whose values are shown first; also gives the class.
    leave_out : collection of str
        Fields without a row, which keep the default's values.
    """

    changed = Signal()

    def __init__(self, default: C, *, leave_out: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._default = default
        self.rows: dict[str, Row] = {}
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for each in fields(default):  # type: ignore[arg-type]
            if each.name in leave_out:
                continue
            title = TITLES.get(each.name, each.name.replace("_", " ").capitalize())
            row = _row(each, getattr(default, each.name))
            tooltip = TOOLTIPS.get(each.name) or str(each.metadata.get("tooltip", title))
            explain(row.control, tooltip[:1].upper() + tooltip[1:], title)
            form.addRow(title, row.control)
            row.changed.connect(lambda *_: self.changed.emit())
            self.rows[each.name] = row
        self.set_value(default)

    def add_below(self, name: str, control: QWidget) -> None:
        """Put one more control, which belongs to a field, under the field's row."""
        form = self.layout()
        assert isinstance(form, QFormLayout)
        row, _ = form.getWidgetPosition(self.rows[name].control)
        form.insertRow(row + 1, control)

    def value(self) -> C:
        """Read the config.

        Raises
        ------
        ConfigError
            A value lies outside its limits.
        """
        return type(self._default)(
            **{
                each.name: self.rows[each.name].read()
                if each.name in self.rows
                else getattr(self._default, each.name)
                for each in fields(self._default)  # type: ignore[arg-type]
            }
        )

    def set_value(self, config: C) -> None:
        """Show a config."""
        self._default = config
        for name, row in self.rows.items():
            row.control.blockSignals(True)
            row.write(getattr(config, name))
            row.control.blockSignals(False)
        self.changed.emit()


def _row(each: "Field[Any]", value: Any) -> Row:
    limits: Mapping[str, Any] = each.metadata
    if "choices" in limits:
        return _choice(limits["choices"])
    if isinstance(value, bool):
        box = QCheckBox()
        return Row(box, box.isChecked, box.setChecked, box.toggled)
    if isinstance(value, int):
        whole = WholeNumber()
        whole.setRange(limits.get("min", -(2**31)), limits.get("max", 2**31 - 1))
        return Row(whole, whole.value, whole.setValue, whole.valueChanged)
    if isinstance(value, float) or "float" in str(each.type):
        return _fraction(limits, optional="None" in str(each.type))
    line = QLineEdit()
    return Row(line, line.text, line.setText, line.textChanged)


def _choice(choices: tuple[str, ...]) -> Row:
    box = Choice()
    for choice in choices:
        box.addItem(choice.capitalize(), choice)
    return Row(
        box, box.currentData, lambda value: box.setCurrentIndex(box.findData(value)), box.currentIndexChanged
    )


def _fraction(limits: Mapping[str, Any], *, optional: bool) -> Row:
    box = Number()
    low, high = float(limits.get("min", -1e9)), float(limits.get("max", 1e9))
    step = limits.get("step", 0.05 if high - low <= 5 else 1.0)
    # A spin box rounds to its decimals, so these come from the smallest value and step that matter.
    smallest = min(step, low) if low > 0 else step
    box.setDecimals(max(3, -math.floor(math.log10(smallest)) + 2))
    box.setRange(0.0 if optional else low, high)
    box.setSingleStep(step)
    if not optional:
        return Row(box, box.value, box.setValue, box.valueChanged)
    box.setSpecialValueText("no limit")
    return Row(
        box,
        lambda: box.value() or None,
        lambda value: box.setValue(0.0 if value is None else value),
        box.valueChanged,
    )
