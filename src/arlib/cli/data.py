"""`arlib data`: which datasets are known and here, how to get them, and what is odd in them."""

import json
import sys
from pathlib import Path

import click

from arlib.cli.options import FILE, MAX_PIXELS, SEED, N, setting


@click.group()
def data() -> None:
    """Find, fetch and check datasets; they are looked for under ARLIB_DATA."""


@data.command("list")
@click.option("--format", "form", default="text", type=click.Choice(["text", "markdown", "json"]))
def list_(form: str) -> None:
    """List all datasets: which are here, and their size, licence and citation.

    `markdown` is the generated part of the book's page on datasets.
    """
    from arlib.datasets import describe

    click.echo(describe(form=form))
    if form == "text":
        click.echo(
            "\n`arlib data where NAME` shows how to get one; `arlib data check` checks those here."
        )


@data.command()
@click.argument("name")
def where(name: str) -> None:
    """Describe how to obtain a dataset, step by step, and the layout that is expected."""
    from arlib.datasets import describe

    click.echo(describe(name))


@data.command()
@click.argument("name", required=False, metavar="[NAME | PATH]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one a dataset.")
@MAX_PIXELS
def check(name: str | None, as_json: bool, max_pixels: int) -> None:
    """Check a dataset, or everything that is here; exit status 1 if there is an error.

    NAME is one of `arlib data list`; PATH is a folder of class folders, or a table in CSV or
    Parquet, such as `arlib data where folder` and `arlib data where table` describe. Counts are
    compared with the published ones; every image is decoded, and compared with all others.
    """
    from arlib.datasets import check as check_datasets

    failed = False
    for number, report in enumerate(check_datasets(name, max_pixels=max_pixels)):
        failed |= report.failed
        text = json.dumps(report.as_dict()) if as_json else report.as_text()
        click.echo(text if as_json or not number else f"\n{text}")
    if failed:
        sys.exit(1)


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download a dataset whose licence allows it.

    What arrives is verified by its SHA-256; the dataset's folder appears when it is complete.
    """
    from arlib.datasets import fetch as fetch_dataset

    click.echo(f"it is at {fetch_dataset(name, say=click.echo)}; `arlib data check {name}`")


@data.command("export-scenes")
@click.argument("folder", type=FILE)
@click.option("--objects", default=720, type=N, help="Images of the object set, for ImageNet.")
@click.option("--tagged", default=400, type=N, help="Images of the tagged set, for Flickr.")
@click.option("--tested", default=200, type=N, help="Images for each of Twitter I and Twitter II.")
@click.option("--seed", default=0, type=SEED, help="Seed of the scenes.")
@click.option(
    "--local-share",
    default=0.5,
    type=setting("local_share"),
    help="Share of the sentiment that objects carry.",
)
def export_scenes(
    folder: Path, objects: int, tagged: int, tested: int, seed: int, local_share: float
) -> None:
    """Write the synthetic scenes as files, in the layouts of the paper's datasets.

    FOLDER must be new, empty, or written by this command. It then serves as ARLIB_DATA: twitter1,
    twitter2 and vso are read from it by their names. Its images hold the same pixels as
    scenes-annotated, scenes-folded and scenes-tagged, in the same order, with the same labels.
    """
    from arlib.datasets import scenes

    generator = scenes.SceneGenerator(local_share=local_share)
    scenes.export_scenes(
        folder, generator, objects=objects, tagged=tagged, tested=tested, seed=seed
    )
    click.echo(f"{folder}/README.md describes the files; to use them: export ARLIB_DATA={folder}")
