"""Images and their proposals -> rows of scores, by the plain stream or by walks that may stop."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from arlib import __version__
from arlib.datasets import Dataset
from arlib.networks import (
    Backbone,
    Heads,
    LinearHead,
    Precision,
    best_device,
    check_heads,
    head_provenance,
    probability_of,
    resolve_dtype,
)
from arlib.proposals import Propose
from arlib.scoring.choice import Choice
from arlib.scoring.crops import CropMode
from arlib.scoring.inference import (
    Run,
    cutter,
    forward,
    image_box,
    prefetch,
    preparer,
    readable,
    through,
)
from arlib.scoring.roi_features import SIDE, shared_forward
from arlib.scoring.scores import CHUNK, ScoresWriter, open_scores, pack, proposals_provenance, row
from arlib.scoring.walk import Tolerance, Walk
from arlib.scoring.walking import Classifier, Effort, Picture, Walker, picturer

Features = Literal["crops", "shared"]


@dataclass
class Scorer:
    """How one dataset is scored: every region, or walks that stop where a choice is settled.

    Attributes:
        dataset: the images.
        network: the backbone.
        head: as for `score`, like all that follow.
        crop: "warp" or "square".
        context: padding around a region.
        batch_size: crops in one pass of the network.
        wave: rows that a walk asks for at once.
        device: None takes a GPU if there is one.
        precision: of the regions.
        only: the regions that will be asked for.
        features: "crops" or "shared".
        effort: what was scored so far.
        tolerance: of reduced precision.

    Raises:
        ValueError: the network's classes, the heads or the choice do not fit the dataset.
    """

    dataset: Dataset
    network: Backbone
    head: Heads
    crop: CropMode
    context: float
    batch_size: int
    wave: int
    device: str | None
    precision: Precision
    only: Choice | None
    features: Features = "crops"
    effort: Effort = field(default_factory=Effort)
    tolerance: Tolerance = field(default_factory=Tolerance)

    def __post_init__(self) -> None:
        """Check what can be checked before any image is read."""
        check_heads(self.dataset, self.network, self.head)
        if self.features not in ("crops", "shared"):
            raise ValueError(f"features must be 'crops' or 'shared', not {self.features!r}")
        self.shared = self.features == "shared"
        if self.only is not None:
            self.only.check(len(self.dataset.emotions))
            if self.shared:
                raise ValueError("shared features have no certificate: leave out `only`")
        self.dtype = str(resolve_dtype(self.precision, best_device(self.device))).removeprefix(
            "torch."
        )
        self.fast = self.dtype != "float32"
        self.plain = self.only is None and not self.fast and not self.shared

    def preparer(self, proposals: Propose) -> Callable[[int, np.ndarray], Any]:
        """(index, image) -> what `rows` takes."""
        if self.plain:
            return preparer(self.network, proposals, self.crop, self.context, self.device)
        return picturer(proposals)

    def rows(self, items: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """Score what `preparer` made, a row of scores an image."""
        run = partial(forward, self.network, features=self.head is not None, device=self.device)
        judge = partial(probability_of, self.head, self.dataset)
        if self.plain:
            for item, output in through(run(), items, self.batch_size):
                yield row(item.index, item.proposals, judge(item.index, output))
            return
        if self.shared:
            yield from self._shared(items, run(), judge)
            return
        walker = Walker(
            {"exact": run(), **({"fast": run(precision=self.precision)} if self.fast else {})},
            cutter(self.network, "warp", 0.0, self.device),
            cutter(self.network, self.crop, self.context, self.device),
            lambda objectness: Walk(
                objectness, len(self.dataset.emotions), self.only, self.fast, self.tolerance
            ),
            judge,
            self.batch_size,
            self.wave,
        )
        for picture, walk, whole in walker(items):
            self.effort.count(walk)
            said = np.concatenate([whole[None], walk.probability[: walk.walked]])
            yield row(picture.index, picture.proposals, said)

    def _shared(self, pictures: Iterable[Picture], run: Run, judge: Classifier) -> Iterator[dict]:
        """The full image by itself, in float32; its regions from one map."""
        cut = cutter(self.network, "warp", 0.0, self.device)
        regions = shared_forward(
            self.network,
            features=self.head is not None,
            device=self.device,
            precision=self.precision,
        )
        for one in pictures:
            whole = run(cut(one.image, image_box(one.image)))
            rest = regions(one.image, one.proposals.boxes)
            said = judge(one.index, np.concatenate([whole, rest]))
            yield row(one.index, one.proposals, said)

    def attrs(self) -> dict[str, Any]:
        """Provenance of the scores: parameters, and what was left out and why that is right."""
        parameters: dict[str, Any] = {"crop": self.crop, "context": self.context}
        if self.plain:
            return {"parameters": parameters}
        parameters["precision"] = self.dtype
        if self.shared:
            return {"parameters": parameters | {"features": "shared", "side": SIDE}}
        parameters["only"] = self.only and self.only.to_dict()
        effort = self.effort.to_dict(self.tolerance if self.fast else None)
        return {"parameters": parameters, "effort": effort}


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
        crop: "warp" or "square", see `crop_regions`; the full image is warped.
        context: padding around a region, as a share of its sides.
        batch_size: crops in one pass of the network.
        workers: threads that decode and propose; None takes as many as there are cores.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        precision: "float32"; "bf16"; or "auto", bf16 where the device has it in hardware. The
            full image is always judged in float32, and the regions of `only` too.
        only: the regions that will be asked for. Then an image's regions end where none of the
            rest can be one of them, as if no more had been proposed: the top K are those of
            scoring all, other uses of the scores are not served. With bf16, every region that
            could be among them is scored again in float32 (`Walk` says what this
            guarantees); `attrs["effort"]` tells what was scored, and the errors seen.
        features: "crops" runs the network on each region; "shared" runs it once on the picture
            and its head on each region: faster, and another estimator, for which `crop` and
            `context` say nothing.
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
            weights_sha256=network.sha256(),
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
        crop: see `crop_regions`.
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
