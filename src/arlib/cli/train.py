"""`arlib head` and `arlib finetune`: train classifiers of sentiment."""

import shlex
from pathlib import Path

import click

from arlib._support.settings import SETTINGS, names_function
from arlib.cli.options import (
    BACKBONE,
    FILE,
    FOLD,
    MAX_PIXELS,
    PARAMETERS,
    PROCESSES,
    SEED,
    refuse_input,
)


@click.command()
@click.argument("dataset")
@click.option("--out", required=True, type=FILE, help="X.safetensors; X.json goes beside it.")
@click.option("--backbone", default="efficientnet_lite0", help=BACKBONE)
@click.option(
    "--seed",
    default=0,
    type=SEED,
    help="Seed of the inner folds on which the head's C is chosen.",
)
@MAX_PIXELS
def head(dataset: str, out: Path, backbone: str, seed: int, max_pixels: int) -> None:
    """Fit a linear sentiment head on a frozen backbone's features.

    DATASET is labelled: a name under ARLIB_DATA, or a path.
    """
    from arlib._support.storage import refuse_output
    from arlib.experiments import fit_dataset_head

    facts = out.with_suffix(".json")
    if out.suffix != ".safetensors":
        raise click.UsageError(f"--out must be called X.safetensors, not {out.name}")
    for path in (out, facts):
        refuse_input(path, dataset)
        refuse_output(path, ours=lambda _: is_head(out), what="of a head that `arlib head` fitted")
    linear_head = fit_dataset_head(dataset, backbone, seed=seed, max_pixels=max_pixels)
    out.parent.mkdir(parents=True, exist_ok=True)
    linear_head.save(out)
    click.echo(f"{out}: {linear_head.provenance}")
    click.echo(to_use(out, backbone))


def to_use(model: Path, backbone: str) -> str:
    """Name the command that predicts by a model."""
    trust = ["--trust-code"] if names_function(backbone) else []
    words = ["arlib", "predict", "--model", str(model), *trust, "IMAGE"]
    return f"to use it: {shlex.join(words)}"


def is_head(path: Path) -> bool:
    """Tell whether two regular files, X.safetensors and X.json, are those of a linear head."""
    from arlib.networks import LinearHead

    if path.is_symlink() or path.with_suffix(".json").is_symlink():
        return False
    try:
        LinearHead.load(path)
    except Exception:  # whatever else the files hold
        return False
    return True


def _described() -> str:
    """Describe what -p can set, in lines."""
    table = SETTINGS["training"].of or {}
    lines = [f"  {name:<14}{each.meaning}; {each.wanted}" for name, each in table.items()]
    return "\n".join(["\b", "Parameters:", *lines])


@click.command(epilog=_described())
@click.argument("dataset")
@click.option(
    "--out",
    required=True,
    type=FILE,
    help="Folder for weights, checkpoints and logs: new, empty, or this training's.",
)
@click.option("--backbone", default="vgg16", help=BACKBONE)
@click.option("--weights", default="auto", help="auto, random, or a safetensors file.")
@click.option(
    "--hold-out", default=1, type=FOLD, help="The fold that validates; 0 trains on everything."
)
@click.option(
    "--devices", default=1, type=PROCESSES, help="Processes of a machine that share each batch."
)
@click.option(
    "--nodes", default=1, type=PROCESSES, help="Machines that share each batch, under torchrun."
)
@click.option(
    "--progressive", is_flag=True, help="PCNN: then drop low-confidence images, and go on training."
)
@MAX_PIXELS
@PARAMETERS
def finetune(
    dataset: str,
    out: Path,
    backbone: str,
    weights: str,
    hold_out: int,
    devices: int,
    nodes: int,
    progressive: bool,
    max_pixels: int,
    parameters: dict[str, str],
) -> None:
    """Fine-tune a pre-trained network on a labelled dataset.

    DATASET is labelled: a name under ARLIB_DATA, or a path. The same command again resumes.
    Images that cannot be read are left out, and listed in network.json.
    Parameters are those of arlib.networks.Training, listed below: `-p epochs 3 -p lr 0.001`.
    """
    from arlib import datasets
    from arlib.networks import Training, finetune as train, learning_curve, load_backbone

    # images to learn from, and the held-out fold
    refuse_input(out, dataset, weights)
    training = Training.parse(parameters)
    images = datasets.load(dataset, max_pixels=max_pixels)
    if not (images.labels >= 0).any():
        raise datasets.DatasetError(f"{dataset} has no labels to learn from")
    held_out = images.folds == hold_out
    if hold_out and not held_out.any():
        folds = sorted(set(images.folds.tolist()) - {-1})
        raise datasets.DatasetError(
            f"no image of {dataset} is in fold {hold_out}; its folds: {folds or 'none'}. "
            "--hold-out 0 trains on everything"
        )
    learn = images.subset((images.labels >= 0) & ~held_out)
    validation = images.subset(held_out) if hold_out else None

    # one classifier, and PCNN's second round from it
    network = load_backbone(
        backbone, classes=len(images.emotions), weights=weights, seed=training.seed
    )
    trained = train(
        network, learn, out, training=training, validation=validation, devices=devices, nodes=nodes
    )
    if progressive:
        from arlib.experiments import train_on

        out = out / "progressive"
        result = train_on(trained, learn, out, training=training, validation=validation)
        click.echo(f"dropped {result.dropped:.1%} of {len(learn)} images, and trained on")
    last = {name: round(value, 4) for name, value in learning_curve(out)[-1].items()}
    click.echo(f"{out / 'network.safetensors'}: {last}")
    click.echo(to_use(out, backbone))
