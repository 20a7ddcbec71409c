"""The names of networks: the settings offer what there is."""

from dataclasses import fields

import pytest

from napari_masktrack.config import TrainConfig
from napari_masktrack.model.registry import NETWORKS, TRAINABLE, backbone_of


def test_the_settings_offer_the_networks_that_can_be_trained():
    (offered,) = (each.metadata["choices"] for each in fields(TrainConfig) if each.name == "backbone")
    assert set(offered) == set(TRAINABLE)


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_networks_description_tells_its_backbone(name):
    options = dict(TRAINABLE[name])
    small = {"width": 0.0625} if name == "vgg16" else {"context": 8}
    network = NETWORKS[options.pop("network")](**options, **small)
    assert backbone_of(network.description) == name
