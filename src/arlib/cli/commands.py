"""The command line, thin over the library: `arlib run | lab | table | predict | score | ...`."""

import logging
import sys
from collections.abc import Sequence

import click

from arlib import __version__
from arlib.cli.book import editions, lab, run
from arlib.cli.data import data
from arlib.cli.predict import predict
from arlib.cli.score import score
from arlib.cli.table import table
from arlib.cli.train import finetune, head


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that a person can fix is one line on stderr, exit status 1.

    Args:
        arguments: such as ["data", "list"]; None takes those of the process.

    Raises:
        SystemExit: at the end, with the exit status.
    """
    logging.basicConfig(level=logging.WARNING, format="arlib: %(message)s")
    try:
        app(arguments)
    except (ValueError, OSError, ImportError) as error:
        click.echo(f"arlib: {error}", err=True)
        sys.exit(1)
    except MemoryError as error:
        click.echo(f"arlib: out of memory: {error}".removesuffix(": "), err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="arlib")
def app() -> None:
    """Affective regions: predict an image's sentiment and the regions that carry it."""


for command in (run, lab, editions, predict, table, score, head, finetune, data):
    app.add_command(command)
