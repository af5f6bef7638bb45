"""Images + proposals + network -> scores: the expensive half of the method.

Threads decode and propose while the network runs; its batches are filled across images. Memory
holds a few images and one chunk of scores, however many images there are.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from arlib import __version__
from arlib.backbones import Backbone, weights_sha256
from arlib.choice import Choice
from arlib.crops import CropMode
from arlib.datasets import Dataset
from arlib.heads import LinearHead
from arlib.packing import Heads, head_provenance, pack, proposals_provenance
from arlib.precision import Precision
from arlib.scorer import Features, Scorer
from arlib.scores import CHUNK, ScoresWriter, open_scores
from arlib.stream import Propose, prefetch, readable

_WAVE = 8  # rows that a walk asks for at once


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
    workers: int | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    only: Choice | None = None,
    features: Features = "crops",
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
        workers: threads that decode and propose; None takes as many as there are cores.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        precision: "float32"; "bf16"; or "auto", bf16 where the device has it in hardware. The
            whole image is always judged in float32, and the regions of `only` too.
        only: the regions that will be asked for. Then an image's regions end where none of the
            rest can be one of them, as if no more had been proposed: the top K are those of
            scoring all, other uses of the scores are not served. With bf16, every region that
            could be among them is scored again in float32 (`arlib.walk.Walk` says what this
            guarantees); `attrs["effort"]` tells what was scored, and the errors seen.
        features: "crops" runs the network on each region; "shared" runs it once on the picture
            and its head on each region (`arlib.shared`): faster, and another estimator, for which
            `crop` and `context` say nothing.
        progress: show a bar with rate and time left.
        overwrite: replace what is at `out`.

    Returns:
        The scores, opened from `out`.

    Raises:
        FileExistsError: `out` exists already and `overwrite` is false.
        ValueError: the network's classes or the heads do not fit the dataset.
        ScoresError: not one image could be read.
    """
    scorer = Scorer(
        dataset, network, head, crop, context, batch_size, _WAVE, device, precision, only, features
    )
    regions = int(getattr(proposals, "max_regions"))  # noqa: B009
    unreadable: dict[str, str] = {}
    with (
        ScoresWriter(out, overwrite=overwrite) as writer,
        tqdm(total=len(dataset), unit="image", disable=not progress, desc=dataset.name) as bar,
    ):
        rows: list[dict[str, Any]] = []
        prepared = prefetch(dataset, scorer.preparer(proposals), workers or os.cpu_count() or 1)
        for one in scorer.rows(readable(prepared, dataset, unreadable, bar)):
            rows.append(one)
            bar.update()
            if len(rows) == CHUNK:
                writer.append(pack(rows, dataset, regions))
                rows.clear()
        if rows:
            writer.append(pack(rows, dataset, regions))
        writer.attrs.update(
            dataset=dataset.name,
            proposals=proposals_provenance(proposals),
            backbone=network.name,
            weights_sha256=weights_sha256(network),
            head=head_provenance(head),
            arlib=__version__,
            unreadable=unreadable,
            **scorer.attrs(),
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
    precision: Precision = "float32",
    only: Choice | None = None,
    features: Features = "crops",
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
        precision: as for `score`.
        only: as for `score`.
        features: as for `score`.

    Returns:
        Scores with one image, keyed "image".

    Raises:
        ValueError: the network's classes or the head do not fit the emotions.
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
    scorer = Scorer(
        dataset,
        network,
        head,
        crop,
        context,
        batch_size,
        batch_size,
        device,
        precision,
        only,
        features,
    )
    (one,) = scorer.rows([scorer.preparer(proposals)(0, image)])
    return pack([one], dataset, len(one["objectness"])).assign_attrs(scorer.attrs())
