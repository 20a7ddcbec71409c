"""Which way and which frames the masks are carried."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QRadioButton

from napari_masktrack.config import PropagationConfig
from napari_masktrack.errors import AnnotationError
from napari_masktrack.widgets.form import Choice, ConfigForm, WholeNumber, allow, explain
from napari_masktrack.widgets.section import Fold, Section, note

DIRECTIONS = {
    "both": "\N{LEFT RIGHT ARROW} both ways",
    "forward": "\N{RIGHTWARDS ARROW} forwards",
    "backward": "\N{LEFTWARDS ARROW} backwards",
}


class PropagateSection(Section):
    """Direction and frames; details of the method below.

    Parameters
    ----------
    touched : callable
        Gives the range that the last corrections touch, or None.
    """

    changed = Signal()

    def __init__(self, touched: Callable[[], range | None]) -> None:
        super().__init__()
        self._touched, self._frames = touched, 1
        self._first_similarity: float | None = None
        self.direction = Choice()
        for key, title in DIRECTIONS.items():
            self.direction.addItem(title, key)
        explain(self.direction, "Which way masks are carried from your frames", "Direction")
        self.form().addRow("Direction", self.direction)
        self.compare = self._switch(
            "Compare what comes from both sides",
            "Between two of your frames carry the masks from both, to see in Review where they disagree; "
            "takes twice as long there",
        )
        self._add_frames()
        self.follow = self._switch("Show each frame as it is done", "The slider follows the propagation")
        self.probability = self._switch(
            "Also show probabilities",
            "One more layer: how probable each pixel is some object, from 0 to 255",
        )
        self._add_details()
        self._group.buttonToggled.connect(lambda *_: self._enable())
        self.direction.currentIndexChanged.connect(lambda _: self._enable())
        self._enable()

    def _add_details(self) -> None:
        self.details = ConfigForm(PropagationConfig(), leave_out=("direction", "both_sides"))
        self.crf_search = QCheckBox("Search its parameters first")
        explain(
            self.crf_search,
            "Search the CRF's parameters on your painted frames before propagating, instead of the paper's",
            "Search the CRF's parameters on the annotated frames first",
        )
        self.searched = note()
        self.searched.hide()
        for control in (self.searched, self.crf_search):
            self.details.add_below("crf", control)
        self.rows.addWidget(
            Fold("Details", self.details, tooltip="Every setting of the propagation", is_open=False)
        )
        self.details.changed.connect(self._enable)

    def _add_frames(self) -> None:
        self.everything, self.touched, self.part = (
            QRadioButton(text) for text in ("The whole movie", "Only what I corrected", "Frames")
        )
        explain(self.everything, "Propagate to every frame", "The whole movie")
        explain(
            self.touched,
            "Only between the annotated frames of the corrected object around your corrections; the rest "
            "stays as it is",
            "Only what the last correction touches",
        )
        explain(self.part, "Propagate to a range of frames", "A range of frames")
        self._group = QButtonGroup(self)
        for radio in (self.everything, self.touched, self.part):
            self._group.addButton(radio)
        self.first, self.last = WholeNumber(), WholeNumber()
        explain(self.first, "First frame of the range", "First frame")
        explain(self.last, "Last frame of the range, included", "Last frame")
        self.rows.addWidget(self.everything)
        self.rows.addWidget(self.touched)
        self.line(self.part, self.first, self.last)
        self.everything.setChecked(True)

    def _switch(self, text: str, tooltip: str) -> QCheckBox:
        box = QCheckBox(text)
        explain(box, tooltip, text)
        self.rows.addWidget(box)
        return box

    def value(self) -> PropagationConfig:
        """Give the settings.

        Raises
        ------
        ConfigError
            A value lies outside its limits.
        """
        direction = self.direction.currentData()
        both_sides = self.compare.isChecked() and direction == "both"
        return replace(self.details.value(), direction=direction, both_sides=both_sides)

    def set_value(self, config: PropagationConfig) -> None:
        """Show settings."""
        self.direction.setCurrentIndex(self.direction.findData(config.direction))
        self.compare.setChecked(config.both_sides)
        self.details.set_value(config)

    @property
    def flow(self) -> bool:
        """Whether the motion is looked at, too."""
        return self._is_on("flow")

    @property
    def searches_crf(self) -> bool:
        """Whether the CRF's parameters are searched on the annotated frames first."""
        return self._is_on("crf") and self.crf_search.isChecked()

    def begin_search(self) -> None:
        """Forget what the last search found."""
        self._first_similarity = None
        self._say_search("")

    def show_search(self, step: Any) -> None:
        """Show how far a search is, and what it has reached; see `SearchStep`."""
        if self._first_similarity is None:
            self._first_similarity = step.similarity
        self._say_search(
            f"IoU on your frames: {self._first_similarity:.3f} before, {step.similarity:.3f} "
            f"with the best of {step.step} tried."
        )

    def end_search(self) -> None:
        """Say so if there was nothing to search on."""
        if self.searches_crf and self._first_similarity is None:
            self._say_search("Not searched: no painted mask could be carried over two frames.")

    def _say_search(self, text: str) -> None:
        self.searched.setText(text)
        self.searched.setHidden(not text)

    def frames(self) -> range | None:
        """Give the frames to propagate to; None for all.

        Raises
        ------
        AnnotationError
            The range is empty, or nothing was corrected.
        """
        if self.everything.isChecked():
            return None
        if self.touched.isChecked():
            found = self._touched()
            if found is None:
                raise AnnotationError(
                    "Nothing was corrected since the last propagation; paint on a frame, or choose the "
                    "whole movie."
                )
            return found
        first, last = self.first.value(), self.last.value()
        if first > last:
            raise AnnotationError(f"Frames {first} to {last} are none; let the range begin before it ends.")
        return range(first, last + 1)

    def set_frames(self, frames: int) -> None:
        """Say how long the movie is."""
        self._frames = frames
        for spin in (self.first, self.last):
            spin.setRange(0, max(frames - 1, 0))
        self.last.setValue(frames - 1)

    def _enable(self) -> None:
        for widget in (self.first, self.last):
            allow(widget, allowed=self.part.isChecked(), first="Choose 'Frames' first.")
        both = self.direction.currentData() == "both"
        allow(self.compare, allowed=both, first="Choose the direction 'both ways' first.")
        allow(self.crf_search, allowed=self._is_on("crf"), first="Choose 'Sharpen with a CRF' first.")
        self.changed.emit()

    def _is_on(self, name: str) -> bool:
        return bool(self.details.rows[name].read())
