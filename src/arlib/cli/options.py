"""Options and types of options that several commands share."""

from pathlib import Path
from typing import Any

import click

N = click.IntRange(min=1)
WEIGHT = click.FloatRange(min=0)
SECONDS = click.FloatRange(min=0, min_open=True)
FILE = click.Path(path_type=Path)

MAX_PIXELS = click.option(
    "--max-pixels",
    default=80_000_000,
    type=N,
    help="Width x height that an image may have; decoding takes up to 11 bytes a pixel.",
)

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
