"""The command line, thin over the library: `arlib run | lab | table | predict | score | ...`."""

import atexit
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from arlib import __version__
from arlib.cli.book import editions, lab, run
from arlib.cli.data import data
from arlib.cli.predict import predict
from arlib.cli.runs import runs
from arlib.cli.score import score
from arlib.cli.table import table
from arlib.cli.train import finetune, head
from arlib.cli.weights import backbones, weights


class _Ended(BaseException):
    """Raised where a signal, the argument, asks the process to end."""


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP raise in the block, so that what it started is ended."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not on Windows
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    usual = {n: signal.getsignal(n) for n in numbers}
    # one that is ignored stays so: under nohup, or in a job in the background
    taken = [n for n in usual if usual[n] in (signal.SIG_DFL, signal.default_int_handler)]
    if threading.current_thread() is not threading.main_thread():
        taken = []

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        raise _Ended(number)

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, usual[number])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that a person can fix is one line on stderr, exit status 1.

    Ended by Ctrl-C, SIGTERM or SIGHUP, it ends what it started, and its exit status is 128 and the
    signal's number.

    Args:
        arguments: such as ["data", "list"]; None takes those of the process.

    Raises:
        SystemExit: at the end, with the exit status.
    """
    logging.basicConfig(level=logging.WARNING, format="arlib: %(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be in another encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    statuses: list[int] = []
    if arguments is None:
        # the last that is done at exit: it saves the seconds of collecting PyTorch's garbage
        atexit.register(lambda: statuses and os._exit(statuses[0]))
    try:
        with _signals_raise():
            app(arguments)
    except _Ended as ended:
        statuses.append(128 + ended.args[0])
        click.echo(f"\narlib: ended by {signal.Signals(ended.args[0]).name}", err=True)
        sys.exit(statuses[0])
    except (ValueError, OSError, ImportError, MemoryError) as error:
        click.echo(f"arlib: {str(error) or 'too little memory'}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="arlib")
def app() -> None:
    """Affective regions: predict an image's sentiment and the regions that carry it."""


for command in (
    *(run, lab, editions, predict, table, runs, score, head, finetune),
    *(backbones, weights, data),
):
    app.add_command(command)
