"""Every setting is an option with its limits; values that cannot be are refused."""

from argparse import Namespace
from dataclasses import fields

import pytest

from napari_masktrack.cli.parser import (
    Parser,
    add_settings,
    channel_list,
    frame_range,
    given_settings,
    option_name,
)
from napari_masktrack.config import FINETUNE, FinetuneConfig, PropagationConfig, TrainConfig
from napari_masktrack.errors import InputError

CONFIGS = {config.__name__: config for config in (PropagationConfig, FinetuneConfig, TrainConfig)}
FIELDS = [
    pytest.param(config, each, id=f"{name}.{each.name}")
    for name, config in CONFIGS.items()
    for each in fields(config)
]


def parse(config, *words) -> Namespace:
    parser = Parser(prog="test")
    add_settings(parser, config)
    return parser.parse_args(words)


@pytest.mark.parametrize(("config", "each"), FIELDS)
def test_every_field_can_be_set_and_keeps_its_type(config, each):
    option = option_name(each.name)
    value = each.metadata.get("max", each.default)
    words = [option, str(value)] if each.type is not bool else [option]
    assert given_settings(parse(config, *words), config) == {each.name: True if each.type is bool else value}


@pytest.mark.parametrize(("config", "each"), [each for each in FIELDS if "max" in each.values[1].metadata])
def test_every_limit_is_held_before_a_config_is_made(config, each):
    for value in (each.metadata["min"] - 1, each.metadata["max"] + 1, "nan", "much", ""):
        with pytest.raises(InputError, match=r"does not do; give a .*from .* to "):
            parse(config, f"{option_name(each.name)}={value}")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_is_not_given_is_left_to_the_config(config):
    assert given_settings(parse(config), config) == {}


@pytest.mark.parametrize(("config", "each"), FIELDS)
def test_the_help_explains_every_field_in_its_own_words(config, each):
    parser = Parser(prog="test")
    add_settings(parser, config)
    text = " ".join(parser.format_help().split())
    assert option_name(each.name) in text
    assert each.metadata["tooltip"] in text


def test_defaults_that_depend_on_the_mode_are_named_with_it():
    parser = Parser(prog="test")
    add_settings(parser, FinetuneConfig, {mode: each for mode, each in FINETUNE.items() if each})
    text = " ".join(parser.format_help().split())
    assert f"{FINETUNE['quick'].steps} with quick, {FINETUNE['full'].steps} with full" in text


def test_an_optional_number_can_be_none():
    assert given_settings(parse(FinetuneConfig, "--seconds", "none"), FinetuneConfig) == {"seconds": None}
    with pytest.raises(InputError):
        parse(FinetuneConfig, "--steps", "none")


def test_switches_can_be_turned_off():
    assert given_settings(parse(PropagationConfig, "--no-warp"), PropagationConfig) == {"warp": False}


@pytest.mark.parametrize(
    ("text", "frames"),
    [("2:5", slice(2, 5)), (":5", slice(None, 5)), ("2:", slice(2, None)), (":", slice(None))],
)
def test_a_range_of_frames_may_be_open(text, frames):
    assert frame_range(text) == frames


@pytest.mark.parametrize(("text", "channels"), [("1", 1), ("0,2", (0, 2)), ("2,1,0", (2, 1, 0))])
def test_channels_are_one_number_or_several(text, channels):
    assert channel_list(text) == channels
