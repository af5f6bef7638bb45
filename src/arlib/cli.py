"""The command line, thin over the library: `arlib run | table | predict | score | data | ...`."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from arlib import __version__
from arlib.data_cli import data

N = click.IntRange(min=1)
WEIGHT = click.FloatRange(min=0)
SECONDS = click.FloatRange(min=0, min_open=True)
FILE = click.Path(path_type=Path)


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


app.add_command(data)


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
def run(
    edition: str,
    parameter: tuple[tuple[str, str], ...],
    record: bool,
    only_measure: bool,
    timeout: float,
) -> None:
    """Execute every chapter with an edition's parameters and build the site.

    EDITION is the name of a file editions/EDITION.yaml. A parameter's VALUE is read as YAML:
    `-p k 11`, `-p runs "[oasis-squeezenet1_1]"`.
    """
    from arlib import editions, publishing

    root = editions.find_book()
    overrides = {name: yaml.safe_load(value) for name, value in parameter}
    chosen = editions.load_edition(root, edition, overrides)
    made = publishing.run_edition(
        root,
        chosen,
        record=record,
        chapters_too=not only_measure,
        timeout=timeout,
        say=click.echo,
    )
    click.echo(f"the {'runs are' if only_measure else 'book is'} at {made}")


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


@app.command()
@click.option("--dataset", help="A name under ARLIB_DATA, or a path.")
@click.option("--images", type=FILE, help="Instead: a folder of pictures, without labels.")
@click.option("--out", required=True, type=FILE, help="The store to write, e.g. scores.zarr.")
@click.option("--head", type=FILE, help="Made by `arlib head`; by default the package's own.")
@click.option("--backbone", help="Instead of a head: a network that judges by its own classes.")
@click.option("--weights", default="auto", help="Of --backbone: auto, random, or a safetensors.")
@click.option("--proposals", default="edge_boxes", help="Proposal method.")
@click.option("--max-regions", default=100, type=N, help="N, how many proposals.")
@click.option("--crop", default="warp", type=click.Choice(["warp", "square"]))
@click.option("--context", default=0.0, type=WEIGHT, help="Padding, share of a region's sides.")
@click.option("--features", default="crops", type=click.Choice(["crops", "shared"]))
@click.option("--precision", default="float32", type=click.Choice(["float32", "bf16", "auto"]))
@click.option("--deadline", type=SECONDS, help="Seconds that an image's proposals may take.")
@click.option("--shard-size", default=1024, type=N, help="Images that are lost to a crash at most.")
@click.option("--workers", default=1, type=N, help="Processes on this machine.")
@click.option("--scheduler", help="Of Dask, tcp://HOST:8786: its workers score. Shared folders.")
@click.option(
    "--resource",
    nargs=2,
    type=(str, float),
    multiple=True,
    metavar="NAME AMOUNT",
    help="What a Dask worker needs for a shard: GPU 1.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at --out.")
def score(
    out: Path,
    images: Path | None,
    shard_size: int,
    workers: int,
    scheduler: str | None,
    resource: tuple[tuple[str, float], ...],
    overwrite: bool,
    **named: Any,
) -> None:
    """Score every image and its regions, once; everything after it is arithmetic.

    Finished shards of images are kept in OUT.partial until all are there: after a crash, the same
    command does the rest.
    """
    from functools import partial

    from arlib.jobs import named_job
    from arlib.sharded import score_in_shards

    if bool(named["dataset"]) == bool(images):
        raise click.UsageError("give one of --dataset NAME and --images FOLDER")
    if scheduler and workers > 1:
        raise click.UsageError("give one of --workers N and --scheduler ADDRESS")
    if resource and not scheduler:
        raise click.UsageError("--resource is for the workers of a --scheduler")
    for name in ("head", "weights"):  # workers may run elsewhere
        if named[name] and Path(named[name]).exists():
            named[name] = str(Path(named[name]).resolve())
    scores, report = score_in_shards(
        partial(named_job, images=images and str(images.resolve()), **named),
        out.resolve(),
        shard_size=shard_size,
        processes=workers,
        scheduler=scheduler,
        resources=dict(resource),
        overwrite=overwrite,
    )
    for number, errors in report.retried.items():
        click.echo(
            f"arlib: shard {number} came after {len(errors)} failures: {errors[-1]}", err=True
        )
    left_out = len(scores.attrs["unreadable"])
    click.echo(
        f"{out}: {scores.sizes['image']} images scored, {left_out} left out; "
        f"{report.reused} of {report.shards} shards were there"
    )


@app.command()
@click.argument("dataset")
@click.option("--out", required=True, type=FILE, help="X.safetensors; X.json goes beside it.")
@click.option("--backbone", default="squeezenet1_1", help="torchvision's name of the network.")
@click.option("--seed", default=0, help="Of the inner folds that pick C.")
def head(dataset: str, out: Path, backbone: str, seed: int) -> None:
    """Fit a linear sentiment head on a frozen backbone's features of a labelled dataset."""
    from arlib.experiment import fit_dataset_head

    made = fit_dataset_head(dataset, backbone, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    made.save(out)
    click.echo(f"{out}: {made.provenance}")


@app.command()
@click.argument("dataset")
@click.option("--out", required=True, type=FILE, help="Folder for weights, checkpoints and logs.")
@click.option("--backbone", default="vgg16", help="torchvision's name of the network.")
@click.option("--weights", default="auto", help="auto, random, or a safetensors file.")
@click.option("--hold-out", default=1, help="The fold that validates; 0 trains on everything.")
@click.option("--devices", default=1, type=N, help="Processes of a machine that share each batch.")
@click.option("--nodes", default=1, type=N, help="Machines that share it, each under torchrun.")
@click.option(
    "--progressive", is_flag=True, help="Then drop undecided pictures, and train on: PCNN."
)
@click.option(
    "--parameter", "-p", nargs=2, multiple=True, metavar="NAME VALUE", help="As often as needed."
)
def finetune(
    dataset: str,
    out: Path,
    backbone: str,
    weights: str,
    hold_out: int,
    devices: int,
    nodes: int,
    progressive: bool,
    parameter: tuple[tuple[str, str], ...],
) -> None:
    """Fine-tune a pre-trained network on a labelled dataset; the same command again resumes.

    Parameters are those of arlib.training.Training, such as `-p epochs 3 -p lr 0.001`.
    """
    from arlib import datasets
    from arlib.backbones import load_backbone
    from arlib.finetuning import finetune as train
    from arlib.finetuning import learning_curve
    from arlib.training import parse_training

    plan = parse_training({name: yaml.safe_load(value) for name, value in parameter})
    chosen = datasets.load(dataset)
    held_out = chosen.folds == hold_out
    if hold_out and not held_out.any():
        there = sorted(set(chosen.folds.tolist()) - {-1})
        raise datasets.DatasetError(
            f"no picture of {dataset} is in fold {hold_out}; its folds: {there or 'none'}. "
            "--hold-out 0 trains on everything"
        )
    learn = chosen.subset((chosen.labels >= 0) & ~held_out)
    validation = chosen.subset(held_out) if hold_out else None
    network = load_backbone(backbone, classes=len(chosen.emotions), weights=weights, seed=plan.seed)
    trained = train(
        network, learn, out, training=plan, validation=validation, devices=devices, nodes=nodes
    )
    if progressive:
        from arlib.baselines.pcnn import train_on

        out = out / "progressive"
        done = train_on(trained, learn, out, training=plan, validation=validation)
        click.echo(f"dropped {done.dropped:.1%} of {len(learn)} pictures, and trained on")
    last = {name: round(value, 4) for name, value in learning_curve(out)[-1].items()}
    click.echo(f"{out / 'network.safetensors'}: {last}")


if __name__ == "__main__":
    main()
