"""Arguments of the command line: a parser whose errors are one line, and options made from settings.

argparse rather than typer: most options are made at run time from the fields in ``config.py``, which
typer, made for function signatures, cannot do, and `masktrack --help` should cost nothing to import.
"""

import math
import re
from argparse import (
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    Namespace,
    _ActionsContainer,
)
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields, replace
from typing import Any, NoReturn, get_args

from napari_masktrack.config import DEVICES, FINETUNE, Checked, FinetuneConfig, PropagationConfig
from napari_masktrack.errors import ConfigError, InputError

NONE = "none"
_TRACKING = {
    "finetune": "quick",
    "model": None,
    "device": "auto",
    "crf_search": False,
    "finetune_flow": False,
}
"""What the tracker is told where nothing is said."""


class Parser(ArgumentParser):
    """An argument parser that raises instead of printing its usage and leaving."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises
        ------
        InputError
            Always, in one line.
        """
        raise InputError(f"{message[:1].upper()}{message[1:]}; see '{self.prog} --help'.")


def add_settings(
    parser: _ActionsContainer, config: type[Checked], modes: Mapping[str, Checked] | None = None
) -> None:
    """Add one option per field of a config: its name, limits, choices and tooltip come from there.

    Parameters
    ----------
    parser : parser or group
    config : type of Checked
    modes : mapping of str to Checked, optional
        Where the defaults depend on a mode: the config of each.
    """
    for each in fields(config):  # type: ignore[arg-type]
        values = {mode: _shown(getattr(chosen, each.name)) for mode, chosen in (modes or {}).items()}
        default = next(iter(values.values()), _shown(each.default))
        if len(set(values.values())) > 1:
            default = ", ".join(f"{value} with {mode}" for mode, value in values.items())
        parser.add_argument(option_name(each.name), **_describe(each, default), default=SUPPRESS)


def given_settings(options: Namespace, config: type[Checked]) -> dict[str, Any]:
    """Return the fields of a config that were given on the command line."""
    names = (each.name for each in fields(config))  # type: ignore[arg-type]
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def add_tracking(parser: Parser) -> None:
    """Add what the tracker is told: --finetune, --model, --device, and the fields of its settings."""
    parser.add_argument(
        "--finetune", choices=tuple(FINETUNE),
        help="adapt the network to the painted frames first (default: quick, about 20 s on two cores)",
    )  # fmt: skip
    parser.add_argument("--model", metavar="NAME|FILE", help="embedded model or .safetensors file")
    parser.add_argument(
        "--device", type=device_name, metavar="{auto,cpu,cuda,mps}",
        help="where to compute (default: auto, a GPU if there is one)",
    )  # fmt: skip
    add_settings(parser.add_argument_group("propagation"), PropagationConfig)
    parser.add_argument(
        "--crf-search", action="store_true",
        help="with --crf: search the CRF's settings on the painted frames first, instead of the paper's",
    )  # fmt: skip
    parser.add_argument(
        "--finetune-flow", action="store_true",
        help="with --flow: adapt a second network to the flow of the painted frames; takes as long again",
    )  # fmt: skip
    modes = {mode: settings for mode, settings in FINETUNE.items() if settings is not None}
    add_settings(parser.add_argument_group("fine-tuning"), FinetuneConfig, modes)
    parser.set_defaults(**_TRACKING)


def given_tracking(options: Namespace) -> list[str]:
    """Return which options of `add_tracking` were given and say something else than without them."""
    changed = [name for name, default in _TRACKING.items() if getattr(options, name) != default]
    return [*changed, *given_settings(options, PropagationConfig), *given_settings(options, FinetuneConfig)]


def propagation_settings(options: Namespace) -> PropagationConfig:
    """Return how masks are to be carried.

    Raises
    ------
    ConfigError
        An option was given for something that is not wanted.
    """
    config = PropagationConfig(**given_settings(options, PropagationConfig))
    for name, wanted in (("crf_search", "crf"), ("finetune_flow", "flow")):
        if getattr(options, name) and not getattr(config, wanted):
            raise ConfigError(f"{option_name(name)} belongs to --{wanted}; give both, or leave it out.")
    if config.both_sides and config.direction != "both":
        raise ConfigError("--both-sides belongs to --direction both; give both, or leave it out.")
    return config


def finetune_settings(options: Namespace, *, also: Sequence[str] = ()) -> FinetuneConfig | None:
    """Return the fine-tuning that was asked for, None for 'off'.

    Parameters
    ----------
    options : Namespace
    also : sequence of str
        More of them that make no sense without fine-tuning.

    Raises
    ------
    ConfigError
        Something about the fine-tuning was given, but it is off.
    """
    settings, changes = FINETUNE[options.finetune], given_settings(options, FinetuneConfig)
    if settings is not None:
        return replace(settings, **changes)
    unused = [*changes, *(name for name in ("finetune_flow", *also) if getattr(options, name))]
    if unused:
        raise ConfigError(
            f"{option_name(unused[0])} belongs to fine-tuning, which is off; leave it out, "
            "or use quick or full."
        )
    return None


def option_name(field: str) -> str:
    """Return the option that sets a field."""
    return "--" + field.replace("_", "-")


def frame_range(text: str) -> slice:
    """Read ``A:B``; either side may be missing."""
    found = re.fullmatch(r"([0-9]*):([0-9]*)", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no range; give A:B, from frame A up to, not including, frame B")
    first, end = (int(side) if side else None for side in found.groups())
    return slice(first, end)


def channel_list(text: str) -> int | tuple[int, ...]:
    """Read one channel, or up to three with commas between."""
    if re.fullmatch(r"[0-9]+(,[0-9]+){0,2}", text) is None:
        raise ArgumentTypeError(f"{text!r} are no channels; give one such as 0, or up to three such as 0,2,1")
    channels = tuple(map(int, text.split(",")))
    return channels if len(channels) > 1 else channels[0]


def device_name(text: str) -> str:
    """Check a device's name; whether this machine has it is asked later, as that takes seconds."""
    if text not in DEVICES and re.fullmatch(r"cuda:[0-9]+", text) is None:
        raise ArgumentTypeError(f"{text!r} is unknown; choose one of {', '.join(DEVICES)}")
    return text


def _describe(each: "Field[Any]", default: str) -> dict[str, Any]:
    limits, kind = each.metadata, each.type
    text = str(limits["tooltip"]).replace("%", "%%")
    described: dict[str, Any] = {"dest": each.name, "help": f"{text} (default: {default})"}
    if kind is bool:
        return described | {"action": BooleanOptionalAction}
    if limits.get("choices"):
        return described | {"choices": limits["choices"]}
    if kind is str:
        return described | {"metavar": "NAME"}
    span = f"{_shown(limits['min'])} to {_shown(limits['max'])}{_or_none(each)}"
    metavar = "N" if kind is int else "X"
    return described | {
        "type": _number(each), "metavar": metavar, "help": f"{text} ({span}; default: {default})"
    }  # fmt: skip


def _number(each: "Field[Any]") -> Callable[[str], float | None]:
    whole, low, high = each.type is int, each.metadata["min"], each.metadata["max"]
    kind = "a whole number" if whole else "a number"

    def read(text: str) -> float | None:
        if text == NONE and _or_none(each):
            return None
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            span = f"from {_shown(low)} to {_shown(high)}{_or_none(each)}"
            raise ArgumentTypeError(f"{text!r} does not do; give {kind} {span}")
        return value

    return read


def _or_none(each: "Field[Any]") -> str:
    return f", or {NONE}" if type(None) in get_args(each.type) else ""


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
    return NONE if value is None else str(value)
