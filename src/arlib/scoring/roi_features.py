"""Shared features: one pass over the image, then only the head on each region, as Fast R-CNN.

Girshick (2015) pools a region from the last feature map in place of the last pooling; RoIAlign (He
et al. 2017) samples it without rounding. It is another estimator than cropping: a region sees its
surroundings through the receptive fields, and small regions are seen coarsely.

The same map shows what a class is predicted from, and the regions of that map can be predicted from
it too: `score_cam`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from torchvision.ops import roi_align
from torchvision.transforms.v2.functional import resize

from arlib._support.progress import progress_bar
from arlib.datasets import Dataset
from arlib.networks import Backbone, CoupledHead, LinearHead, resolve_device, split_network
from arlib.proposals import Proposals, regions_of_map
from arlib.scoring.cross_fold import Classifiers
from arlib.scoring.inference import Precision, prefetch
from arlib.scoring.scores import pack, row

SIDE = 2.0
"""The longer side of the image in the shared pass, as a multiple of the network's own."""

THRESHOLD = 0.2
"""Of a map's greatest value, from which it is a region (Zhou et al. 2016, Sec. 3.2)."""

CAM_REGIONS = 8
"""The most regions of one map."""

_STEP = 32  # pixels; sides are multiples of it, so that strides divide them


