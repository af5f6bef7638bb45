"""Networks and heads by fold: every image is classified by those that never saw it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from arlib.datasets import Dataset
from arlib.networks import Converted, LinearHead
from arlib.scoring.inference import Boxes, box_outputs

if TYPE_CHECKING:
    from arlib.networks import Backbone

Heads = LinearHead | Mapping[int, LinearHead] | None
"""One head for all images, one for each fold, or none: then the network's own classes count."""

InnerHeads = Mapping[tuple[int, int], LinearHead]
"""Heads by two folds, the lower first, whose images they did not learn from."""


def check_heads(
    dataset: Dataset,
    network: Backbone | Converted,
    head: Heads,
    inner: InnerHeads | None = None,
) -> None:
    """Refuse a network and heads that do not predict the dataset's emotions in every fold."""
    if inner is not None:
        if head is None or isinstance(head, LinearHead):
            raise ValueError("inner heads go with heads by fold")
        own = [fold for fold in set(dataset.folds.tolist()) if fold >= 0]
        pairs = {_pair(fold, other) for fold in own for other in left_out(inner) if other != fold}
        if missing := sorted(pairs - inner.keys()):
            raise ValueError(f"no inner head for the folds {missing[0]} of {dataset.name}")
    if head is None:
        if network.classes != len(dataset.emotions):
            raise ValueError(
                f"{network.name} has {network.classes} outputs, {dataset.name} has "
                f"{len(dataset.emotions)} emotions: fine-tune it, load it with classes=..., or "
                "give a head"
            )
        return
    heads = {-1: head} if isinstance(head, LinearHead) else dict(head)
    if not isinstance(head, LinearHead):
        without = sorted(set(dataset.folds.tolist()) - heads.keys())
        if without:
            raise ValueError(f"no head for fold(s) {without} of {dataset.name}")
    for linear in chain(heads.values(), (inner or {}).values()):
        if linear.backbone != network.name:
            raise ValueError(f"the head reads features of {linear.backbone}, not of {network.name}")
        if linear.emotions != tuple(dataset.emotions):
            raise ValueError(f"the head predicts {linear.emotions}, not {dataset.emotions}")
        if linear.weight.shape[1] != network.n_features:
            raise ValueError(
                f"the head reads {linear.weight.shape[1]} features of {linear.backbone}, "
                f"not {network.n_features}"
            )


def probability_of(head: Heads, dataset: Dataset, index: int, outputs: np.ndarray) -> np.ndarray:
    """Turn the network's outputs (n, D) for an image into probabilities, by its fold's head."""
    if head is None:
        return outputs
    linear = head if isinstance(head, LinearHead) else head[int(dataset.folds[index])]
    return linear.probability(outputs)


def left_out(inner: InnerHeads) -> list[int]:
    """List the folds that inner heads leave out."""
    return sorted(set(chain.from_iterable(inner)))


def inner_probability_of(
    inner: InnerHeads, dataset: Dataset, index: int, outputs: np.ndarray
) -> np.ndarray:
    """Predict an image by the heads that leave out its fold and one more: (fold, n, M).

    NaN where the other fold is its own, and everywhere for an image in no fold.
    """
    own, folds = int(dataset.folds[index]), left_out(inner)
    shape = (len(folds), len(outputs), len(dataset.emotions))
    probability = np.full(shape, np.nan, np.float32)
    for place, fold in enumerate(folds):
        if own not in (fold, -1):
            probability[place] = inner[_pair(own, fold)].probability(outputs)
    return probability


def _pair(fold: int, other: int) -> tuple[int, int]:
    return min(fold, other), max(fold, other)


def head_provenance(head: Heads | InnerHeads) -> Any:
    """Describe what made the heads: JSON values."""
    if head is None:
        return None
    if isinstance(head, LinearHead):
        return head.provenance
    return {str(fold): linear.provenance for fold, linear in sorted(head.items())}


