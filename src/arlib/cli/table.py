"""`arlib table`: Table 1 of an edition or of runs."""

from pathlib import Path

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
@click.option("--predictions", type=FILE, help="Also write what each row says of each image.")
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

    Recorded runs are opened; those of the synthetic scenes are made where they are missing, in some
    minutes, once. What cannot be had says why.

    \b
    arlib table scenes
    arlib table twitter2
    arlib table --compare book/results/RUN book/results/RUN
    """  # noqa: D301 - \b keeps click from filling the lines
    from arlib import evaluation, publishing
    from arlib.experiments import open_run

    if Path(what[0], "run.json").is_file() or compare:
        if parameter or seeds != 1:
            raise click.UsageError("-p and --seeds are for editions, not for runs")
        found = [open_run(name).load() for name in what]
    else:
        if len(what) > 1:
            raise click.UsageError(f"{what[0]} is no run's folder; of editions give one")
        root = publishing.find_book()
        overrides = {name: yaml.safe_load(value) for name, value in parameter}
        edition = publishing.load_edition(root, what[0], overrides)
        found = publishing.edition_runs(root, edition, seeds=range(seeds))
    if compare:
        if len(found) != 2:
            raise click.UsageError(f"--compare takes two runs, not {len(found)}")
        apart = evaluation.compare_runs(*found, n_bootstrap=bootstrap)
        shown = {
            "text": apart.to_string(float_format="{:.3f}".format),
            "csv": apart.to_csv(),
            "json": evaluation.comparison_as_json(apart),
        }
        click.echo(shown[form])
    else:
        tables = evaluation.table_of(found, n_bootstrap=bootstrap)
        write = {"text": evaluation.as_text, "csv": evaluation.as_csv, "json": evaluation.as_json}
        click.echo(write[form](tables))
    if predictions is not None:
        evaluation.predictions(found).to_csv(predictions, index=False)
