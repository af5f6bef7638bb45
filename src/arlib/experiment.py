"""An experiment on photographs: a network, frozen or fine-tuned, judges a dataset and its regions.

No image is judged by a network or head that saw it: heads and fine-tuning take the other folds, or
another dataset.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib import datasets
from arlib.heads import LinearHead, fit_head
from arlib.runs import write_run


@dataclass(frozen=True)
class Experiment:
    """Settings of the expensive half: what is scored, and how.

    Attributes:
        dataset: a name in `arlib.datasets`, or the path of a table or folder of one's own.
        backbones: torchvision names; each makes runs of its own.
        proposals: a name in `arlib.proposals.make`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square".
        context: padding around a region, as a share of its sides.
        weights: "auto", "random", or a safetensors file.
        seed: of training, of the heads' inner folds and of random weights.
        finetune_on: what networks learn from, each a run: "none" freezes them under a linear head
            fitted on the other folds; "shipped" under the head that comes with the package, for
            pictures without labels; "folds" fine-tunes one network a fold on the other folds; else
            a dataset, on all of which one network is fine-tuned.
        training: settings of `arlib.training.Training`.
        anps: the ANP-tagged dataset of SentiBank and DeepSentiBank.
        reader: settings of the dataset's reader, such as `positive_from` of "oasis".
    """

    dataset: str
    backbones: tuple[str, ...]
    proposals: str = "edge_boxes"
    max_regions: int = 100
    crop: str = "warp"
    context: float = 0.0
    weights: str = "auto"
    seed: int = 0
    finetune_on: tuple[str, ...] = ("none",)
    training: Mapping[str, Any] = field(default_factory=dict)
    anps: str = "vso"
    reader: Mapping[str, Any] = field(default_factory=dict)

    def runs(self, *, progress: bool = True) -> dict[str, Callable[[Path], Path]]:
        """What an edition makes: name of a run -> function of the folder that it goes into."""
        return {
            run_name(self.dataset, backbone, source): partial(
                measure, replace(self, finetune_on=(source,)), backbone, progress=progress
            )
            for source in self.finetune_on
            for backbone in self.backbones
        }


def parse_experiment(settings: Mapping[str, Any]) -> Experiment:
    """Make an experiment from names and values, as an edition or run.json has them.

    Raises:
        ValueError: an unknown name, none for what must be named, or a setting of training that
            does not exist.

    Example:
        >>> parse_experiment({"dataset": "oasis", "backbones": ["vgg16"]}).backbones
        ('vgg16',)
    """
    missing = sorted({"dataset", "backbones"} - settings.keys())
    if missing:
        raise ValueError(f"an experiment on photographs needs {' and '.join(missing)}")
    known = [one.name for one in fields(Experiment)]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise ValueError(f"no setting {unknown[0]!r} of an experiment; there are {known}")
    lists = {
        name: tuple(settings[name]) for name in ("backbones", "finetune_on") if name in settings
    }
    if settings.get("training"):
        from arlib.training import parse_training

        parse_training(settings["training"])
    return Experiment(**{**settings, **lists})


def run_name(dataset: str, backbone: str, finetune_on: str = "none") -> str:
    """Name the folder of a run.

    Example:
        >>> run_name("twitter2", "mobilenet_v2"), run_name("twitter2", "mobilenet_v2", "folds")
        ('twitter2-mobilenet_v2', 'twitter2-mobilenet_v2-ft')
        >>> run_name("twitter2", "mobilenet_v2", "oasis")
        'twitter2-mobilenet_v2-ft-oasis'
        >>> run_name("photos/my labels.csv", "squeezenet1_1", "shipped")
        'own-my_labels-squeezenet1_1-shipped'
    """
    tails = {"none": "", "folds": "-ft", "shipped": "-shipped"}
    tail = tails.get(finetune_on, f"-ft-{finetune_on}")
    if dataset not in datasets.names():
        dataset = "own-" + re.sub(r"[^\w.-]", "_", Path(dataset).stem)
    return f"{dataset}-{backbone}{tail}"


def measure(
    experiment: Experiment, backbone: str, folder: str | Path, *, progress: bool = True
) -> Path:
    """Score the experiment's dataset with one backbone and write the run.

    Args:
        experiment: the settings; of `finetune_on` the first counts.
        backbone: one of the experiment's backbones.
        folder: where the run goes, under the name of `run_name`; replaced when it is there.
        progress: show bars.

    Returns:
        The run's folder, which holds `scores.zarr`, `baselines.zarr` and `run.json`.

    Raises:
        DatasetError: the dataset is not there; the message says how to get it.
        WeightsError: the weights are not there; the message names the file.
    """
    from arlib.judges import score_by
    from arlib.networks import Chain
    from arlib.proposals import Cached, make

    started = time.perf_counter()
    source = experiment.finetune_on[0]
    chain = Chain(
        experiment.dataset,
        backbone,
        source,
        weights=experiment.weights,
        seed=experiment.seed,
        training=experiment.training,
        anps=experiment.anps,
        reader=experiment.reader,
        progress=progress,
    )
    judges = chain.judges
    seconds = {"training": time.perf_counter() - started}
    propose = Cached(make(experiment.proposals, max_regions=experiment.max_regions))

    def scored(out: Path) -> xr.Dataset:
        return score_by(
            judges,
            chain.dataset,
            propose,
            out,
            crop=experiment.crop,
            context=experiment.context,
            progress=progress,
        )

    return write_run(
        Path(folder, run_name(experiment.dataset, backbone, source)),
        scored,
        experiment={**asdict(experiment), "backbones": [backbone], "finetune_on": [source]},
        dataset=chain.dataset,
        seconds=seconds,
        baselines=chain.baselines if (chain.dataset.labels >= 0).any() else None,
    )


def fit_dataset_head(name: str, backbone: str, *, seed: int = 0) -> LinearHead:
    """Fit a head on every labelled image of a dataset; its provenance says on what.

    Args:
        name: a labelled dataset in `arlib.datasets`.
        backbone: torchvision's name of the network.
        seed: of the inner folds that pick C.

    Raises:
        DatasetError: the dataset is not there.
        WeightsError: the weights are not there.
    """
    from arlib.backbones import load_backbone, weights_sha256
    from arlib.whole import image_features

    dataset = datasets.load(name)
    network = load_backbone(backbone)
    features, _ = image_features(dataset, network)
    usable = ~np.isnan(features).any(axis=1) & (dataset.labels >= 0)
    made = fit_head(
        features[usable], dataset.labels[usable], dataset.emotions, backbone=backbone, seed=seed
    )
    facts = {"dataset": name, "weights_sha256": weights_sha256(network), "seed": seed}
    return replace(made, provenance=made.provenance | facts)
