"""The command line, thin over the library: `arlib run | lab | table | predict | score | ...`."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from arlib import __version__
from arlib.data_cli import data
from arlib.editions_cli import editions as editions_command
from arlib.options import FILE, SECONDS, WEIGHT, N
from arlib.scoring_cli import score
from arlib.training_cli import finetune, head


def main() -> None:
    """Run the command line; what a person can mend is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="arlib: %(message)s")
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        click.echo(f"arlib: {error}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="arlib")
def app() -> None:
    """Affective regions: which parts of a picture carry its sentiment."""


for command in (data, editions_command, score, head, finetune):
    app.add_command(command)


@app.command()
@click.argument("images", nargs=-1, required=True, type=FILE, metavar="IMAGE...")
@click.option("--k", default=8, type=N, help="K, how many affective regions.")
@click.option("--alpha", default=1.0, type=WEIGHT, help="alpha of Eq. 2.")
@click.option("--beta", default=0.5, type=WEIGHT, help="beta of Eq. 3.")
@click.option("--max-regions", default=100, type=N, help="N, how many proposals.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one an image.")
@click.option("--overlay", default=".", type=FILE, help="Folder for NAME.regions.png.")
@click.option("--no-overlay", is_flag=True, help="Draw no picture.")
@click.option("--html", is_flag=True, help="Also write NAME.explorer.html there: move the sliders.")
def predict(
    images: tuple[Path, ...],
    k: int,
    alpha: float,
    beta: float,
    max_regions: int,
    as_json: bool,
    overlay: Path,
    no_overlay: bool,
    html: bool,
) -> None:
    """Predict each picture's sentiment and draw the regions that carry it.

    The network is SqueezeNet 1.1 as torchvision publishes it (ARLIB_DATA/weights/, or downloaded),
    under a linear head fitted on OASIS that ships with the package.
    """
    from arlib.describe import described, write_explorer, write_overlay
    from arlib.images import ImageError, read_image
    from arlib.prediction import predict as predict_image
    from arlib.prediction import prediction_from_scores, score_picture
    from arlib.proposals import EdgeBoxes

    method = EdgeBoxes(max_regions=max_regions)
    settings: dict[str, Any] = {"k": k, "alpha": alpha, "beta": beta}
    failed = 0
    for path in images:
        try:
            image = read_image(path)
        except ImageError as error:
            click.echo(f"arlib: {error}", err=True)
            failed += 1
            continue
        if html:  # an explorer ranks anew, so it needs every region
            scores = score_picture(image, proposals=method)
            found = prediction_from_scores(scores, **settings)
        else:
            found = predict_image(image, proposals=method, **settings)
        made: dict[str, str | None] = {"overlay": None, "html": None}
        if not no_overlay:
            picture = overlay / f"{path.stem}.regions.png"
            write_overlay(image, found, picture)
            made["overlay"] = str(picture)
        if html:
            page = overlay / f"{path.stem}.explorer.html"
            write_explorer(image, scores, path.name, settings, page)
            made["html"] = str(page)
        if as_json:
            click.echo(json.dumps({"image": str(path), **made, **found.to_dict()}))
        else:
            click.echo(described(path, found, made))
    if failed:
        sys.exit(1)


@app.command()
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
    from arlib import editions

    root = editions.find_book()  # before what takes seconds to import

    from arlib import publishing
    from arlib.public import Public

    overrides = {name: yaml.safe_load(value) for name, value in parameter}
    chosen = editions.load_edition(root, edition, overrides)
    made = publishing.run_edition(
        root,
        chosen,
        record=record,
        chapters_too=not only_measure,
        timeout=timeout,
        public=Public(repository, address),
        say=click.echo,
    )
    click.echo(f"the {'runs are' if only_measure else 'book is'} at {made}")


@app.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION OF JUPYTERLAB]...")
def lab(options: tuple[str, ...]) -> None:
    """Open the chapters in JupyterLab, in this environment, and say what they will find."""
    from arlib.editions import find_book
    from arlib.lab import before_lab, start_lab

    root = find_book()
    for line in before_lab(root):
        click.echo(line)
    start_lab(root, options)


@app.command()
@click.argument("what", nargs=-1, required=True, metavar="EDITION | RUN...")
@click.option("--compare", is_flag=True, help="Two runs: the second less the first, row by row.")
@click.option(
    "--parameter", "-p", nargs=2, multiple=True, metavar="NAME VALUE", help="Of the edition."
)
@click.option("--seeds", default=1, type=N, help="Embedded world: how many, pooled.")
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

    Recorded runs are opened; those of the embedded world are made where they are missing, in some
    minutes, once. What cannot be had says why.

    \b
    arlib table scenes
    arlib table twitter2
    arlib table --compare book/results/RUN book/results/RUN
    """  # noqa: D301 - \b keeps click from filling the lines
    from arlib import editions, tabulate

    if Path(what[0], "run.json").is_file() or compare:
        if parameter or seeds != 1:
            raise click.UsageError("-p and --seeds are for editions, not for runs")
        found = [tabulate.evidence_of(Path(name)) for name in what]
    else:
        if len(what) > 1:
            raise click.UsageError(f"{what[0]} is no run's folder; of editions give one")
        root = editions.find_book()
        overrides = {name: yaml.safe_load(value) for name, value in parameter}
        edition = editions.load_edition(root, what[0], overrides)
        found = tabulate.evidence_of_edition(root, edition, seeds=range(seeds))
    if compare:
        if len(found) != 2:
            raise click.UsageError(f"--compare takes two runs, not {len(found)}")
        apart = tabulate.compare_runs(*found, n_bootstrap=bootstrap)
        shown = {
            "text": apart.to_string(float_format="{:.3f}".format),
            "csv": apart.to_csv(),
            "json": tabulate.comparison_as_json(apart),
        }
        click.echo(shown[form])
    else:
        tables = tabulate.table_of(found, n_bootstrap=bootstrap)
        write = {"text": tabulate.as_text, "csv": tabulate.as_csv, "json": tabulate.as_json}
        click.echo(write[form](tables))
    if predictions is not None:
        tabulate.predictions(found).to_csv(predictions, index=False)


if __name__ == "__main__":
    main()
