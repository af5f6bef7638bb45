"""Algorithm 1 for one image: propose, score, rank, fuse."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from arlib.datasets import Dataset, read_image
from arlib.method import affective_regions, predict_labels, usable_base
from arlib.networks import Converted, Engine, LinearHead, Model, load_predictor
from arlib.proposals import EdgeBoxes, Proposals, Propose, bound
from arlib.scoring.crops import CropMode
from arlib.scoring.cross_fold import check_heads, probability_of
from arlib.scoring.inference import Precision
from arlib.scoring.scorer import Features, Scoring
from arlib.scoring.scores import pack, row

if TYPE_CHECKING:
    from arlib.networks import Backbone
    from arlib.scoring.roi_features import SharedPass

Regions = Literal["proposals", "cam"]
"""Where regions come from: a proposal method, or the class activation map of the network itself."""


@dataclass(frozen=True)
class Region:
    """One affective region.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the upright image.
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
    """What Algorithm 1 predicts for one image.

    Attributes:
        label: the emotion of the largest response.
        response: emotion -> Y of Eq. 3; sums to 1 + beta where there is a region, else to 1.
        probability: emotion -> Y, normalised to sum to 1.
        global_probability: emotion -> Y_Global, the full image alone.
        regions: the K affective regions, best first; fewer where fewer were proposed.
    """

    label: str
    response: dict[str, float]
    probability: dict[str, float]
    global_probability: dict[str, float]
    regions: tuple[Region, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def predict(
    image_or_path: np.ndarray | str | Path,
    *,
    model: Model | str | Path | None = None,
    network: Backbone | Converted | None = None,
    head: LinearHead | None = None,
    proposals: Propose | None = None,
    k: int = 8,
    alpha: float = 1.0,
    beta: float = 0.5,
    min_sentiment: float | None = None,
    nms: float | None = None,
    regions: Regions = "proposals",
    device: str | None = None,
    engine: Engine = "auto",
) -> Prediction:
    """Predict an image's sentiment from the full image and its K affective regions (Algorithm 1).

    Args:
        image_or_path: (H, W, 3) uint8 RGB, or a file.
        model: what was trained, with its emotions: from `arlib.networks.load_predictor` or
            `load_model`, or the path that they take, which is then loaded for this image alone,
            unless it names a function to import: `load_model` takes that, where it is trusted.
        network: instead, a network of the classes positive and negative, or the backbone of `head`.
            None takes EfficientNet-Lite0 with the head that ships with the package (or with `head`,
            if that is given).
        head: a linear head on the network's features; None takes the network's own classes.
        proposals: image -> Proposals; None takes `EdgeBoxes()`.
        k: K, how many affective regions, >= 1.
        alpha: of Eq. 2, in [0, 1000].
        beta: of Eq. 3, in [0, 1000].
        min_sentiment: of Eq. 1, below which a region is dropped; None drops none.
        nms: overlap with a better region above which one is dropped, in [0, 1]; None drops none.
        regions: "proposals", or "cam", those of the network's own class activation map, as for
            `arlib.scoring.score_image`.
        device: None takes a GPU if there is one.
        engine: as for `score`.

    Returns:
        The prediction.

    Raises:
        ImageError: the file is no readable image.
        WeightsError: the default network's weights cannot be had.
        ValueError: both a model and a network or head, or as `arlib.networks.load_model` raises.

    Example:
        >>> from skimage.data import coffee
        >>> from arlib.networks import load_backbone
        >>> network = load_backbone("efficientnet_lite0", weights="random")
        >>> prediction = predict(coffee(), network=network, head=LinearHead.default(), k=2)
        >>> prediction.label in ("positive", "negative"), len(prediction.regions)
        (True, 2)
        >>> round(sum(prediction.response.values()), 5)
        1.5
    """
    if regions == "cam" and engine == "auto":
        engine = "torch"
    how: dict[str, Any] = {"device": device, "engine": engine, "regions": regions}
    if model is not None:
        if network is not None or head is not None:
            raise ValueError("give a model, or a network and head, not both")
        trained = model if isinstance(model, Model) else load_predictor(model, engine)
        network, head = trained.network, trained.head
        how["emotions"] = trained.emotions
    scores = score_image(image_or_path, proposals, network, head=head, **how)
    return prediction_from_scores(
        scores, k=k, alpha=alpha, beta=beta, min_sentiment=min_sentiment, nms=nms
    )


def score_image(
    image_or_path: np.ndarray | str | Path,
    proposals: Propose | None = None,
    network: Backbone | Converted | None = None,
    *,
    head: LinearHead | None = None,
    emotions: tuple[str, ...] = ("positive", "negative"),
    crop: CropMode = "warp",
    context: float = 0.0,
    batch_size: int = 16,
    device: str | None = None,
    precision: Precision = "float32",
    features: Features = "crops",
    regions: Regions = "proposals",
    max_regions: int = 8,
    engine: Engine = "auto",
) -> xr.Dataset:
    """Score one image and all of its regions, in memory, as `predict` does before it ranks them.

    Args:
        image_or_path: (H, W, 3) uint8 RGB, or a file.
        proposals: image -> Proposals; None takes `EdgeBoxes()`. A file of boxes finds the image by
            its path.
        network: of M classes unless there is a head; None takes the default network,
            EfficientNet-Lite0, under `head` or else the head that ships with the package.
        head: goes on the network's features; its emotions are then taken.
        emotions: the names of the network's own M classes, in order.
        crop: as for `score`, and so are those that follow.
        context: padding around a region, as a share of its sides.
        batch_size: crops in one pass of the network.
        device: None takes a GPU if there is one.
        precision: "float32", "bf16" or "auto".
        features: "crops" or "shared".
        regions: "proposals"; or "cam", those of the class activation map of the emotion that the
            full image predicts, scored on its feature map, as `score_cam` does: a pass in place of
            one a region, for which crop, context and `features` say nothing. Their ``objectness``
            is the share of the map that they hold.
        max_regions: of "cam", the most regions; a proposal method has its own.
        engine: "torch", "openvino" or "auto"; "cam" is PyTorch's alone.

    Returns:
        Scores of one image, keyed "image", with as many regions as were proposed or found.

    Raises:
        ImageError: the file is no readable image.
        WeightsError: the default network's weights cannot be had.
        ValueError: the network's classes or the head do not fit the emotions; proposals beside
            "cam", or a network without a feature map; or a file of boxes without this image.

    Example:
        >>> from arlib.networks import load_backbone
        >>> from arlib.proposals import Grid
        >>> network = load_backbone("efficientnet_lite0", weights="random")
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> dict(score_image(image, Grid(max_regions=5), network, head=LinearHead.default()).sizes)
        {'image': 1, 'region': 5, 'corner': 4, 'emotion': 2}
    """
    if regions not in ("proposals", "cam"):
        raise ValueError(f"regions must be 'proposals' or 'cam', not {regions!r}")
    if regions == "cam" and proposals is not None:
        raise ValueError("the regions of 'cam' are its own: give no proposals")
    # the default network and proposals, where none are given
    if network is None:
        plain = (features, precision, regions) == ("crops", "float32", "proposals")
        plain &= device in (None, "cpu")
        network = default_network(engine if plain else "torch")
        head = head or LinearHead.default()
    key = "image" if isinstance(image_or_path, np.ndarray) else str(image_or_path)
    proposals = bound(_none if regions == "cam" else proposals or EdgeBoxes(), [key])
    image = image_or_path if isinstance(image_or_path, np.ndarray) else read_image(image_or_path)
    # a dataset of this image alone: no label, no fold
    dataset = Dataset(
        name="image",
        root=Path(),
        keys=np.array(["image"]),
        files=np.array(["image"]),
        labels=np.array([-1], np.int8),
        folds=np.array([-1], np.int8),
        emotions=emotions if head is None else head.emotions,
    )
    check_heads(dataset, network, head)
    scoring = Scoring(network, head is not None, crop, context, device, precision, features, engine)
    item = scoring.preparer(proposals, [key])(0, image)
    ((_, outputs),) = scoring.outputs([item], batch_size)
    found, probability = item[0].proposals, probability_of(head, dataset, 0, outputs)
    parameters = scoring.parameters()
    if regions == "cam":
        if isinstance(network, Converted):
            raise ValueError(f"{network.name} is converted for OpenVINO: 'cam' needs PyTorch's")
        shared = _shared_pass(network, device, precision)
        found, of_regions, _ = shared.cam_regions(
            image, int(probability[0].argmax()), head, max_regions=max_regions
        )
        probability = np.concatenate([probability[:1], of_regions])
        parameters |= {"regions": "cam"}
    scored = row(0, found, probability)
    return pack([scored], dataset, len(found)).assign_attrs(parameters=parameters)


def prediction_from_scores(
    scores: xr.Dataset,
    *,
    k: int,
    alpha: float,
    beta: float,
    base: float | str | None = None,
    min_sentiment: float | None = None,
    nms: float | None = None,
) -> Prediction:
    """Turn scores of one image into a `Prediction`.

    Args:
        scores: scores with exactly one image.
        k: K, >= 1.
        alpha: of Eq. 2.
        beta: of Eq. 3.
        base: of Eq. 1's logarithm, as for `arlib.method.sentiment_score`; None takes
            `arlib.method.usable_base` of the emotions.
        min_sentiment: of Eq. 1, as for `arlib.method.affective_regions`.
        nms: overlap of two regions, likewise.

    Returns:
        The prediction.

    Example:
        >>> from arlib.networks import load_backbone
        >>> from arlib.proposals import Grid
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> scores = score_image(np.zeros((60, 80, 3), np.uint8), Grid(max_regions=5), network)
        >>> len(prediction_from_scores(scores, k=2, alpha=1.0, beta=0.5).regions)
        2
    """
    emotions = [str(name) for name in scores.emotion.values]

    def named(values: np.ndarray) -> dict[str, float]:
        return dict(zip(emotions, map(float, values), strict=True))

    how: dict[str, Any] = {"k": k, "alpha": alpha, "min_sentiment": min_sentiment, "nms": nms}
    how["base"] = usable_base(len(emotions)) if base is None else base
    fused = predict_labels(scores, beta=beta, **how).isel(image=0)
    best = affective_regions(scores, **how).isel(image=0)
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
    )


def _none(_: np.ndarray) -> Proposals:
    """Propose nothing."""
    return Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))


@lru_cache(maxsize=1)
def _shared_pass(network: Backbone, device: str | None, precision: Precision) -> SharedPass:
    """Prepare a network for one pass an image, once for many images."""
    from arlib.scoring.roi_features import SharedPass

    return SharedPass(network, device=device, precision=precision)


def default_network(engine: Engine = "auto") -> Backbone | Converted:
    """Load the default network, EfficientNet-Lite0 of ImageNet, once for each `ARLIB_DATA`."""
    return _load(engine, os.environ.get("ARLIB_DATA"))


@lru_cache(maxsize=1)
def _load(engine: Engine, _data: str | None) -> Backbone | Converted:
    return load_predictor(engine=engine).network