@dataclass(frozen=True)
class Classifiers:
    """Networks, by the fold whose images they classify.

    Attributes:
        networks: fold -> network; the same network may serve several folds.
        heads: fold -> linear head on that network's features; None takes its own classes.
        inner: (fold, fold), the lower first -> head that learned from neither, for choices on the
            folds that are not tested; None where there are none.

    Example:
        >>> from arlib.datasets import load
        >>> from arlib.networks import load_backbone
        >>> dataset = load("scenes-annotated", n=20)
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> [(_, mask)] = Classifiers.one(network, dataset).groups(dataset)
        >>> int(mask.sum())
        20
    """

    networks: Mapping[int, Backbone]
    heads: Mapping[int, LinearHead] | None = None
    inner: InnerHeads | None = None

    @classmethod
    def one(
        cls,
        network: Backbone,
        dataset: Dataset,
        heads: Mapping[int, LinearHead] | None = None,
        inner: InnerHeads | None = None,
    ) -> Classifiers:
        """Let one network classify every fold of a dataset.

        Raises:
            ValueError: the heads do not fit the network, the emotions or the folds.

        Example:
            >>> from arlib.datasets import load
            >>> from arlib.networks import load_backbone
            >>> network = load_backbone("vgg_tiny", weights="random")
            >>> Classifiers.one(network, load("scenes-annotated", n=20), heads={})
            Traceback (most recent call last):
            ...
            ValueError: no head for fold(s) [1, 2, 3, 4, 5] of scenes-annotated
        """
        if heads is not None:
            check_heads(dataset, network, heads, inner)
        return cls(dict.fromkeys(np.unique(dataset.folds).tolist(), network), heads, inner)

    def groups(self, dataset: Dataset) -> Iterator[tuple[Backbone, np.ndarray]]:
        """Each network with the mask (n,) bool of the images that it classifies."""
        missing = sorted(set(dataset.folds.tolist()) - self.networks.keys())
        if missing:
            raise ValueError(f"no network for fold(s) {missing} of {dataset.name}")
        for network in {id(each): each for each in self.networks.values()}.values():
            folds = [fold for fold, each in self.networks.items() if each is network]
            mask = np.isin(dataset.folds, folds)
            if mask.any():
                yield network, mask


def classify_boxes(
    classifiers: Classifiers,
    dataset: Dataset,
    boxes: Boxes,
    *,
    mirror: bool = False,
    progress: bool = True,
) -> np.ndarray:
    """Predict probabilities of given boxes of every image by its fold's classifier.

    Args:
        classifiers: the network, and head, of each fold.
        dataset: the images.
        boxes: (number of an image in the dataset, the image) -> (R, 4) xyxy in pixels.
        mirror: exchange left and right of every crop.
        progress: show a bar.

    Returns:
        (n, R, M) float32 probabilities; NaN for unreadable images.

    Raises:
        ValueError: a fold has no network, or no image could be read.

    Example:
        >>> from arlib.datasets import load
        >>> from arlib.networks import load_backbone
        >>> dataset = load("scenes-annotated", n=20)
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> corner = lambda number, image: np.array([[0, 0, 20, 20]])
        >>> classifiers = Classifiers.one(network, dataset)
        >>> classify_boxes(classifiers, dataset, corner, progress=False).shape
        (20, 1, 2)
    """
    probability: np.ndarray | None = None
    for network, mask in classifiers.groups(dataset):
        rows = np.flatnonzero(mask)
        outputs = box_outputs(
            dataset.subset(mask),
            network,
            lambda index, image, rows=rows: boxes(int(rows[index]), image),  # type: ignore[misc]
            features=classifiers.heads is not None,
            mirror=mirror,
            progress=progress,
        )
        if classifiers.heads is not None:
            outputs = np.stack(
                [
                    probability_of(classifiers.heads, dataset, row, output)
                    for row, output in zip(rows.tolist(), outputs, strict=True)
                ]
            )
        if probability is None:
            probability = np.full((len(dataset), *outputs.shape[1:]), np.nan, np.float32)
        probability[mask] = outputs
    assert probability is not None
    return probability
