"""Forms from configs: what is put in comes out, also the smallest numbers."""

from dataclasses import fields, replace

import pytest

from napari_masktrack.config import (
    FINETUNE,
    DeformationConfig,
    FinetuneConfig,
    PropagationConfig,
    TrainConfig,
)
from napari_masktrack.widgets.form import ConfigForm

CONFIGS = [FinetuneConfig(), PropagationConfig(), TrainConfig(), DeformationConfig(), FINETUNE["quick"]]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: type(config).__name__)
def test_every_config_comes_out_as_it_went_in(qtbot, config):
    form = ConfigForm(config)
    qtbot.addWidget(form)
    assert form.value() == config


@pytest.mark.parametrize("config", CONFIGS[:4], ids=lambda config: type(config).__name__)
def test_limits_come_out_as_they_went_in(qtbot, config):
    form = ConfigForm(config)
    qtbot.addWidget(form)
    for each in fields(config):
        for limit in ("min", "max"):
            if limit in each.metadata:
                changed = replace(config, **{each.name: each.metadata[limit]})
                form.set_value(changed)
                assert form.value() == changed, each.name


@pytest.mark.parametrize("rate", [1e-4, 1.5e-4, 2e-5, 1e-8])
def test_small_learning_rates_are_not_rounded_away(qtbot, rate):
    form = ConfigForm(FinetuneConfig(rate=rate))
    qtbot.addWidget(form)
    assert form.value().rate == pytest.approx(rate, rel=1e-9)


def test_every_control_explains_itself_and_has_a_name(qtbot):
    form = ConfigForm(PropagationConfig())
    qtbot.addWidget(form)
    for row in form.rows.values():
        assert row.control.toolTip()
        assert row.control.accessibleName()
