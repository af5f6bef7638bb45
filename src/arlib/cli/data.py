"""`arlib data`: which datasets are known and here, how to get them, and whether they are whole."""

import json
import sys
from pathlib import Path
from typing import Any

import click


@click.group()
def data() -> None:
    """Find, fetch and check datasets; they are looked for under ARLIB_DATA."""


@data.command("list")
@click.option("--format", "form", default="text", type=click.Choice(["text", "markdown", "json"]))
def list_(form: str) -> None:
    """Tell what is known, what is here, and how large, licensed and cited it is.

    `markdown` is the generated part of the book's page on datasets.
    """
    from arlib.datasets import catalog, catalog as guide

    if form == "markdown":
        click.echo(guide.as_markdown())
        return
    rows = []
    for name in catalog.known():
        of = catalog.entry(name)
        folders: list[dict[str, Any]] = [
            {"path": str(path), "bytes": sum(f.stat().st_size for f in _files(path))}
            for path in catalog.here(name)
        ]
        facts = {"name": name, "title": of.title, "published": dict(of.published), "here": folders}
        rows.append(
            facts | {"licence": of.licence, "citation": of.cite, "fetch": bool(of.downloads)}
        )
        if form == "text":
            click.echo(f"{name:<12} {of.title}{f' ({of.year})' if of.year else ''}")
            lines = {
                "published": guide.counts(of),
                "here": "; ".join(f"{x['path']}, {x['bytes'] / 1e6:,.1f} MB" for x in folders)
                or ("no" if of.folder else ""),
                "licence": of.licence,
                "citation": ", ".join(of.cite),
            }
            for key, value in lines.items():
                if value:
                    click.echo(f"    {key:<10} {value}")
    if form == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(
            "\n`arlib data where NAME` says how to get one, `arlib data check` what is here."
        )


@data.command()
@click.argument("name")
def where(name: str) -> None:
    """Say how to obtain a dataset, step by step, and the layout that is expected."""
    from arlib.datasets import catalog as guide

    click.echo(guide.where(name))


@data.command()
@click.argument("name", required=False, metavar="[NAME | PATH]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one a dataset.")
def check(name: str | None, as_json: bool) -> None:
    """Check a dataset, or everything that is here; exit status 1 if there is an error.

    NAME is of the catalogue; PATH is a folder of class folders, or a CSV file. Counts are held
    against the published ones; every picture is decoded and hashed.
    """
    from arlib.datasets import DatasetError, catalog, check as check_dataset

    if name is None:
        catalog.data_root()
        found = [(each, root) for each in catalog.known() for root in catalog.here(each)]
        if not found:
            raise DatasetError(f"no dataset under {catalog.data_root()}; `arlib data list`")
    elif name in catalog.known() and catalog.entry(name).folder:
        found = [(name, root) for root in catalog.here(name)]
        if not found:
            raise DatasetError(f"{name} is not here: `arlib data where {name}` says how to get it")
    elif Path(name).exists() or name in catalog.known():
        found = [(name, Path(name))]
    else:
        raise DatasetError(
            f"{name} is neither a path nor in the catalogue; there are {', '.join(catalog.known())}"
        )
    failed = False
    for number, (each, root) in enumerate(found):
        report = check_dataset(each, root)
        failed |= report.failed
        if as_json:
            click.echo(json.dumps(report.as_dict()))
        else:
            click.echo(("\n" if number else "") + report.as_text())
    if failed:
        sys.exit(1)


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download a dataset whose licence allows it; the same command again resumes.

    What arrives is verified by its SHA-256, and unpacked once every path in it was checked.
    """
    from arlib.datasets import fetch as fetch_dataset

    click.echo(f"it is at {fetch_dataset(name, say=click.echo)}; `arlib data check {name}`")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
