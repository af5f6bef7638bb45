"""Experiments on one dataset: networks frozen, or fine-tuned on other folds or another dataset.

Each network, and each set that it learns from, is a `Protocol` of one column.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arlib import datasets
from arlib.datasets import Dataset, DatasetError
from arlib.experiments.baselines.cross_fit import too_few
from arlib.experiments.images import MOST_FOLDS
from arlib.experiments.names import AUTO, FOLDS, FROZEN, SHIPPED, network_words
from arlib.experiments.planning import duration
from arlib.experiments.protocol import ROWS, Finetuning, Protocol
from arlib.networks import LinearHead, load_backbone
from arlib.proposals import bound, make_proposals, propose_named
from arlib.scoring import box_outputs, global_outputs

if TYPE_CHECKING:
    from arlib.experiments.stages import Stages

LEVELS: dict[str, tuple[str, ...]] = {
    "main": ("vggnet", "former-fusion", "cam"),
    "controls": ("vggnet", "former-fusion", "cam", "controls"),
    "all": tuple(ROWS),
}
"""What is asked for beside the scores -> the rows of a protocol."""


@dataclass(frozen=True)
class Experiment:
    """Settings of the expensive half: what is scored, and how.

    Attributes:
        dataset: a name in `arlib.datasets`, or the path of a table or folder of one's own.
        backbones: networks, as `arlib.networks.load_backbone` takes them; each makes runs of its
            own.
        proposals: a name in `arlib.proposals.make_proposals`, or a file of boxes.
        max_regions: N, the most regions an image.
        crop: "warp" or "square".
        context: padding around a region, as a share of its sides.
        weights: "auto", "random", or a safetensors file.
        seed: of training, of the heads' inner folds and of random weights.
        finetune_on: what networks learn from, each a run: "none" freezes them under a linear head
            fitted on the other folds; "shipped" under the head that comes with the package, for
            images without labels; "auto" is "none", or "shipped" where labels are too few to fit
            a head on the other folds; "folds" fine-tunes one network a fold on all images outside
            it; else a dataset, on all of which one network is fine-tuned.
        training: settings of `arlib.networks.Training`.
        anps: the ANP-tagged dataset of SentiBank and DeepSentiBank.
        caffenet: the network in place of CaffeNet; torchvision's "alexnet" is that of Krizhevsky
            (2014): fewer filters, no groups, no response normalisation.
        precision: of scoring, as `arlib.scoring.score`.
        features: of scoring: "crops" or "shared".
        batch_size: crops in one pass of scoring.
        reader: settings of the dataset's reader, such as `positive_from` of "oasis".
        rows: of Table 1, what is measured beside the scores: "main", those whose cost is small;
            "controls", also crops of fixed places; "all", also SentiBank, PCNN, DeepSentiBank and
            WSCNet, for which more is trained.

    Raises:
        ValueError: a network would be fine-tuned on the images that it predicts; or no such `rows`.
    """

    dataset: str
    backbones: tuple[str, ...]
    proposals: str = "edge_boxes"
    max_regions: int = 100
    crop: str = "warp"
    context: float = 0.0
    weights: str = "auto"
    seed: int = 0
    finetune_on: tuple[str, ...] = (FROZEN,)
    training: Mapping[str, Any] = field(default_factory=dict)
    anps: str = "vso"
    caffenet: str = "alexnet"
    precision: str = "float32"
    features: str = "crops"
    batch_size: int = 16
    reader: Mapping[str, Any] = field(default_factory=dict)
    rows: str = "all"

    def __post_init__(self) -> None:
        """Refuse that a network predicts images that it learned from, and unknown `rows`."""
        if self.rows not in LEVELS:
            raise ValueError(f"rows must be one of {', '.join(LEVELS)}, not {self.rows!r}")
        sources = {datasets.source_of(each): each for each in self.finetune_on}
        if source := sources.get(datasets.source_of(self.dataset)):
            raise ValueError(
                f"a network fine-tuned on all of {source} has seen the images that it would "
                f"predict: finetune_on {FOLDS!r} leaves out the fold that is predicted"
            )

    def stages(self, **how: Any) -> "list[Stages]":
        """Create the `Stages` of each run, of each source and each network.

        `how` is as of `Protocol.stages`.
        """
        return [
            self._protocol(backbone, source).stages(declared=asdict(self), **how)
            for source in self.finetune_on
            for backbone in self.backbones
        ]

    def _protocol(self, backbone: str, source: str) -> Protocol:
        """Declare the protocol of one run."""
        own = ("dataset", "backbones", "finetune_on", "training", "rows")
        names = [each.name for each in fields(self) if each.name not in own]
        return Protocol(
            backbone,
            Finetuning(source, hold_out=0.0, training=self.training),
            (self.dataset,),
            **{name: getattr(self, name) for name in names},
            fit_on=0,
            rows=LEVELS[self.rows],
        )

    def runs(
        self, *, say: Callable[[str], Any] | None = None, **how: Any
    ) -> dict[str, Callable[[Path], Path]]:
        """Name the runs, each with the function that makes it, given the folder it goes into.

        `say` is called with lines of what each will do, which takes the images and the networks;
        `how` is as of `Protocol.stages`.
        """
        stages_of_runs = self.stages(say=say, **how)
        if say:
            for stages in stages_of_runs:
                for line in outline(stages):
                    say(line)
        return {
            stages.protocol.run_name(self.dataset): partial(stages.measure, self.dataset)
            for stages in stages_of_runs
        }


def outline(stages: "Stages") -> Iterator[str]:
    """Describe what a run will do, what its images are too few for, and about how long it takes."""
    settings = stages.protocol
    (column,) = settings.columns
    dataset, name = stages.columns(column), settings.run_name(column)
    how = stages.learns_from(dataset)
    frozen = how in (FROZEN, SHIPPED)
    network = network_words(settings.backbone, how)
    yield (
        f"{name}: {len(dataset)} images ({_tally(dataset)}), up to {settings.max_regions} "
        f"regions each, by {network}"
    )
    if limits := _limits(dataset, settings.finetune.dataset, how):
        yield f"  with these images: {'; '.join(limits)}"
    left_out = [
        row
        for key, row in ROWS.items()
        if key not in settings.rows and not (frozen and key.startswith("pcnn"))
    ]
    if left_out and (dataset.labels >= 0).any():
        rows = [row for row in left_out if row != "controls"]
        controls = ", controls (-p rows controls)" if len(rows) < len(left_out) else ""
        yield f"  left out: {', '.join(rows)} (-p rows all){controls}"
    if (seconds := _scoring_seconds(stages, dataset)) is not None:
        rest = [] if frozen else ["fine-tuning"]
        rest += ["the other rows of Table 1"] if "sentibank" in settings.rows else []
        beside = f", besides {' and '.join(rest)}" if rest else ""
        yield f"  scoring takes about {duration(seconds)} here{beside}"


def _limits(dataset: Dataset, asked: str, how: str) -> list[str]:
    """List what cannot be done, or is done on less, for want of labelled images."""
    limits = []
    labels, folds = dataset.labels[dataset.labels >= 0], dataset.folds[dataset.labels >= 0]
    counts = np.bincount(labels, minlength=len(dataset.emotions))
    rarest = dataset.emotions[int(counts.argmin())]
    if asked == AUTO and how == SHIPPED:
        limits.append(f"{too_few(dataset)}, so the head that comes with the package predicts")
    if not labels.size:
        return [*limits, "nothing is compared with labels"]
    if not counts.min():
        limits.append(f"no AUC and no balanced accuracy without an image of {rarest}")
    own = np.unique(folds[folds >= 0])
    if own.size < 2:
        limits.append("no choice of K by fold")
    elif own.size < MOST_FOLDS and counts.min() == own.size:
        limits.append(
            f"{own.size} folds instead of {MOST_FOLDS}, as {rarest} has {own.size} images"
        )
    if how == FROZEN:
        learned = [np.bincount(labels[folds != fold]).min() for fold in np.unique(folds)]
        if (least := int(min(learned))) < MOST_FOLDS:
            chosen = f"chosen on {least} folds" if least > 1 else "fixed"
            limits.append(f"the heads' C is {chosen}")
    if any((folds == fold).sum() < 2 for fold in own):
        limits.append("no intervals, as a fold has one image")
    return limits


def _scoring_seconds(stages: "Stages", dataset: Dataset) -> float | None:
    """Estimate what scoring takes by one image, after another; None if they are unreadable."""
    settings = stages.protocol
    method = make_proposals(settings.proposals, cached=True, max_regions=settings.max_regions)
    method = bound(method, dataset.keys)

    def boxes(key: str, _: int, image: np.ndarray) -> np.ndarray:
        full = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        return np.concatenate([full, propose_named(method, image, key).boxes])

    seconds, network = None, stages.plain(settings.backbone)
    for index in range(min(2, len(dataset))):
        started = time.perf_counter()
        try:
            of_image = partial(boxes, str(dataset.keys[index]))
            box_outputs(dataset.subset([index]), network, of_image, features=True, progress=False)
        except ValueError:  # which scoring will name
            return None
        seconds = (time.perf_counter() - started) * len(dataset)
    return seconds


def _tally(dataset: Dataset) -> str:
    """Count a dataset's images by emotion, and those without a label."""
    counts = Counter(dataset.labels.tolist())
    tally = [f"{counts[i]} {name}" for i, name in enumerate(dataset.emotions) if counts[i]]
    return ", ".join(tally + [f"{counts[-1]} without label"] * bool(counts[-1]))


def fit_dataset_head(
    name: str, backbone: str, *, seed: int = 0, max_pixels: int | None = None
) -> LinearHead:
    """Fit a head on every labelled image of a dataset, with its provenance.

    Args:
        name: a labelled dataset in `arlib.datasets`.
        backbone: the network's name, as of `arlib.networks.load_backbone`.
        seed: of the inner folds that pick C.
        max_pixels: of an image, as of `arlib.datasets.read_image`; None takes its default.

    Raises:
        DatasetError: the dataset is not there, or has no labels.
        WeightsError: the weights are not there.
    """
    dataset = datasets.load(name, max_pixels=max_pixels)
    if not (dataset.labels >= 0).any():
        raise DatasetError(f"{name} has no labels to learn from")
    network = load_backbone(backbone)
    features = global_outputs(dataset, network, features=True)
    usable = ~np.isnan(features).any(axis=1) & (dataset.labels >= 0)
    head = LinearHead.fit(
        features[usable], dataset.labels[usable], dataset.emotions, backbone=backbone, seed=seed
    )
    facts = {"dataset": name, "weights_sha256": network.sha256(), "seed": seed}
    return replace(head, provenance=head.provenance | facts)
