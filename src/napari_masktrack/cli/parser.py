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
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any, NoReturn, get_args

from napari_masktrack.config import Checked
from napari_masktrack.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")
NONE = "none"


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
