"""`arlib head` and `arlib finetune`: networks that learn sentiment."""

from pathlib import Path

import click
import yaml

from arlib.cli.options import FILE, N


@click.command()
@click.argument("dataset")
@click.option("--out", required=True, type=FILE, help="X.safetensors; X.json goes beside it.")
@click.option("--backbone", default="squeezenet1_1", help="torchvision's name of the network.")
@click.option("--seed", default=0, help="Of the inner folds that pick C.")
def head(dataset: str, out: Path, backbone: str, seed: int) -> None:
    """Fit a linear sentiment head on a frozen backbone's features of a labelled dataset."""
    from arlib.experiments import fit_dataset_head

    made = fit_dataset_head(dataset, backbone, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    made.save(out)
    click.echo(f"{out}: {made.provenance}")


@click.command()
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

    Parameters are those of arlib.networks.Training, such as `-p epochs 3 -p lr 0.001`.
    """
    from arlib import datasets
    from arlib.networks import Training, finetune as train, learning_curve, load_backbone

    plan = Training.parse({name: yaml.safe_load(value) for name, value in parameter})
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
        from arlib.experiments import train_on

        out = out / "progressive"
        done = train_on(trained, learn, out, training=plan, validation=validation)
        click.echo(f"dropped {done.dropped:.1%} of {len(learn)} pictures, and trained on")
    last = {name: round(value, 4) for name, value in learning_curve(out)[-1].items()}
    click.echo(f"{out / 'network.safetensors'}: {last}")
