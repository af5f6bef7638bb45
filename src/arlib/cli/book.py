"""`arlib run`, `arlib lab` and `arlib editions`: the book built, opened and compared."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click
import yaml

from arlib.cli.options import SECONDS

KERNEL = "python3"
"""What every chapter names as its kernel."""


def before_lab(root: Path) -> list[str]:
    """Check that a chapter's kernel is this environment, and say what it will find here.

    Args:
        root: the book's folder.

    Returns:
        Lines for people.

    Raises:
        EditionError: JupyterLab is missing, or another environment's kernel has the chapters' name.
    """
    from arlib.publishing import EditionError

    if find_spec("jupyterlab") is None:
        raise EditionError("JupyterLab is not installed here: make lab, or pip install arlib[book]")
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec(KERNEL)
    command = spec.argv[0]
    if command not in ("python", "python3", sys.executable):
        raise EditionError(
            f"kernel {KERNEL!r} at {spec.resource_dir} starts {command}, which is not "
            f"{sys.executable}: remove it, or {sys.executable} -m ipykernel install --sys-prefix"
        )
    lines = [f"the kernel {KERNEL} is {sys.executable}"]
    data = os.environ.get("ARLIB_DATA")
    if not data:
        lines.append("ARLIB_DATA is not set: chapters show the synthetic scenes and recorded runs;")
        lines.append("`arlib data list` says which photographs it may hold")
    elif not Path(data).is_dir():
        lines.append(f"ARLIB_DATA names {data}, which is no folder: no photographs are found")
    if not (root / "_build" / "cache").is_dir() and "ARLIB_CACHE" not in os.environ:
        lines.append("networks of the synthetic scenes are trained first, in minutes, once")
    return lines


def start_lab(root: Path, options: Sequence[str]) -> NoReturn:
    """Become JupyterLab on the chapters, in this environment.

    Args:
        root: the book's folder.
        options: its own, such as "--no-browser".
    """
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(root / "book"), *options])


FORMAT = click.option(
    "--format", "form", default="text", type=click.Choice(["text", "json"]), help="For whom."
)


@click.group(invoke_without_command=True)
@FORMAT
@click.pass_context
def editions(context: click.Context, form: str) -> None:
    """List the editions of the book, and which of them were built here and when.

    As JSON: edition -> what was noted when it was built here, null where it was not.
    """
    if context.invoked_subcommand:
        return
    from arlib.publishing import available, built, find_book, load_edition, moment

    root = find_book()
    there = built(root)
    names = sorted({*available(root), *there})
    if form == "json":
        click.echo(json.dumps({name: there.get(name) for name in names}))
        return
    for name in names:
        when = moment(there[name]) if name in there else "not built"
        title = there[name]["title"] if name in there else load_edition(root, name).title
        click.echo(f"{name:<12} {when:<22} {title}")


@editions.command()
@click.argument("one")
@click.argument("other")
@FORMAT
def compare(one: str, other: str, form: str) -> None:
    """Tell which parameters of two built editions differ, and which cells print otherwise.

    Exit status 0 however much they differ, 1 if one of them was not built here.
    """
    from arlib.publishing import beginning, compare_editions, find_book

    found = compare_editions(find_book(), one, other)
    if form == "json":
        click.echo(json.dumps(asdict(found)))
        return
    for name, values in found.parameters.items():
        click.echo(f"{name}: {values[0]!r} | {values[1]!r}")
    click.echo(f"{len(found.cells)} cells print otherwise, {found.same} the same")
    for cell in found.cells:
        first = cell.source.strip().partition("\n")[0]
        click.echo(f"\n{cell.chapter}: {first}")
        for name, text in zip(found.names, cell.outputs, strict=True):
            shown = "(no such cell)" if text is None else (beginning(text) or "(nothing)")
            click.echo(f"  {name}:\n    " + "\n    ".join(shown.splitlines()))


@click.command()
@click.argument("edition")
@click.option(
    "--parameter", "-p", nargs=2, multiple=True, metavar="NAME VALUE", help="As often as needed."
)
@click.option("--record", is_flag=True, help="Also put fresh runs under book/results/.")
@click.option("--only-measure", is_flag=True, help="Measure the runs; no chapters, no site.")
@click.option("--timeout", default=3600.0, type=SECONDS, help="Seconds that a cell may take.")
@click.option(
    "--repository",
    envvar="ARLIB_REPOSITORY",
    help="Its public address: pages link to it, to Colab and to Binder.  [env: ARLIB_REPOSITORY]",
)
@click.option(
    "--address",
    envvar="ARLIB_ADDRESS",
    help="The site's public address: links to it show a picture.  [env: ARLIB_ADDRESS]",
)
def run(
    edition: str,
    parameter: tuple[tuple[str, str], ...],
    record: bool,
    only_measure: bool,
    timeout: float,
    repository: str | None,
    address: str | None,
) -> None:
    """Execute every chapter with an edition's parameters and build the site.

    EDITION is the name of a file editions/EDITION.yaml. A parameter's VALUE is read as YAML:
    `-p k 11`, `-p runs "[oasis-squeezenet1_1]"`.
    """
    from arlib.publishing import Public, find_book, load_edition, run_edition

    root = find_book()

    overrides = {name: yaml.safe_load(value) for name, value in parameter}
    chosen = load_edition(root, edition, overrides)
    made = run_edition(
        root,
        chosen,
        record=record,
        chapters_too=not only_measure,
        timeout=timeout,
        public=Public(repository, address),
        say=click.echo,
    )
    click.echo(f"the {'runs are' if only_measure else 'book is'} at {made}")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF JUPYTERLAB]...")
def lab(options: tuple[str, ...]) -> None:
    """Open the chapters in JupyterLab, in this environment, and say what they will find."""
    from arlib.publishing import find_book

    root = find_book()
    for line in before_lab(root):
        click.echo(line)
    start_lab(root, options)
