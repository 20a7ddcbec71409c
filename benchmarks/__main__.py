"""Measure quality, speed and memory, and write the tables of docs/benchmarks.md."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from napari_masktrack.errors import InputError, MaskTrackError

COMMANDS = {
    "video": "J, F and seconds on annotated sequences, by fine-tuning mode",
    "starts": "J where another frame than the first is annotated",
    "speed": "seconds per frame for one and for many objects, seconds of fine-tuning",
    "memory": "peak memory of a long movie against a short one",
    "variants": "the paper's variants and baselines side by side",
    "window": "the longest pauses of the window while it works",
    "static": "weights compared on still images: J from deformed masks, size, multiply-adds, seconds",
    "confidence": "how far the reported confidence can be trusted, from the results of `video`",
    "curve": "J against crop size and against fine-tuning steps",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 failed while working, 2 bad input, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in given[:1]:
            # Only the command that runs is imported: `memory` must stay small, see there.
            module = importlib.import_module(f"benchmarks.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    chosen = parser.parse_args(given)
    chosen.typed = given
    try:
        chosen.run(chosen)
    except MaskTrackError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted; finished results are kept.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
