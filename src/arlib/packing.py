"""Who judges, checked; and what was said of each image -> scores, padded with NaN."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from arlib.backbones import Backbone
from arlib.datasets import Dataset
from arlib.heads import LinearHead
from arlib.proposals import Proposals, uncached
from arlib.scores import assemble_scores

Heads = LinearHead | Mapping[int, LinearHead] | None


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


def probability_of(head: Heads, dataset: Dataset, index: int, output: np.ndarray) -> np.ndarray:
    """What the head of an image's fold, if there is one, makes of the network's output (n, D)."""
    if head is None:
        return output
    one = head if isinstance(head, LinearHead) else head[int(dataset.folds[index])]
    return one.probability(output)


def row(index: int, proposals: Proposals, probability: np.ndarray) -> dict[str, Any]:
    """One image of the scores, from probabilities (1 + n, M): the whole, then its first regions."""
    n = len(probability) - 1
    return {
        "index": index,
        "objectness": proposals.objectness[:n],
        "box": proposals.boxes[:n],
        "region_probability": probability[1:],
        "global_probability": probability[0],
    }


def pack(rows: list[dict[str, Any]], dataset: Dataset, regions: int) -> xr.Dataset:
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


def head_provenance(head: Heads) -> Any:
    """Say what made the heads: JSON values."""
    if head is None:
        return None
    if isinstance(head, LinearHead):
        return head.provenance
    return {str(fold): one.provenance for fold, one in sorted(head.items())}


def proposals_provenance(proposals: Any) -> dict[str, Any]:
    """Name a proposal method, a dataclass, and its settings: JSON values."""
    method = uncached(proposals)
    return {"method": type(method).__name__, **asdict(method)}
