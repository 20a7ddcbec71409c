"""Settings outside their limits, or of another kind, are refused by name before any work."""

import numpy as np
import pytest

from napari_masktrack.config import FinetuneConfig, PropagationConfig
from napari_masktrack.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": None}, "threshold is None; give a number"),
        ({"threshold": "half"}, "threshold is 'half'; give a number"),
        ({"threshold": 2}, r"threshold is 2; give a value from 0\.05 to 0\.95"),
        ({"crop_size": 100.5}, r"crop_size is 100\.5; give a whole number"),
        ({"crop_size": None}, "crop_size is None; give a whole number"),
        ({"direction": "up"}, "direction is 'up'; choose one of both, forward, backward"),
        ({"direction": ["both"]}, r"direction is \['both'\]; give a name"),
        ({"warp": None}, "warp is None; give a yes or no"),
        ({"warp": "no"}, "warp is 'no'; give a yes or no"),
        ({"crf": 3}, "crf is 3; give a yes or no"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        PropagationConfig(**given)


def test_numbers_of_any_type_and_no_limit_of_time_are_taken():
    assert PropagationConfig(crop_size=np.int64(320), threshold=np.float32(0.5), margin=2).crop_size == 320
    assert PropagationConfig(crf=np.bool_(True)) == PropagationConfig(crf=True)
    assert FinetuneConfig(seconds=None).seconds is None
    with pytest.raises(ConfigError, match="seconds is 'no'; give a number"):
        FinetuneConfig(seconds="no")


@pytest.mark.parametrize("given", [320.0, np.float32(320), np.int64(320)])
def test_whole_numbers_are_plain_ones_however_they_were_written(given):
    config = PropagationConfig(crop_size=given)
    assert config == PropagationConfig()
    assert type(config.crop_size) is int
