"""`arlib score`: score a dataset or a folder of images, in shards."""

from pathlib import Path
from typing import Any

import click

from arlib.cli.options import (
    ENGINE,
    FILE,
    MAX_PIXELS,
    MODEL,
    REGIONS,
    SECONDS,
    SHARE,
    TRUST,
    N,
    check_workers,
    refuse_input,
    with_workers,
)

_FILES = ("model", "head", "weights")


@click.command()
@click.option("--dataset", help="A name under ARLIB_DATA, or the path of class folders or a table.")
@click.option(
    "--images", type=FILE, help="A folder of images without labels, instead of --dataset."
)
@click.option("--out", required=True, type=FILE, help="The store to write, e.g. scores.zarr.")
@MAX_PIXELS
@click.option("--model", type=FILE, help=MODEL)
@click.option("--head", type=FILE, help="A head of `arlib head`; by default the package's own.")
@TRUST
@click.option("--backbone", help="Instead of --model and --head: a network with its own classes.")
@click.option(
    "--weights", default="auto", help="Of --backbone: auto, random, or a safetensors file."
)
@click.option(
    "--proposals",
    default="edge_boxes",
    help="Proposal method, or X.csv or X.json: boxes of a file.",
)
@click.option("--max-regions", default=100, type=REGIONS, help="N, how many proposals.")
@click.option(
    "--crop", default="warp", type=click.Choice(["warp", "square"]), help="How regions are cropped."
)
@click.option(
    "--context", default=0.0, type=SHARE, help="Context around a region, as a share of its sides."
)
@click.option(
    "--features",
    default="crops",
    type=click.Choice(["crops", "shared"]),
    help="A pass of the network for each crop, or one shared by all regions of an image.",
)
@click.option(
    "--precision",
    default="float32",
    type=click.Choice(["float32", "bf16", "auto"]),
    help="Number format of the network.",
)
@ENGINE
@click.option("--batch-size", default=16, type=N, help="Crops in one pass of the network.")
@click.option(
    "--deadline", type=SECONDS, help="Seconds for an image's proposals, after which it is left out."
)
@click.option(
    "--shard-size", default=1024, type=N, help="Images in a shard: a crash loses no more than that."
)
@with_workers
@click.option("--overwrite", is_flag=True, help="Replace the scores at --out.")
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
    """Score every full image and its regions.

    Everything after the scores is arithmetic. Finished shards of images are kept in OUT.partial
    until all are complete: after a crash, the same command does the rest.
    """
    from arlib.proposals import is_file_of_boxes
    from arlib.scoring import score_in_shards

    if bool(named["dataset"]) == bool(images):
        raise click.UsageError("give one of --dataset NAME and --images FOLDER")
    who = check_workers(workers, scheduler, resource)
    boxes = named["proposals"] if is_file_of_boxes(named["proposals"]) else None
    refuse_input(out, named["dataset"], images, boxes, *(named[each] for each in _FILES))
    for name in _FILES:  # workers may run elsewhere
        if named[name] and Path(named[name]).exists():
            named[name] = str(Path(named[name]).resolve())
    if boxes:
        named["proposals"] = str(Path(boxes).resolve())
    scores, report = score_in_shards(
        {**named, "images": images and str(images.resolve())},
        out.resolve(),
        shard_size=shard_size,
        **who,
        overwrite=overwrite,
    )
    for number, errors in report.retried.items():
        message = f"arlib: shard {number} succeeded after {len(errors)} failures: {errors[-1]}"
        click.echo(message, err=True)
    left_out = len(scores.attrs["unreadable"])
    click.echo(
        f"{out}: {scores.sizes['image']} images scored, {left_out} left out; "
        f"{report.reused} of {report.shards} shards were kept from before"
    )
