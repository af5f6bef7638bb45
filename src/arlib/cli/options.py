"""What options of several commands take."""

from pathlib import Path

import click

N = click.IntRange(min=1)


WEIGHT = click.FloatRange(min=0)


SECONDS = click.FloatRange(min=0, min_open=True)


FILE = click.Path(path_type=Path)
