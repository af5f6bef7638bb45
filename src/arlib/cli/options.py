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

MODEL = "A trained model: the folder of `arlib finetune`, or X.safetensors of `arlib head`."

TRUST = click.option(
    "--trust-code",
    "trusted",
    is_flag=True,
    help="Import and call the function that the model's file names as its network.",
)

BACKBONE = "The network: `arlib backbones` lists them."

MAX_PIXELS = click.option(
    "--max-pixels",
    default=80_000_000,
    type=N,
    help="Width x height that an image may have; decoding takes up to 11 bytes a pixel.",
)

ENGINE = click.option(
    "--engine",
    default="auto",
    type=click.Choice(["auto", "torch", "openvino"]),
    help="What runs the network: OpenVINO (arlib[cpu]) or PyTorch.",
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
    help="Set a parameter; may be repeated, and the last value of a name counts.",
)


def with_workers(command: Any) -> Any:
    """Add the options that choose the workers of scoring, as `check_workers` takes them."""
    options = (
        click.option(
            "--workers", default=1, type=PROCESSES, help="Processes of this machine that score."
        ),
        click.option(
            "--scheduler", help="A running Dask scheduler, tcp://HOST:8786, whose workers score."
        ),
        click.option(
            "--resource",
            nargs=2,
            type=(str, POSITIVE),
            multiple=True,
            metavar="NAME AMOUNT",
            help="What a Dask worker must have free to score a shard, such as GPU 1.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_workers(
    workers: int, scheduler: str | None, resource: tuple[tuple[str, float], ...]
) -> dict[str, Any]:
    """Check the choice of workers, and return it as `arlib.scoring.score_in_shards` takes it."""
    if scheduler and workers > 1:
        raise click.UsageError("give one of --workers N and --scheduler ADDRESS")
    if resource and not scheduler:
        raise click.UsageError("--resource is for the workers of a --scheduler")
    return {"processes": workers, "scheduler": scheduler, "resources": dict(resource)}
