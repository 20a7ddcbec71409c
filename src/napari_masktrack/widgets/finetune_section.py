"""Whether and how the network adapts to the annotated frames, from which weights, on which device."""

from importlib.resources import files
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog

from napari_masktrack.config import FINETUNE, FinetuneConfig
from napari_masktrack.widgets.engine import DEFAULT
from napari_masktrack.widgets.form import Choice, ConfigForm, allow, explain
from napari_masktrack.widgets.plot import LossPlot
from napari_masktrack.widgets.section import Fold, Section

MODES = {
    "quick": "Quick (about 20 s)",
    "full": "Full (minutes; best masks)",
    "off": "Off (only propagate)",
}
DEVICES = {
    "auto": "Automatic (GPU if any)",
    "cpu": "Processor (CPU)",
    "cuda": "NVIDIA graphics card",
    "mps": "Apple graphics",
}
FORMER = "Before the last fine-tuning"
CURRENT, FILE = "the weights of now", "a file"


class FinetuneSection(Section):
    """Mode, device and starting weights; a plot of the loss while it runs.

    Attributes
    ----------
    changed : Signal
    """

    changed = Signal()

    def __init__(self, *, device: str = "auto", folder: Path | None = None) -> None:
        super().__init__()
        self.mode, self.device, self.start = Choice(), Choice(), Choice()
        self._own: set[str] = set()
        for box, entries in ((self.mode, MODES), (self.device, DEVICES)):
            for key, title in entries.items():
                box.addItem(title, key)
        self.device.setCurrentIndex(max(self.device.findData(device), 0))
        explain(self.mode, "Adapt the network to your frames before propagating", "Fine-tune")
        explain(self.device, "Where to compute", "Device")
        explain(self.start, "The weights that fine-tuning and propagation start from", "Start from")
        form = self.form()
        form.addRow("Fine-tune", self.mode)
        form.addRow("Start from", self.start)
        form.addRow("Device", self.device)
        self.flow = QCheckBox("Also adapt to the motion")
        explain(
            self.flow,
            "Fine-tune a second network on the optical flow of your frames; takes as long again",
            "Also adapt the flow stream",
        )
        self.rows.addWidget(self.flow)
        self.details = ConfigForm(self._defaults("quick"))
        self.details_fold = Fold(
            "Details", self.details, tooltip="Every setting of the fine-tuning", is_open=False
        )
        self.rows.addWidget(self.details_fold)
        self.plot = LossPlot()
        self.rows.addWidget(self.plot)
        self.plot.hide()
        self._list_models(folder)
        self.set_flow(wanted=False)
        self.mode.currentIndexChanged.connect(lambda _: self._follow_mode())
        self.start.activated.connect(self._ask_for_file)
        for box in (self.device, self.start):
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.details.changed.connect(self.changed)

    def value(self) -> FinetuneConfig | None:
        """Give the settings; None when fine-tuning is off.

        Raises
        ------
        ConfigError
            A value lies outside its limits.
        """
        return None if self.mode.currentData() == "off" else self.details.value()

    def set_value(self, mode: str, config: FinetuneConfig | None = None) -> None:
        """Choose a mode and, if given, its details."""
        self.mode.setCurrentIndex(max(self.mode.findData(mode), 0))
        self.details.set_value(config or self._defaults(mode))

    @property
    def adapts_flow(self) -> bool:
        """Whether a second network is to be fine-tuned on the optical flow."""
        return self.flow.isEnabled() and self.flow.isChecked()

    def set_flow(self, *, wanted: bool) -> None:
        """Say whether the propagation looks at the motion; only then there is something to adapt."""
        self._has_flow = wanted
        on = self.mode.currentData() != "off"
        first = (
            "Choose 'Look at motion, too' under 4 Propagate > Details first." if on else "Fine-tuning is off."
        )
        allow(self.flow, allowed=wanted and on, first=first)

    @property
    def model(self) -> str | Path | None:
        """The weights to start from; None for those of now."""
        chosen = self.start.currentData()
        return None if chosen == CURRENT else chosen

    def set_model(self, model: str | Path | None, *, own: bool = False) -> None:
        """Choose the weights to start from; a file that is not listed is added.

        Parameters
        ----------
        model : str, Path or None
            None for the weights of now.
        own : bool, default: False
            Whether they were made for this movie, as those of now always are; see `forget`.
        """
        data = CURRENT if model is None else str(model)
        if self.start.findData(data) < 0:
            self._add(data, "Fine-tuned so far" if model is None else Path(model).name)
        if own or model is None:
            self._own.add(data)
        self.start.setCurrentIndex(self.start.findData(data))

    def set_former(self, model: Path | None) -> None:
        """Offer the weights that were there before the last fine-tuning."""
        for index in reversed(range(self.start.count())):
            if self.start.itemText(index) == FORMER:
                self.start.removeItem(index)
        if model is not None:
            self._add(str(model), FORMER)
            self._own.add(str(model))

    def forget(self) -> None:
        """Offer no weights that were made for another movie; if one was chosen, the built-in model is now."""
        if self.start.currentData() in self._own:
            self.start.setCurrentIndex(self.start.findData(DEFAULT))
        for data in self._own:
            self.start.removeItem(self.start.findData(data))
        self._own.clear()

    def _defaults(self, mode: str) -> FinetuneConfig:
        return FINETUNE.get(mode) or FinetuneConfig()

    def _follow_mode(self) -> None:
        mode = self.mode.currentData()
        self.details.set_value(self._defaults(mode))
        self.details_fold.setVisible(mode != "off")
        self.set_flow(wanted=self._has_flow)
        self.changed.emit()

    def _list_models(self, folder: Path | None) -> None:
        # The weights are looked up by their file names: asking the model registry would load torch.
        inside = Path(str(files("napari_masktrack"))) / "weights"
        names = sorted(path.stem for path in inside.glob("*.safetensors"))
        self.start.addItem("Built-in model", DEFAULT)
        for name in names:
            if name != DEFAULT:
                self.start.addItem(f"Built-in: {name}", name)
        if folder is not None and folder.is_dir():
            for path in sorted(folder.glob("*.safetensors")):
                self.start.addItem(path.name, str(path))
        self.start.addItem("A file\N{HORIZONTAL ELLIPSIS}", FILE)

    def _add(self, data: str, title: str) -> None:
        if self.start.findData(data) < 0:
            self.start.insertItem(max(self.start.count() - 1, 0), title, data)

    def _ask_for_file(self, _index: int) -> None:
        if self.start.currentData() != FILE:
            return
        name, _ = QFileDialog.getOpenFileName(self, "Weights to start from", "", "Weights (*.safetensors)")
        self.start.setCurrentIndex(0)
        if name:
            self.set_model(Path(name))