class SharedPass:
    """One pass of a network over an image, of whose feature map regions are predicted.

    Args:
        network: the network, which `arlib.networks.split_network` can split.
        device: None takes a GPU if there is one.
        precision: of weights and activations.
        side: the longer side of the image, as a multiple of the network's own.
    """

    def __init__(
        self,
        network: Backbone,
        *,
        device: str | None = None,
        precision: Precision = "float32",
        side: float = SIDE,
    ):
        if not side > 0:
            raise ValueError(f"side must be positive, not {side}")
        self.where, self.dtype = resolve_device(device, precision)
        first, second, self.size = split_network(network)
        self.side, self.preprocessing, self.classes = side, network.preprocessing, network.classes
        parts = (Backbone(network.name, part, self.preprocessing) for part in (first, second))
        self.trunk, self.tail = (each.for_inference().to(self.where, self.dtype) for each in parts)
        self.coupled = None  # the head that has a map of its own
        if isinstance(second, CoupledHead):
            self.coupled = copy.deepcopy(second).to(self.where)

    @torch.no_grad()
    def maps(self, image: np.ndarray) -> torch.Tensor:
        """Compute the feature map (1, C, h, w) of an image (H, W, 3) uint8 RGB."""
        longer = self.side * self.preprocessing.size / max(image.shape[:2])
        sides = [max(1, round(length * longer / _STEP)) * _STEP for length in image.shape[:2]]
        pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).to(self.where)
        small = resize(pixels.permute(2, 0, 1), sides, antialias=True)  # (3, h', w')
        batch = self.preprocessing.normalize(small[None]).to(self.dtype)
        return self.trunk.network(batch.contiguous(memory_format=torch.channels_last)).float()

    def outputs(
        self, maps: torch.Tensor, image: np.ndarray, boxes: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute features (N, D) and logits (N, M) of boxes (N, 4) xyxy in an image's pixels."""
        height, width = image.shape[:2]
        scale = np.array([maps.shape[3] / width, maps.shape[2] / height] * 2)
        rois = torch.from_numpy((boxes * scale).astype(np.float32)).to(self.where)
        regions = roi_align(maps, [rois], self.size, sampling_ratio=2, aligned=True)  # (N, C, s, s)
        regions = regions.to(self.dtype).contiguous(memory_format=torch.channels_last)
        features, logits = self.tail.features_and_logits(regions)
        return features.float(), logits.float()

    def class_map(
        self, maps: torch.Tensor, image: np.ndarray, emotion: int, head: LinearHead | None = None
    ) -> np.ndarray:
        r"""Compute where an emotion is predicted from: (h', w') float32 >= 0, by Grad-CAM.

        .. math:: L^m = \mathrm{ReLU}\Big(\sum_d \alpha_d^m A^d\Big),\qquad
            \alpha_d^m = \frac{1}{hw} \sum_{ij} \frac{\partial y^m}{\partial A^d_{ij}}

        (Selvaraju et al. 2017, Eq. 1 and 2), with y the logit of the full image. Where average
        pooling and one linear layer follow the map, it is CAM's, sum_d w_md A^d, but for a factor
        (Zhou et al. 2016). The map of a coupled network is ReLU(M), its own sentiment map's, which
        is one of all emotions (`arlib.networks.CoupledHead`). The map is enlarged eight times,
        bilinearly.
        """
        if self.coupled is not None:
            with torch.no_grad():
                return _enlarged(self.coupled.branches(maps)[2])
        full = np.array([[0, 0, image.shape[1], image.shape[0]]])
        with torch.enable_grad():
            entering = maps.detach().clone().requires_grad_()
            features, logits = self.outputs(entering, image, full)
            if head is not None:
                weight, bias = (torch.from_numpy(each) for each in (head.weight, head.bias))
                logits = features @ weight.to(self.where).T + bias.to(self.where)
            (gradient,) = torch.autograd.grad(logits[0, emotion], entering)
        weights = gradient.mean(dim=(2, 3), keepdim=True)  # (1, C, 1, 1)
        return _enlarged((weights * maps).sum(dim=1, keepdim=True))

    def cam_regions(
        self,
        image: np.ndarray,
        emotion: int,
        head: LinearHead | None = None,
        *,
        threshold: float = THRESHOLD,
        max_regions: int = CAM_REGIONS,
    ) -> tuple[Proposals, np.ndarray, np.ndarray]:
        """Find the regions of an emotion's map, and predict them of the same pass.

        Returns:
            The regions, none where the map is nowhere positive; their probabilities, (N, M); and
            x, y of the map's peak in pixels, NaN where there is none.
        """
        maps = self.maps(image)
        attended = self.class_map(maps, image, emotion, head)
        regions = regions_of_map(attended, image, threshold=threshold, max_regions=max_regions)
        highest = np.unravel_index(attended.argmax(), attended.shape)
        peak = (np.add(highest, 0.5) * image.shape[:2] / attended.shape)[::-1]
        peak = peak if attended.any() else np.full(2, np.nan)
        if not len(regions):  # which a network's tail may not take
            emotions = self.classes if head is None else len(head.emotions)
            return regions, np.empty((0, emotions), np.float32), peak
        with torch.no_grad():
            features, logits = self.outputs(maps, image, regions.boxes)
        if head is not None:
            return regions, head.probability(features.cpu().numpy()), peak
        return regions, logits.softmax(dim=1).cpu().numpy(), peak


def _enlarged(attended: torch.Tensor) -> np.ndarray:
    """Enlarge what is positive of a map (1, 1, h, w) eight times, bilinearly: (8 h, 8 w)."""
    large = nn.functional.interpolate(attended.relu(), scale_factor=8, mode="bilinear")
    return large[0, 0].cpu().numpy()


def shared_forward(
    network: Backbone,
    *,
    features: bool,
    device: str | None = None,
    precision: Precision = "float32",
    side: float = SIDE,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Make the function (image, boxes (N, 4) xyxy) -> outputs (N, D or M) of one feature map."""
    shared = SharedPass(network, device=device, precision=precision, side=side)

    @torch.no_grad()
    def forward(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        entering, logits = shared.outputs(shared.maps(image), image, boxes)
        return (entering if features else logits.softmax(dim=1)).cpu().numpy()

    return forward


def score_cam(
    dataset: Dataset,
    scores: xr.Dataset,
    classifiers: Classifiers,
    *,
    threshold: float = THRESHOLD,
    max_regions: int = CAM_REGIONS,
    workers: int = 2,
    progress: bool = True,
) -> xr.Dataset:
    """Score the regions of class activation maps in the place of proposals, a pass an image.

    The map is of the emotion that the full image's probability predicts, so that no label is used;
    it is CAM's (Zhou et al. 2016) where average pooling and one linear layer follow the last
    feature map, and else Grad-CAM's (Selvaraju et al. 2017). Each connected part of it from
    `threshold` on becomes a box. All of it, the maps and the boxes' probabilities, comes of one
    pass over the image with its longer side twice the network's own, as `score` by
    ``features="shared"``.

    Args:
        dataset: the images, in the order of `scores`.
        scores: of these images, by the same classifiers, for the full images' probabilities.
        classifiers: the network, and head, of each fold.
        threshold: of a map's greatest value, in (0, 1); Zhou et al. (2016, Sec. 3.2) take 0.2.
        max_regions: the most regions an image.
        workers: threads that decode.
        progress: show a bar.

    Returns:
        Scores in the layout of the notation page, best region first. ``objectness`` is the share
        of the map's activation that the part holds, in (0, 1]; full images' probabilities, labels
        and folds are those of `scores`. An image whose map is nowhere positive has no region.
        Beside them ``peak`` (image, axis), x and y of the map's greatest value, in pixels.

    Raises:
        ValueError: the images are not those of the scores, a network has no feature map before its
            classifier, or no image could be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from arlib.datasets import load
        >>> from arlib.networks import load_backbone
        >>> from arlib.proposals import Grid
        >>> from arlib.scoring import score
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> scenes = load("scenes-annotated", n=20)
        >>> with TemporaryDirectory() as folder:
        ...     out = f"{folder}/scores.zarr"
        ...     scores = score(scenes, Grid(max_regions=1), network, out=out, progress=False).load()
        >>> classifiers = Classifiers.one(network, scenes)
        >>> dict(score_cam(scenes, scores, classifiers, max_regions=3, progress=False).sizes)
        {'image': 20, 'region': 3, 'corner': 4, 'emotion': 2, 'axis': 2}
    """
    if dataset.keys.tolist() != scores.image.values.tolist():
        raise ValueError(f"the scores are not of the {len(dataset)} images of {dataset.name}")
    full = scores.global_probability.transpose("image", "emotion").values
    rows: list[dict[str, Any]] = []
    peaks: dict[int, np.ndarray] = {}
    unreadable: dict[str, str] = {}
    with progress_bar(total=len(dataset), unit="image", show=progress, desc=dataset.name) as bar:
        for network, mask in classifiers.groups(dataset):
            shared, numbers = SharedPass(network), np.flatnonzero(mask).tolist()
            images = prefetch(
                dataset.subset(mask), lambda index, image: (index, image), workers, unreadable, bar
            )
            for place, image in images:
                index = numbers[place]
                heads, emotion = classifiers.heads, int(full[index].argmax())
                regions, probability, peaks[index] = shared.cam_regions(
                    image,
                    emotion,
                    None if heads is None else heads[int(dataset.folds[index])],
                    threshold=threshold,
                    max_regions=max_regions,
                )
                outputs = np.concatenate([full[index : index + 1], probability])
                rows.append(row(index, regions, outputs))
                bar.update()
    if not rows:
        raise ValueError(f"no image of {dataset.name} could be read: {unreadable}")
    rows.sort(key=lambda row: row["index"])
    peak = np.array([peaks[row["index"]] for row in rows], np.float32)
    return pack(rows, dataset, max_regions).assign(peak=(("image", "axis"), peak))
