"""`arlib run`, `arlib lab` and `arlib editions`: build the book, open it, compare its editions."""

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click

from arlib.cli.options import FORMAT, PARAMETERS, SECONDS, check_workers, with_workers

KERNEL = "python3"
"""What every chapter names as its kernel."""

MYST = "jupyterlab-myst"
"""The extension by which JupyterLab renders a chapter's text: see `pyproject.toml`."""


@click.command()
@click.argument("edition")
@PARAMETERS
@click.option("--record", is_flag=True, help="Also put fresh runs under book/results/.")
@click.option("--only-measure", is_flag=True, help="Measure the runs; no chapters, no site.")
@click.option(
    "--plan", is_flag=True, help="Print what it needs and how long it takes; start nothing."
)
@click.option(
    "--stage",
    type=click.Choice(["pretrain", "finetune", "score", "rows"]),
    help="Of a protocol: only this stage, and the stages that it needs.",
)
@click.option("--yes", is_flag=True, help="Start even if it takes days without a GPU.")
@with_workers
@click.option("--timeout", default=3600.0, type=SECONDS, help="Seconds that a cell may take.")
@click.option(
    "--repository",
    envvar="ARLIB_REPOSITORY",
    help="The book's public repository, for links to it.  [env: ARLIB_REPOSITORY]",
)
@click.option(
    "--address",
    envvar="ARLIB_ADDRESS",
    help="The site's public address, for previews of links to it.  [env: ARLIB_ADDRESS]",
)
def run(
    edition: str,
    parameters: dict[str, str],
    plan: bool,
    workers: int,
    scheduler: str | None,
    resource: tuple[tuple[str, float], ...],
    **settings: Any,
) -> None:
    """Execute the chapters of an edition and build the site, inside a clone of the book.

    EDITION is the name of a file editions/EDITION.yaml: `arlib editions` lists them, and `arlib
    editions parameters EDITION` what -p can set. A text is taken as it is typed, a number must lie
    in its range, and a list or a mapping is YAML.

    Images of your own are the dataset of the edition `own`: a folder with a folder for each class,
    any other folder of images, or a table, CSV or Parquet, whose columns are path, label and, if
    you like, fold. `arlib data list` lists the datasets that have a name.

    \b
    arlib run scenes -p local_share 1 -p seed 1
    arlib run own -p dataset photos/labels.csv
    arlib run own -p dataset photos/ -p finetune_on "[shipped]"
    arlib run paper --plan
    arlib run paper --stage finetune
    arlib run paper --stage score --scheduler tcp://HOST:8786 --resource GPU 1
    """  # noqa: D301 - \b keeps click from filling the lines
    from arlib.publishing import find_book, load_edition, plan_edition, run_edition

    who = check_workers(workers, scheduler, resource)
    root = find_book()
    loaded = load_edition(root, edition, parameters)
    if plan:
        plan_edition(loaded, say=click.echo)
        return
    result = run_edition(root, loaded, say=click.echo, workers=who, **settings)
    if settings["stage"]:
        click.echo(f"stage {settings['stage']} is done and kept")
        return
    click.echo(f"the {'runs are' if settings['only_measure'] else 'book is'} at {result}")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF JUPYTERLAB]...")
def lab(options: tuple[str, ...]) -> None:
    """Open the chapters in JupyterLab, in this environment, at a page of where to start.

    Before that, the kernel and the data that they will use are checked and printed.
    """
    from arlib.publishing import find_book

    root = find_book()
    for line in check_lab(root):
        click.echo(line)
    start_lab(root, options)


