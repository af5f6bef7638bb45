"""`arlib backbones` and `arlib weights convert`: which networks there are, and their weights."""

import json
import os
from pathlib import Path

import click

from arlib.cli.options import BACKBONE, FILE, FORMAT, refuse_input
from arlib.cli.train import to_use


@click.command()
@click.argument("wanted", default="", metavar="[PART]")
@FORMAT
def backbones(wanted: str, form: str) -> None:
    """List the networks that --backbone and `-p backbones` take.

    PART is a part of their names; timm:PART lists timm's (the extra arlib[timm]), such as
    timm:dinov2. Each with the size of its input in pixels, its parameters, the licence of its
    weights where their publisher states it, and whether they are here, so that nothing is
    downloaded.
    """
    from arlib.networks import list_backbones

    rows = list_backbones(wanted)
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        raise ValueError(f"no network whose name holds {wanted!r}")
    width = max(len(row["name"]) for row in rows)
    click.echo(f"{'name':<{width}}  input  parameters  weights  licence")
    for row in rows:
        millions = row["parameters"] and f"{row['parameters'] / 1e6:.1f} M"
        here = "here" if row["here"] else "-"
        facts = (row["size"] or "-", millions or "-", here, row["licence"] or "not stated")
        click.echo(f"{row['name']:<{width}}  {facts[0]:>5}  {facts[1]:>10}  {here:<7}  {facts[3]}")
    if not wanted:
        click.echo(
            "\n`arlib backbones timm:PART` lists those of timm; a function of one's own is named "
            "by its import path, my_package.nets:build"
        )


@click.group()
def weights() -> None:
    """Convert the weights of other programs for use here."""


@weights.command()
@click.argument("source", type=FILE, metavar="IN.pth")
@click.argument("out", type=FILE, metavar="OUT.safetensors")
@click.option("--backbone", required=True, help=BACKBONE)
@click.option(
    "--emotions", help="Its classes in order, e.g. positive,negative; makes it a --model."
)
def convert(source: Path, out: Path, backbone: str, emotions: str | None) -> None:
    """Convert PyTorch's weights (.pth, .pt, .ckpt) to safetensors.

    IN.pth is a state dict, alone or in a checkpoint ("state_dict", "model"), in any precision; a
    prefix of all its names, such as "module.", is dropped. Nothing in it is run: a pickled module
    is refused. Every weight must fit the network.
    """
    from arlib._support.files import read_json
    from arlib._support.storage import refuse_output
    from arlib.networks import Model, convert_weights, load_backbone, load_model

    if out.suffix != ".safetensors":
        raise click.UsageError(f"OUT must be called X.safetensors, not {out.name}")
    described = out.with_suffix(".json")
    written = [out, described] if emotions else [out]
    for path in written:
        refuse_input(path, source)
    network = convert_weights(source, backbone)
    classes = tuple(each.strip() for each in (emotions or "").split(",")) if emotions else ()
    if classes and not (len(set(classes)) == len(classes) == network.classes):
        raise click.UsageError(
            f"--emotions must name the {network.classes} classes of {source}, each once"
        )

    def named(facts: Path) -> bool:
        """Check whether a model's file names the network that was asked for."""
        return bool(read_json(facts, {"backbone": str})["backbone"] == backbone)

    def same(_: Path) -> bool:
        """Check whether the same conversion was done before."""
        try:
            if classes and load_model(out, trusted=named(described)).emotions != classes:
                return False
            return load_backbone(backbone, weights=out).sha256() == network.sha256()
        except (ValueError, OSError):
            return False

    for path in written:
        refuse_output(path, ours=same, what=f"the same, converted from {source}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if classes:
        Model(network, classes).save(out)
    else:
        network.save(out)
    click.echo(f"{out}: {backbone} of {network.classes} classes, SHA-256 {network.sha256()}")
    if classes:
        click.echo(to_use(out, backbone))
        return
    root = os.environ.get("ARLIB_DATA", "ARLIB_DATA")
    place = Path(root, "weights", f"{backbone}.safetensors")
    if not (place.exists() and place.samefile(out)):
        click.echo(
            f"to use it: --weights {out}, or move it to {place}, where it is found by name; "
            "with --emotions, which name its classes, it is a --model"
        )
