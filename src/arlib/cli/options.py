"""Options and types of options that several commands share."""

import math
import os
from pathlib import Path
from typing import Any

import click


class Finite(click.FloatRange):
    """A number in a range; NaN, which compares as false with both ends, is refused too."""

    def convert(self, value: Any, param: Any, context: Any) -> float:
        """Read a number."""
        number = super().convert(value, param, context)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, context)
        return number


N = click.IntRange(1, 10**9)
PROCESSES = click.IntRange(1, 1024)
REGIONS = click.IntRange(1, 10_000)
RESAMPLES = click.IntRange(1, 100_000)
WEIGHT = Finite(0, 1000)
SHARE = Finite(0, 10)
POSITIVE = SECONDS = Finite(0, 1e9, min_open=True)
SEED = click.IntRange(0, 2**31 - 1)
FOLD = click.IntRange(0, 127)
FILE = click.Path(path_type=Path)

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
    paths = [Path(root, each) if each in named else Path(each) for each in inputs if each]
    refuse_output(out, [path for path in paths if path.exists()])


FORMAT = click.option(
    "--format",
    "form",
    default="text",
    type=click.Choice(["text", "json"]),
    help="For people or for programs.",
)


def _as_yaml(_: click.Context, __: click.Parameter, pairs: tuple[tuple[str, str], ...]) -> Any:
    import yaml

    return {name: yaml.safe_load(value) for name, value in pairs}


PARAMETERS = click.option(
    "--parameter",
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    callback=_as_yaml,
    help="A value in YAML, as often as needed.",
)
