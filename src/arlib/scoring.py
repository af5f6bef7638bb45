"""Images + proposals + network -> scores: the expensive half of the method.

Threads decode and propose while the network runs; its batches are filled across images. Memory
holds a few images and one chunk of scores, however many images there are.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from arlib import __version__
from arlib.backbones import Backbone, weights_sha256
from arlib.crops import CropMode
from arlib.datasets import Dataset
from arlib.heads import LinearHead
from arlib.scores import CHUNK, ScoresWriter, assemble_scores, open_scores
from arlib.stream import Item, Propose, forward, prefetch, preparer, readable, through

Heads = LinearHead | Mapping[int, LinearHead] | None


def score(
    dataset: Dataset,
    proposals: Propose,
    network: Backbone,
    *,
    out: str | Path,
    head: Heads = None,
    crop: CropMode = "warp",
    context: float = 0.0,
    batch_size: int = 16,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> xr.Dataset:
    """Score every image of a dataset and every region of it, into a Zarr store.

    An image that cannot be read is logged, listed in `attrs["unreadable"]` and left out.

    Args:
        dataset: the images.
        proposals: image -> Proposals, e.g. `EdgeBoxes(max_regions=100)`; its `max_regions` is N.
        network: the backbone, of M classes unless there is a head.
        out: the store to write; it appears only when it is whole.
        head: None takes the network's own classes; a `LinearHead` goes on the features; a mapping
            fold -> head uses, for each image, the head of the fold in which it is tested.
        crop: "warp" or "square", see `arlib.crops.crop_regions`; the whole image is warped.
        context: padding around a region, as a share of its sides.
        batch_size: crops in one pass of the network.
        workers: threads that decode and propose.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        progress: show a bar with rate and time left.
        overwrite: replace what is at `out`.

    Returns:
        The scores, opened from `out`.

    Raises:
        FileExistsError: `out` exists already and `overwrite` is false.
        ValueError: the network's classes or the heads do not fit the dataset.
        ScoresError: not one image could be read.
    """
    check_heads(dataset, network, head)
    regions = int(getattr(proposals, "max_regions"))  # noqa: B009
    unreadable: dict[str, str] = {}
    run = forward(network, features=head is not None, device=device)
    prepare = preparer(network, proposals, crop, context)
    with (
        ScoresWriter(out, overwrite=overwrite) as writer,
        tqdm(total=len(dataset), unit="image", disable=not progress, desc=dataset.name) as bar,
    ):
        rows: list[dict[str, Any]] = []
        usable = readable(prefetch(dataset, prepare, workers), dataset, unreadable, bar)
        for item, output in through(run, usable, batch_size):
            rows.append(_row(item, _probability(output, head, dataset, item.index)))
            bar.update()
            if len(rows) == CHUNK:
                writer.append(_pack(rows, dataset, regions))
                rows.clear()
        if rows:
            writer.append(_pack(rows, dataset, regions))
        writer.attrs.update(
            dataset=dataset.name,
            proposals={"method": type(proposals).__name__, **_settings(proposals)},
            backbone=network.name,
            weights_sha256=weights_sha256(network),
            head=_head_provenance(head),
            arlib=__version__,
            parameters={"crop": crop, "context": context},
            unreadable=unreadable,
        )
    return open_scores(out)


def score_image(
    image: np.ndarray,
    proposals: Propose,
    network: Backbone,
    *,
    head: LinearHead | None = None,
    emotions: tuple[str, ...] = ("positive", "negative"),
    crop: CropMode = "warp",
    context: float = 0.0,
    batch_size: int = 16,
    device: str | None = None,
) -> xr.Dataset:
    """Score one picture that is in memory: scores of one image, with as many regions as it has.

    Args:
        image: (H, W, 3) uint8 RGB.
        proposals: image -> Proposals.
        network: the backbone, of M classes unless there is a head.
        head: goes on the network's features; its emotions are then taken.
        emotions: the names of the network's own M classes, in order.
        crop: see `arlib.crops.crop_regions`.
        context: padding around a region, as a share of its sides.
        batch_size: crops in one pass of the network.
        device: None takes a GPU if there is one.

    Returns:
        Scores with one image, keyed "image".
    """
    emotions = emotions if head is None else head.emotions
    dataset = Dataset(
        name="image",
        root=Path(),
        keys=np.array(["image"]),
        files=np.array(["image"]),
        labels=np.array([-1], np.int8),
        folds=np.array([-1], np.int8),
        emotions=emotions,
    )
    check_heads(dataset, network, head)
    run = forward(network, features=head is not None, device=device)
    item = preparer(network, proposals, crop, context)(0, image)
    ((_, output),) = through(run, [item], batch_size)
    row = _row(item, _probability(output, head, dataset, 0))
    return _pack([row], dataset, len(item.proposals))


def check_heads(dataset: Dataset, network: Backbone, head: Heads) -> None:
    """Raise ValueError unless network and heads speak of the dataset's emotions."""
    if head is None:
        if network.classes != len(dataset.emotions):
            raise ValueError(
                f"{network.name} tells {network.classes} classes apart, {dataset.name} has "
                f"{len(dataset.emotions)}: fine-tune it, load it with classes=..., or give a head"
            )
        return
    heads = {-1: head} if isinstance(head, LinearHead) else dict(head)
    if not isinstance(head, LinearHead):
        lost = sorted(set(dataset.folds.tolist()) - heads.keys())
        if lost:
            raise ValueError(f"no head for fold(s) {lost} of {dataset.name}")
    for one in heads.values():
        if one.backbone != network.name:
            raise ValueError(f"the head reads features of {one.backbone}, not of {network.name}")
        if one.emotions != tuple(dataset.emotions):
            raise ValueError(f"the head tells {one.emotions} apart, not {dataset.emotions}")


def _probability(output: np.ndarray, head: Heads, dataset: Dataset, index: int) -> np.ndarray:
    if head is None:
        return output
    one = head if isinstance(head, LinearHead) else head[int(dataset.folds[index])]
    return one.probability(output)


def _row(item: Item, probability: np.ndarray) -> dict[str, Any]:
    return {
        "index": item.index,
        "objectness": item.proposals.objectness,
        "box": item.proposals.boxes,
        "region_probability": probability[1:],
        "global_probability": probability[0],
    }


def _pack(rows: list[dict[str, Any]], dataset: Dataset, regions: int) -> xr.Dataset:
    """Rows of different lengths -> scores padded with NaN to `regions`."""
    shapes = {
        "objectness": (regions,),
        "box": (regions, 4),
        "region_probability": (regions, len(dataset.emotions)),
    }
    padded = {
        name: np.full((len(rows), *shape), np.nan, np.float32) for name, shape in shapes.items()
    }
    for number, row in enumerate(rows):
        for name, array in padded.items():
            array[number, : len(row[name])] = row[name]
    index = np.array([row["index"] for row in rows])
    return assemble_scores(
        dataset.keys[index].tolist(),
        dataset.emotions,
        objectness=padded["objectness"],
        box=padded["box"],
        region_probability=padded["region_probability"],
        global_probability=np.stack([row["global_probability"] for row in rows]),
        label=dataset.labels[index],
        fold=dataset.folds[index],
    )


def _settings(proposals: Propose) -> dict[str, Any]:
    return asdict(proposals)  # type: ignore[call-overload]


def _head_provenance(head: Heads) -> Any:
    if head is None:
        return None
    if isinstance(head, LinearHead):
        return head.provenance
    return {str(fold): one.provenance for fold, one in sorted(head.items())}
