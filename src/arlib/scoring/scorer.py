"""Images, proposals and networks -> scores: a dataset by one network, or by one of each fold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from arlib import __version__
from arlib._support.progress import progress_bar
from arlib.datasets import Dataset
from arlib.networks import Converted, Engine, resolve_engine
from arlib.proposals import Proposals, Propose, bound, propose_named
from arlib.scoring.crops import CropMode
from arlib.scoring.cross_fold import (
    Heads,
    InnerHeads,
    check_heads,
    head_provenance,
    inner_probability_of,
    left_out,
    probability_of,
)
from arlib.scoring.inference import (
    Crops,
    Precision,
    cutter,
    image_box,
    in_batches,
    make_forward,
    prefetch,
)
from arlib.scoring.scores import (
    CHUNK,
    ScoresWriter,
    inner_row,
    open_scores,
    pack,
    proposals_provenance,
    row,
)

if TYPE_CHECKING:
    from arlib.networks import Backbone

Features = Literal["crops", "shared"]


def score(
    dataset: Dataset,
    proposals: Propose,
    network: Backbone,
    *,
    out: str | Path,
    head: Heads = None,
    inner: InnerHeads | None = None,
    crop: CropMode = "warp",
    context: float = 0.0,
    batch_size: int = 16,
    workers: int | None = None,
    device: str | None = None,
    precision: Precision = "float32",
    features: Features = "crops",
    engine: Engine = "auto",
    progress: bool = True,
    overwrite: bool = False,
) -> xr.Dataset:
    """Score every image of a dataset and every region of it, into a Zarr store.

    An image that cannot be read is logged, listed in `attrs["unreadable"]` and left out.

    Args:
        dataset: the images.
        proposals: image -> Proposals, e.g. `EdgeBoxes(max_regions=100)`; its `max_regions` is N.
        network: the backbone, of M classes unless there is a head.
        out: the store to write; it appears only when it is complete.
        head: None takes the network's own classes; a `LinearHead` goes on the features; a mapping
            fold -> head uses, for each image, the head of the fold in which it is tested.
        inner: (fold, fold), the lower first -> head that learned from neither. What they predict
            is kept beside the scores, for choices in which no label of a tested fold may count.
        crop: "warp" stretches a region to the network's square, "square" takes the tightest
            square around it; the full image is warped.
        context: padding around a region, as a share of its sides, >= 0.
        batch_size: crops in one pass of the network.
        workers: threads that decode and propose; None takes as many as there are cores.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        precision: of weights and activations: "float32"; "bf16"; or "auto", bf16 where the device
            has it in hardware. Proposals, the softmax and the scores are float32 always.
        features: "crops" runs the network on each region; "shared" runs it once on the image
            and its head on each region: faster, and another estimator, for which `crop` and
            `context` say nothing.
        engine: "torch"; "openvino", on a processor in float32, of the extra `arlib[cpu]`; or
            "auto", as of `arlib.networks.resolve_engine`. Scores of both agree within 1e-4.
        progress: show a bar with rate and time left.
        overwrite: replace what is at `out`.

    Returns:
        The scores, opened from `out`.

    Raises:
        FileExistsError: `out` exists already and `overwrite` is false.
        ValueError: the network's classes or the heads do not fit the dataset, no such setting, or
            a file of boxes that names none of the images.
        ScoresError: no image could be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from arlib.datasets import load
        >>> from arlib.networks import load_backbone
        >>> from arlib.proposals import Grid
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> scenes = load("scenes-annotated", n=20)
        >>> with TemporaryDirectory() as folder:
        ...     out = Path(folder, "scores.zarr")
        ...     dict(score(scenes, Grid(max_regions=3), network, out=out, progress=False).sizes)
        {'image': 20, 'region': 3, 'corner': 4, 'emotion': 2}
    """
    check_heads(dataset, network, head, inner)
    proposals = bound(proposals, dataset.keys)
    scoring = Scoring(network, head is not None, crop, context, device, precision, features, engine)
    regions = int(getattr(proposals, "max_regions"))  # noqa: B009
    unreadable: dict[str, str] = {}
    with (
        ScoresWriter(out, overwrite=overwrite) as writer,
        progress_bar(total=len(dataset), unit="image", show=progress, desc=dataset.name) as bar,
    ):
        # threads decode, propose and cut; this one runs the network and writes chunks
        prepare = scoring.preparer(proposals, dataset.keys)
        items = prefetch(dataset, prepare, workers or os.cpu_count() or 1, unreadable, bar)
        folds = None if inner is None else left_out(inner)
        rows: list[dict[str, Any]] = []
        for image, outputs in scoring.outputs(items, batch_size):
            probability = probability_of(head, dataset, image.index, outputs)
            rows.append(row(image.index, image.proposals, probability))
            if inner is not None:
                others = inner_probability_of(inner, dataset, image.index, outputs)
                rows[-1] |= inner_row(others)
            bar.update()
            if len(rows) == CHUNK:
                writer.append(pack(rows, dataset, regions, folds))
                rows.clear()
        if rows:
            writer.append(pack(rows, dataset, regions, folds))
        writer.attrs.update(
            dataset=dataset.name,
            proposals=proposals_provenance(proposals),
            backbone=network.name,
            weights_sha256=network.sha256(),
            head=head_provenance(head),
            arlib=__version__,
            unreadable=unreadable,
            parameters=scoring.parameters(),
        )
        if inner is not None:
            writer.attrs["inner_heads"] = head_provenance(inner)
    return open_scores(out)


@dataclass(frozen=True)
class Image:
    """What a row of scores needs of an image besides its crops; pixels for shared features only."""

    index: int
    proposals: Proposals
    pixels: np.ndarray | None


@dataclass(frozen=True)
class Scoring:
    """How images and their regions pass through a network; settings as of `score`."""

    network: Backbone | Converted
    penultimate: bool  # whether outputs are features for a head
    crop: CropMode
    context: float
    device: str | None
    precision: Precision
    features: Features
    engine: Engine

    def __post_init__(self) -> None:
        """Refuse unknown settings, and an engine that cannot, before any image is read."""
        if self.features not in ("crops", "shared"):
            raise ValueError(f"features must be 'crops' or 'shared', not {self.features!r}")
        object.__setattr__(self, "engine", self._resolved())

    def _resolved(self) -> Engine:
        how: dict[str, Any] = {"device": self.device, "precision": self.precision}
        return resolve_engine(self.network, self.engine, features=self.features, **how)

    def preparer(
        self, proposals: Propose, keys: Sequence[str] | np.ndarray
    ) -> Callable[[int, np.ndarray], tuple[Image, Crops]]:
        """Make the function (index, image) -> its proposals and crops, the full image first."""
        cut_global = cutter(self.network, "warp", 0.0, self.device)
        cut_region = cutter(self.network, self.crop, self.context, self.device)

        def prepare(index: int, image: np.ndarray) -> tuple[Image, Crops]:
            regions = propose_named(proposals, image, str(keys[index]))
            crops = cut_global(image, image_box(image))
            if self.features == "shared":
                return Image(index, regions, image), crops
            return Image(index, regions, None), [*crops, *cut_region(image, regions.boxes)]

        return prepare

    def outputs(
        self, items: Iterable[tuple[Image, Crops]], batch_size: int
    ) -> Iterator[tuple[Image, np.ndarray]]:
        """Run the network: each image with the outputs (1 + N, D) of itself and its regions."""
        how: dict[str, Any] = {
            "features": self.penultimate,
            "device": self.device,
            "precision": self.precision,
        }
        forward = make_forward(self.network, engine=self.engine, **how)
        if self.features == "crops":
            yield from in_batches(forward, items, batch_size)
            return
        from arlib.networks import Backbone
        from arlib.scoring.roi_features import shared_forward

        assert isinstance(self.network, Backbone)  # else `resolve_engine` refused it
        shared = shared_forward(self.network, **how)
        for image, output in in_batches(forward, items, 1):
            assert image.pixels is not None
            regions = shared(image.pixels, image.proposals.boxes)
            yield image, np.concatenate([output, regions])

    def parameters(self) -> dict[str, Any]:
        """Settings that decide the scores, as JSON values, but float32 and PyTorch."""
        parameters: dict[str, Any] = {"crop": self.crop, "context": self.context}
        if self.engine == "openvino":
            return parameters | {"engine": self.engine}
        from arlib.networks import resolve_device

        _, dtype = resolve_device(self.device, self.precision)
        if (name := str(dtype).removeprefix("torch.")) != "float32":
            parameters["precision"] = name
        if self.features == "shared":
            from arlib.scoring.roi_features import SIDE

            parameters |= {"features": "shared", "side": SIDE}
        return parameters
