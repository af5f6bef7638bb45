"""Images and their proposals -> rows of scores, by the plain stream or by walks that may stop."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from arlib.backbones import Backbone
from arlib.choice import Choice
from arlib.crops import CropMode
from arlib.datasets import Dataset
from arlib.packing import Heads, check_heads, probability_of, row
from arlib.precision import Precision, best_device, settle
from arlib.shared import SIDE, shared_forward
from arlib.stream import Propose, Run, cutter, forward, preparer, through, whole_box
from arlib.walk import Tolerance, Walk
from arlib.walking import Effort, Judge, Picture, Walker, picturer

Features = Literal["crops", "shared"]


@dataclass
class Scorer:
    """How one dataset is scored: every region, or walks that stop where a choice is settled.

    Attributes:
        dataset: the images.
        network: the backbone.
        head: as for `arlib.scoring.score`, like all that follow.
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
        self.dtype = str(settle(self.precision, best_device(self.device))).removeprefix("torch.")
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

    def _shared(self, pictures: Iterable[Picture], run: Run, judge: Judge) -> Iterator[dict]:
        """The whole image by itself, in float32; its regions from one map."""
        cut = cutter(self.network, "warp", 0.0, self.device)
        regions = shared_forward(
            self.network,
            features=self.head is not None,
            device=self.device,
            precision=self.precision,
        )
        for one in pictures:
            whole = run(cut(one.image, whole_box(one.image)))
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
