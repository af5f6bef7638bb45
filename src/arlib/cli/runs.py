"""`arlib runs`: list runs, and make one of scores that `arlib score` wrote."""

import json
from pathlib import Path

import click

from arlib.cli.options import FILE, FORMAT

RESULTS = click.option(
    "--results", type=FILE, help="Where runs are; by default book/results of the clone."
)


@click.group(invoke_without_command=True)
@RESULTS
@FORMAT
@click.pass_context
def runs(context: click.Context, results: Path | None, form: str) -> None:
    """List the runs that chapters and tables can use: name, number of images, date and title.

    As JSON: objects of name, title, dataset, network, images and finished.
    """
    if context.invoked_subcommand:
        return
    from arlib.experiments import list_runs

    folder = results_folder(results)
    rows = list_runs(folder)
    if form == "json":
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"no run in {folder}")
    for row in rows:
        when = (row["finished"] or "not noted")[:16].replace("T", " ")
        click.echo(f"{row['name']:<34} {row['images']:>7,} images  {when:<16}  {row['title']}")


@runs.command()
@click.argument("store", type=FILE)
@click.option("--dataset", required=True, help="What was scored: a name, or a path.")
@click.option("--name", default="", help="Of the run; by default, made of dataset and network.")
@RESULTS
@click.pass_context
def add(context: click.Context, store: Path, dataset: str, name: str, results: Path | None) -> None:
    """Make a run of STORE, the scores that `arlib score` wrote, for tables and chapters.

    The scores are copied into the run's folder, and run.json is written beside them. Rows of Table
    1 that scores cannot fill are dashes.

    \b
    arlib runs add scores.zarr --dataset twitter2 --name twitter2-mine
    arlib table book/results/twitter2-mine
    arlib run recorded -p run twitter2-mine -p runs "[twitter2-mine]"
    """  # noqa: D301 - \b keeps click from filling the lines
    from arlib.experiments import add_run, open_run

    assert context.parent is not None
    folder = results_folder(results or context.parent.params["results"])
    run = add_run(store, folder, dataset=dataset, name=name)
    opened = open_run(run)
    labelled = int((opened.labels >= 0).sum())
    click.echo(f"{run}: {opened.labels.size} images, {opened.title}")
    click.echo(f"arlib table {run}" if labelled else "no image has a label: no table has numbers")


def results_folder(named: Path | None) -> Path:
    """Locate the folder of runs: the one that is named, else that of the book here or above."""
    if named is not None:
        return named
    from arlib.publishing import find_book

    return find_book() / "book" / "results"
