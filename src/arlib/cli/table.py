"""Print Table 1 of an edition or of runs: `arlib table`."""

from pathlib import Path
from typing import Any

import click
import yaml

from arlib.cli.options import FILE, N


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="EDITION | RUN...")
@click.option("--compare", is_flag=True, help="Two runs: the second less the first, row by row.")
@click.option(
    "--parameter", "-p", nargs=2, multiple=True, metavar="NAME VALUE", help="Of the edition."
)
@click.option("--seeds", default=1, type=N, help="Synthetic scenes: how many, pooled.")
@click.option("--bootstrap", default=1000, type=N, help="Resamples behind each interval.")
@click.option("--format", "form", default="text", type=click.Choice(["text", "csv", "json"]))
@click.option("--predictions", type=FILE, help="Also write each row's prediction of each image.")
def table(
    what: tuple[str, ...],
    compare: bool,
    parameter: tuple[tuple[str, str], ...],
    seeds: int,
    bootstrap: int,
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
    from arlib.experiments import open_run

    if compare or any(Path(what[0], name).exists() for name in ("run.json", "scores.zarr")):
        if parameter or seeds != 1:
            raise click.UsageError("-p and --seeds are for editions, not for runs")
        runs = [open_run(name).load() for name in what]
    else:
        if len(what) > 1:
            raise click.UsageError(f"{what[0]} is no run's folder; of editions give one")
        root = publishing.find_book()
        overrides = {name: yaml.safe_load(value) for name, value in parameter}
        edition = publishing.load_edition(root, what[0], overrides)
        runs = publishing.edition_runs(root, edition, seeds=range(seeds))
    result: Any
    if compare:
        if len(runs) != 2:
            raise click.UsageError(f"--compare takes two runs, not {len(runs)}")
        result = evaluation.compare_runs(*runs, n_bootstrap=bootstrap)
    else:
        result = evaluation.table1(runs, n_bootstrap=bootstrap)
    click.echo(evaluation.format_table(result, form))
    if predictions is not None:
        evaluation.predictions(runs).to_csv(predictions, index=False)
