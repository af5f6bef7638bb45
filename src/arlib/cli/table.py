"""Print Table 1 of an edition or of runs: `arlib table`."""

from pathlib import Path
from typing import Any

import click

from arlib.cli.options import FILE, PARAMETERS, refuse_input


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="EDITION | RUN...")
@click.option("--compare", is_flag=True, help="Two runs: the second less the first, row by row.")
@PARAMETERS
@click.option(
    "--seeds",
    default=1,
    type=click.IntRange(1, 1000),
    help="Synthetic scenes: how many seeds are pooled.",
)
@click.option("--format", "form", default="text", type=click.Choice(["text", "csv", "json"]))
@click.option("--predictions", type=FILE, help="Also write each row's prediction of each image.")
def table(
    what: tuple[str, ...],
    compare: bool,
    parameters: dict[str, str],
    seeds: int,
    form: str,
    predictions: Path | None,
) -> None:
    """Print Table 1 with intervals: of an edition's runs, or of runs named by their folders.

    Recorded runs are opened; those of the synthetic scenes are computed where they are missing, in
    some minutes, once. A row that is not available is a dash, with its reason below.

    \b
    arlib table scenes
    arlib table twitter2
    arlib table --compare book/results/RUN book/results/RUN
    """  # noqa: D301 - \b keeps click from filling the lines
    from arlib import evaluation, publishing
    from arlib._support.storage import refuse_output, write_atomic
    from arlib.experiments import open_run

    if predictions is not None:
        refuse_output(predictions, ours=is_predictions, what="a table of predictions")
    if compare or any(Path(what[0], name).exists() for name in ("run.json", "scores.zarr")):
        if parameters or seeds != 1:
            raise click.UsageError("-p and --seeds are for editions, not for runs")
        if predictions is not None:
            refuse_input(predictions, *what)
        runs = [open_run(name).load() for name in what]
    else:
        if len(what) > 1:
            raise click.UsageError(
                f"{what[0]} is not the folder of a run; of editions give only one"
            )
        root = publishing.find_book()
        edition = publishing.load_edition(root, what[0], parameters)
        runs = publishing.edition_runs(root, edition, seeds=range(seeds))
    result: Any
    if compare:
        if len(runs) != 2:
            raise click.UsageError(f"--compare takes two runs, not {len(runs)}")
        result = evaluation.compare_runs(*runs)
    else:
        result = evaluation.table1(runs, further=True)
    click.echo(evaluation.format_table(result, form))
    if predictions is not None:
        write_atomic(predictions, evaluation.predictions(runs).to_csv(index=False))


def is_predictions(path: Path) -> bool:
    """Tell whether a regular file is a table of predictions, by its header."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(100).startswith(b"run,image,label,fold,method,")