def check_lab(root: Path) -> list[str]:
    """Check that a chapter's kernel is this environment, and describe what it uses, in lines.

    A missing extension for its text is one of them, and no error: its code runs without.
    """
    if find_spec("jupyterlab") is None:
        raise ImportError("JupyterLab is not installed here: make lab, or pip install arlib[book]")
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_federated_extensions

    spec = KernelSpecManager().get_kernel_spec(KERNEL)
    command = spec.argv[0]
    if command not in ("python", "python3", sys.executable):
        raise ValueError(
            f"kernel {KERNEL!r} at {spec.resource_dir} starts {command}, which is not "
            f"{sys.executable}: remove it, or {sys.executable} -m ipykernel install --sys-prefix"
        )
    lines = [f"the kernel {KERNEL} is {sys.executable}"]
    version = get_federated_extensions(jupyter_path("labextensions")).get(MYST, {}).get("version")
    if not str(version).startswith("2.6."):
        problem = f"{MYST} 2.6 is not installed here" if version is None else f"{MYST} is {version}"
        lines.append(f"{problem}: chapters show raw markup and no numbers in their text;")
        lines.append(f'{sys.executable} -m pip install "{MYST}==2.6.*"')
    data = os.environ.get("ARLIB_DATA")
    if not data:
        lines.append("ARLIB_DATA is not set: chapters show the synthetic scenes and recorded runs;")
        lines.append("`arlib data list` lists the photographs that it may hold")
    elif not Path(data).is_dir():
        lines.append(f"ARLIB_DATA names {data}, which is no folder: no photographs are found")
    if not (root / "_build" / "cache").is_dir() and "ARLIB_CACHE" not in os.environ:
        lines.append("networks of the synthetic scenes are trained first, in minutes, once")
    return lines


def start_lab(root: Path, options: Sequence[str]) -> NoReturn:
    """Replace this process by JupyterLab on the chapters, in this environment.

    By the settings in `labconfig`, beside this file, it opens pages such as the glossary rendered,
    attaches every cell as a chapter opens, or *Run All Cells* would find no expression in texts
    that the browser has not come to, and asks no other host for news.
    """
    paths = [str(Path(__file__).parent), os.environ.get("JUPYTER_CONFIG_PATH")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, "-m", "jupyterlab", str(root / "book")]
    os.execv(sys.executable, [*command, "--LabApp.default_url=/lab/tree/start.md", *options])


@click.group(invoke_without_command=True)
@FORMAT
@click.pass_context
def editions(context: click.Context, form: str) -> None:
    """List the book's editions, and when each was built here.

    As JSON: edition -> the facts that were noted when it was built here, null where it was not.
    """
    if context.invoked_subcommand:
        return
    from arlib.publishing import find_book, list_editions

    records = list_editions(find_book())
    if form == "json":
        click.echo(json.dumps({record.name: record.facts for record in records}))
        return
    for record in records:
        click.echo(f"{record.name:<12} {record.when:<22} {record.title}")


@editions.command("parameters")
@click.argument("edition")
@FORMAT
def list_(edition: str, form: str) -> None:
    """List what -p can set in an edition: its value there, what it may be, what it means.

    As JSON: objects of name, value, wanted and meaning.
    """
    from arlib.publishing import find_book, list_parameters

    rows = list_parameters(find_book(), edition)
    if form == "json":
        click.echo(json.dumps(rows))
        return
    for row in rows:
        value = row["value"] if isinstance(row["value"], str) else json.dumps(row["value"])
        about = f"{row['meaning']}; {row['wanted']}"
        click.echo(f"{row['name']:<12} {shorten(value):<24} {about}")


def shorten(text: str, most: int = 24) -> str:
    """Cut a text to as many characters, with dots where something is missing."""
    return text if len(text) <= most else text[: most - 3] + "..."


@editions.command()
@click.argument("one")
@click.argument("other")
@FORMAT
def compare(one: str, other: str, form: str) -> None:
    """List where two built editions differ: parameters, and what cells print.

    Exit status 0 however much they differ, 1 if one of them was not built here.
    """
    from dataclasses import asdict

    from arlib.publishing import compare_editions, find_book

    comparison = compare_editions(find_book(), one, other)
    if form == "json":
        click.echo(json.dumps(asdict(comparison)))
        return
    for name, values in comparison.parameters.items():
        click.echo(f"{name}: {values[0]!r} | {values[1]!r}")
    click.echo(comparison.summary)
    for cell in comparison.cells:
        click.echo(f"\n{cell.chapter}: {cell.first_line}")
        for name, text in zip(comparison.names, cell.excerpts, strict=True):
            click.echo(f"  {name}:\n    " + text.replace("\n", "\n    "))
