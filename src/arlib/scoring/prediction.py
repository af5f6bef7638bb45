"""Algorithm 1 for one picture: propose, score, rank, fuse."""

import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib.datasets import read_image
from arlib.method import affective_regions, predict_labels, usable_base
from arlib.networks import Backbone, LinearHead, default_head, load_backbone
from arlib.proposals import EdgeBoxes, Propose
from arlib.scoring.choice import Choice
from arlib.scoring.scorer import score_image


@dataclass(frozen=True)
class Region:
    """One affective region.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the upright picture.
        objectness: Obj_score.
        sentiment_score: Eq. 1.
        affective_score: Eq. 2.
        probability: emotion -> s_ij.
    """

    box: tuple[float, float, float, float]
    objectness: float
    sentiment_score: float
    affective_score: float
    probability: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """What Algorithm 1 says of one picture.

    Attributes:
        label: the emotion of the largest response.
        response: emotion -> Y of Eq. 3; sums to 1 + beta where there is a region, else to 1.
        probability: emotion -> Y, normalised to sum to 1.
        global_probability: emotion -> Y_Global, the full image alone.
        regions: the K affective regions, best first; fewer where fewer were proposed.
        scored: how many regions the network saw until no other could enter the K.
        proposed: how many there were.
    """

    label: str
    response: dict[str, float]
    probability: dict[str, float]
    global_probability: dict[str, float]
    regions: tuple[Region, ...]
    scored: int = 0
    proposed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def default_network() -> Backbone:
    """Load the default network, SqueezeNet 1.1 trained on ImageNet, once for each `ARLIB_DATA`."""
    return _loaded(os.environ.get("ARLIB_DATA"))


@lru_cache(maxsize=1)
def _loaded(_data: str | None) -> Backbone:
    return load_backbone("squeezenet1_1")


def predict(
    image_or_path: np.ndarray | str | Path,
    *,
    network: Backbone | None = None,
    head: LinearHead | None = None,
    proposals: Propose | None = None,
    k: int = 8,
    alpha: float = 1.0,
    beta: float = 0.5,
    device: str | None = None,
) -> Prediction:
    """Predict a picture's sentiment from the whole and its K affective regions (Algorithm 1).

    Regions are scored by falling objectness until no other can enter the K: the K are those of
    scoring all.

    Args:
        image_or_path: (H, W, 3) uint8 RGB, or a file.
        network: a fine-tuned network, or the backbone of `head`. None takes SqueezeNet 1.1 with
            the head that ships with the package (or with `head`, if that is given).
        head: a linear head on the network's features; None takes the network's own classes.
        proposals: image -> Proposals; None takes `EdgeBoxes()`.
        k: K, how many affective regions, >= 1.
        alpha: of Eq. 2, >= 0.
        beta: of Eq. 3, >= 0.
        device: None takes a GPU if there is one.

    Returns:
        The prediction.

    Raises:
        ImageError: the file is no readable image.
        WeightsError: the default network's weights cannot be had.

    Example:
        >>> from skimage.data import coffee
        >>> from arlib.networks import load_backbone
        >>> network = load_backbone("squeezenet1_1", weights="random")
        >>> found = predict(coffee(), network=network, head=default_head(), k=2)
        >>> found.label in ("positive", "negative"), len(found.regions)
        (True, 2)
        >>> len(found.regions) <= found.scored <= found.proposed
        True
        >>> round(sum(found.response.values()), 5)
        1.5
    """
    network, head = _judges(network, head)
    emotions = network.classes if head is None else len(head.emotions)
    only = Choice(k=k, alpha=alpha, base=usable_base(emotions))
    scores = score_picture(
        image_or_path, network=network, head=head, proposals=proposals, device=device, only=only
    )
    return prediction_from_scores(scores, k=k, alpha=alpha, beta=beta)


def score_picture(
    image_or_path: np.ndarray | str | Path,
    *,
    network: Backbone | None = None,
    head: LinearHead | None = None,
    proposals: Propose | None = None,
    device: str | None = None,
    only: Choice | None = None,
) -> xr.Dataset:
    """Score a picture and all of its regions, as `predict` does before it chooses.

    Args:
        image_or_path: as for `predict`, and so are the others.
        network: None takes the default network.
        head: None takes the network's own classes, of the default network the package's head.
        proposals: None takes `EdgeBoxes()`.
        device: None takes a GPU if there is one.
        only: the regions that will be asked for; None scores every region that was proposed.

    Returns:
        Scores of one image.

    Raises:
        ImageError: the file is no readable image.
        WeightsError: the default network's weights cannot be had.

    Example:
        >>> from arlib.proposals import Grid
        >>> network = load_backbone("squeezenet1_1", weights="random")
        >>> picture = np.zeros((60, 80, 3), np.uint8)
        >>> dict(score_picture(picture, network=network, head=default_head(),
        ...                    proposals=Grid(max_regions=5)).sizes)
        {'image': 1, 'region': 5, 'corner': 4, 'emotion': 2}
    """
    network, head = _judges(network, head)
    image = image_or_path if isinstance(image_or_path, np.ndarray) else read_image(image_or_path)
    return score_image(
        image, proposals or EdgeBoxes(), network, head=head, device=device, only=only
    )


def prediction_from_scores(
    scores: xr.Dataset, *, k: int, alpha: float, beta: float, base: float | str | None = None
) -> Prediction:
    """Turn scores of one image into a `Prediction`.

    Args:
        scores: scores with exactly one image.
        k: K, >= 1.
        alpha: of Eq. 2.
        beta: of Eq. 3.
        base: of Eq. 1's logarithm, as for `arlib.method.sentiment_score`; None takes
            `arlib.method.usable_base` of the emotions.
    """
    emotions = [str(name) for name in scores.emotion.values]

    def named(values: np.ndarray) -> dict[str, float]:
        return dict(zip(emotions, map(float, values), strict=True))

    base = usable_base(len(emotions)) if base is None else base
    scored = int(np.isfinite(scores.objectness.values[0]).sum())
    fused = predict_labels(scores, k=k, alpha=alpha, beta=beta, base=base).isel(image=0)
    best = affective_regions(scores, k=k, alpha=alpha, base=base).isel(image=0)
    regions = tuple(
        Region(
            box=tuple(map(float, region.box.values)),  # type: ignore[arg-type]
            objectness=float(region.objectness),
            sentiment_score=float(region.sentiment_score),
            affective_score=float(region.affective_score),
            probability=named(region.probability.values),
        )
        for region in (best.isel(rank=rank) for rank in range(best.sizes["rank"]))
        if int(region.region) >= 0
    )
    return Prediction(
        label=emotions[int(fused.label)],
        response=named(fused.response.values),
        probability=named(fused.probability.values),
        global_probability=named(scores.global_probability.values[0]),
        regions=regions,
        scored=scored,
        proposed=scores.attrs.get("effort", {}).get("proposed", scored),
    )


def _judges(
    network: Backbone | None, head: LinearHead | None
) -> tuple[Backbone, LinearHead | None]:
    """The network and head that are given, or else the default ones."""
    return (default_network(), head or default_head()) if network is None else (network, head)
