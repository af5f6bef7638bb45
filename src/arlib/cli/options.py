"""Options and types of options that several commands share."""

import math
import os
from pathlib import Path
from typing import Any

import click

from arlib._support.settings import SETTINGS


class Finite(click.FloatRange):
    """A number in a range; NaN, which compares as false with both ends, is refused too."""

    def convert(self, value: Any, param: Any, context: Any) -> float:
        """Read a number."""
        number = super().convert(value, param, context)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, context)
        return number


def setting(name: str) -> click.ParamType:
    """Make the type of an option that sets what `-p` sets by this name, with the same range."""
    declared = SETTINGS[name]
    if declared.kind is int:
        return click.IntRange(int(declared.least), int(declared.most))
    return Finite(declared.least, declared.most, min_open=declared.above)


REGIONS = setting("max_regions")
WEIGHT = setting("alpha")
SHARE = setting("context")
SEED = setting("seed")
N = click.IntRange(1, 10**9)
PROCESSES = click.IntRange(1, 1024)
POSITIVE = SECONDS = Finite(0, 1e9, min_open=True)
FOLD = click.IntRange(0, 127)
FILE = click.Path(path_type=Path)

MODEL = "What was trained: the folder of `arlib finetune`, or X.safetensors of `arlib head`."

MAX_PIXELS = click.option(
    "--max-pixels",
    default=80_000_000,
    type=N,
    help="Width x height that an image may have; decoding takes up to 11 bytes a pixel.",
)


def refuse_input(out: Path, *inputs: str | Path | None) -> None:
    """Raise where an output is, holds or lies in an input: a path, or the name of a dataset."""
    from arlib import datasets
    from arlib._support.storage import refuse_output

    root = os.environ.get("ARLIB_DATA", "")
    named = set(datasets.names())
    paths = [
        Path(root, datasets.source_of(str(each))) if each in named else Path(each)
        for each in inputs
        if each
    ]
    refuse_output(out, [path for path in paths if path.exists()])


FORMAT = click.option(
    "--format",
    "form",
    default="text",
    type=click.Choice(["text", "json"]),
    help="For people or for programs.",
)


PARAMETERS = click.option(
    "--parameter",
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    callback=lambda _, __, pairs: dict(pairs),
    help="Set a parameter, as often as needed; of a name the last counts.",
)
