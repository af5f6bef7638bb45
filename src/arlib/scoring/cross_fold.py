"""Who judges the images of each fold: a network that never saw them, with or without a head."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr

from arlib.datasets import Dataset
from arlib.networks import Backbone, LinearHead
from arlib.proposals import Propose
from arlib.scoring.inference import Boxes, box_outputs
from arlib.scoring.scorer import score
from arlib.scoring.scores import save_scores


@dataclass(frozen=True)
class Classifiers:
    """Networks, by the fold whose images they judge.

    Attributes:
        networks: fold -> network; a single network is everyone's.
        heads: fold -> linear head on that network's features; None takes its own classes.
    """

    networks: Mapping[int, Backbone]
    heads: Mapping[int, LinearHead] | None = None

    @classmethod
    def one(
        cls, network: Backbone, dataset: Dataset, heads: Mapping[int, LinearHead] | None = None
    ) -> "Classifiers":
        """Let one network judge every fold of a dataset."""
        return cls(dict.fromkeys(np.unique(dataset.folds).tolist(), network), heads)

    def groups(self, dataset: Dataset) -> Iterator[tuple[Backbone, np.ndarray]]:
        """Each network with the images (n,) bool that it judges.

        Raises:
            ValueError: a fold of the dataset has no network.
        """
        lost = sorted(set(dataset.folds.tolist()) - self.networks.keys())
        if lost:
            raise ValueError(f"no network for fold(s) {lost} of {dataset.name}")
        for network in {id(one): one for one in self.networks.values()}.values():
            folds = [fold for fold, one in self.networks.items() if one is network]
            mine = np.isin(dataset.folds, folds)
            if mine.any():
                yield network, mine


def score_cross_fold(
    classifiers: Classifiers, dataset: Dataset, proposals: Propose, out: str | Path, **settings: Any
) -> xr.Dataset:
    """Score every image by its fold's judge, into one Zarr store.

    Args:
        classifiers: who judges which fold.
        dataset: the images.
        proposals: image -> Proposals.
        out: the store to write.
        settings: of `score`.

    Returns:
        The scores in the dataset's order; `weights_sha256` is one per fold if networks differ.
    """
    groups = list(classifiers.groups(dataset))
    if len(groups) == 1:
        return score(dataset, proposals, groups[0][0], out=out, head=classifiers.heads, **settings)
    parts = []
    with TemporaryDirectory() as folder:
        for number, (network, mine) in enumerate(groups):
            part = dataset.subset(mine)
            store = Path(folder, str(number))
            found = score(part, proposals, network, out=store, head=classifiers.heads, **settings)
            parts.append(found.load())
    together = xr.concat(parts, "image", combine_attrs="override", join="exact")
    place = {key: row for row, key in enumerate(dataset.keys.tolist())}
    order = np.argsort([place[key] for key in together.image.values.tolist()])
    facts = {
        "weights_sha256": {
            ",".join(map(str, np.unique(dataset.folds[mine]).tolist())): part.attrs[
                "weights_sha256"
            ]
            for part, (_, mine) in zip(parts, groups, strict=True)
        },
        "unreadable": {k: v for part in parts for k, v in part.attrs["unreadable"].items()},
    }
    overwrite = bool(settings.get("overwrite", False))
    save_scores(together.isel(image=order).assign_attrs(facts), out, overwrite=overwrite)
    return together.isel(image=order).assign_attrs(facts)


def classify_boxes(
    classifiers: Classifiers,
    dataset: Dataset,
    boxes: Boxes,
    *,
    mirror: bool = False,
    progress: bool = True,
) -> np.ndarray:
    """Judge given boxes of every image by its fold's judge.

    Args:
        classifiers: who judges which fold.
        dataset: the images.
        boxes: which boxes, R in each image, by its number in the dataset.
        mirror: turn left and right.
        progress: show a bar.

    Returns:
        (n, R, M) float32 probabilities; NaN for unreadable images.
    """
    found: np.ndarray | None = None
    for network, mine in classifiers.groups(dataset):
        part = dataset.subset(mine)
        said = box_outputs(
            part,
            network,
            _renumbered(boxes, np.flatnonzero(mine)),
            features=classifiers.heads is not None,
            mirror=mirror,
            progress=progress,
        )[:, 1:]
        if classifiers.heads is not None:
            said = _headed(said, classifiers.heads, part.folds)
        if found is None:
            found = np.full((len(dataset), *said.shape[1:]), np.nan, np.float32)
        found[mine] = said
    assert found is not None
    return found


def _renumbered(boxes: Boxes, rows: np.ndarray) -> Boxes:
    """Ask for boxes by an image's number in the whole dataset, not in a part of it."""
    return lambda index, image: boxes(int(rows[index]), image)


def _headed(features: np.ndarray, heads: Mapping[int, LinearHead], folds: np.ndarray) -> np.ndarray:
    classes = len(next(iter(heads.values())).emotions)
    said = np.full((*features.shape[:-1], classes), np.nan, np.float32)
    for fold in np.unique(folds).tolist():
        said[folds == fold] = heads[fold].probability(features[folds == fold])
    return said
