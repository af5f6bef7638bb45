"""The paper's protocol in miniature, live: pre-train, fine-tune, propose, score, in minutes.

Every step is taken once and kept (`arlib._support.storage`), so that chapters share it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.settings import check_settings
from arlib._support.storage import cache_folder, exclusive_lock
from arlib.datasets import Dataset, load
from arlib.datasets.scenes import SceneGenerator, draw_scenes
from arlib.experiments.baselines.pcnn import Progress, train_on
from arlib.experiments.baselines.rows import Missing, measure_rows, rows_for
from arlib.experiments.baselines.sentibank import SentiBank, train_bank
from arlib.experiments.runs import open_run, write_baselines, write_run
from arlib.networks import Backbone, TooFewError, Training, finetune, load_backbone
from arlib.proposals import make_proposals
from arlib.scoring import Classifiers, score_cross_fold

_MOST_BYTES = 2**29  # of drawn pictures, a set


_SEEDS = {"objects": 1, "tagged": 2, "annotated": 3, "folded": 4}  # no two sets share a picture


# What each stage depends on: a change elsewhere leaves what was made as it is.
_TRAINING = ("datasets", "networks", "experiments.synthetic")
_SCORING = (*_TRAINING, "scoring", "evaluation", "experiments.baselines", "experiments.runs")

PRETRAINING = Training(epochs=4, batch_size=32, lr=0.02, head_factor=1, step=0.6)


FINETUNING = Training(epochs=1, batch_size=32, lr=0.01, head_factor=2, step=0.7, round=40)


@dataclass(frozen=True)
class SyntheticProtocol:
    """Settings of the whole chain.

    Attributes:
        generator: where pictures come from.
        seed: of the pictures and of the training.
        scale: how large the sets are, as a share of the sizes that follow.
        n_objects: pictures of objects, for pre-training; a tenth is held out.
        n_tagged: tagged pictures, for fine-tuning; a tenth is held out.
        n_tested: pictures in each of the sets that are scored.
        backbone: the network.
        pretraining: how it learns objects.
        finetuning: how it then learns sentiment.
        proposals: a name in `arlib.proposals.make_proposals`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square", as `arlib.scoring.crop_regions`.
    """

    generator: SceneGenerator = field(default_factory=SceneGenerator)
    seed: int = 0
    scale: float = 0.35
    n_objects: int = 8000
    n_tagged: int = 16000
    n_tested: int = 1600
    backbone: str = "vgg_tiny"
    pretraining: Training = PRETRAINING
    finetuning: Training = FINETUNING
    proposals: str = "edge_boxes"
    max_regions: int = 60
    crop: str = "warp"

    def dataset(self, name: str) -> Dataset:
        """Make one of the four sets, "objects", "tagged", "annotated" or "folded".

        A picture is drawn when it is first read, and kept while this process lives: several
        networks learn from the same pictures.
        """
        return _drawn_once(replace(self, backbone="", max_regions=1, crop="warp"), name)

    def _dataset(self, name: str) -> Dataset:
        seed = 1000 * self.seed + _SEEDS[name]
        if name == "objects":  # whose labels no sentiment decides
            generator = replace(self.generator, local_share=0.5)
            n = self._scaled(self.n_objects)
            made = load("scenes-objects", generator=generator, n=n, seed=seed)
            tenth = np.arange(len(made)) % 10 == 0
            return replace(made, folds=np.where(tenth, 1, -1).astype(np.int8))
        n = self._tagged if name == "tagged" else self._scaled(self.n_tested)
        return load(f"scenes-{name}", generator=self.generator, n=n, seed=seed)

    def valence(self, name: str) -> np.ndarray:
        """How the pictures of "tagged" really feel, whatever people wrote: (n,)."""
        seed = 1000 * self.seed + _SEEDS[name]
        return draw_scenes(self.generator, self._tagged, seed).valence

    @property
    def _tagged(self) -> int:
        return max(300, self._scaled(self.n_tagged))  # the held-out tenth is five folds again

    def _scaled(self, n: int) -> int:
        return max(100, round(self.scale * n))

    def facts(self, *names: str) -> dict[str, Any]:
        """Some of the settings, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name in names}


SETTINGS: dict[str, Any] = {
    "local_share": SceneGenerator().local_share,
    **{
        name: getattr(SyntheticProtocol(), name)
        for name in ("scale", "seed", "backbone", "proposals", "max_regions", "crop")
    },
}
"""What an edition may set, and the defaults."""


def parse_synthetic(settings: Mapping[str, Any]) -> SyntheticProtocol:
    """Make settings from names and values, as an edition has them; `local_share` is the world's.

    Raises:
        ValueError: an unknown name, or a value of another type; it lists what there is.

    Example:
        >>> parse_synthetic({"scale": 0.1, "local_share": 1.0}).generator.local_share
        1.0
    """
    given = check_settings(settings, SETTINGS, "the synthetic scenes")
    share = float(given.pop("local_share", SETTINGS["local_share"]))
    return SyntheticProtocol(generator=SceneGenerator(local_share=share), **given)


def restore_synthetic(facts: Mapping[str, Any]) -> SyntheticProtocol:
    """Make the settings that a run's `run.json` tells, so that its pictures can be drawn again.

    Args:
        facts: `asdict` of a `SyntheticProtocol`, from JSON.

    Example:
        >>> restore_synthetic(asdict(SyntheticProtocol(seed=3))) == SyntheticProtocol(seed=3)
        True
    """
    generator: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts["generator"].items()
    }
    trainings = {name: Training(**facts[name]) for name in ("pretraining", "finetuning")}
    return SyntheticProtocol(**{**facts, "generator": SceneGenerator(**generator), **trainings})


def pretrain(settings: SyntheticProtocol, *, progress: bool = True) -> tuple[Backbone, Path]:
    """Train a network on the object set, or take it from the cache.

    Args:
        settings: of the chain.
        progress: show a bar.

    Returns:
        The network, of as many classes as there are objects, and the folder of its training.
    """
    made = settings.dataset("objects")
    network = load_backbone(
        settings.backbone, classes=len(made.emotions), weights="random", seed=settings.seed
    )
    facts = settings.facts("seed", "scale", "n_objects", "backbone", "pretraining")
    facts["generator"] = asdict(replace(settings.generator, local_share=0.5))
    folder = cache_folder("pretrained", facts, *_TRAINING)
    return _train(network, made, folder, settings.pretraining, settings.seed, progress), folder


def fine_tune(
    settings: SyntheticProtocol,
    *,
    pretrained: bool = True,
    clean: bool = False,
    progress: bool = True,
) -> tuple[Backbone, Path]:
    """Train the network on the tagged set, or take it from the cache.

    Args:
        settings: of the chain.
        pretrained: start from `pretrain`; otherwise from random weights.
        clean: learn from the sign of the valence instead of the tags.
        progress: show a bar.

    Returns:
        The network, of two classes, and the folder of its training.
    """
    made = settings.dataset("tagged")
    if clean:
        made = replace(made, labels=(settings.valence("tagged") <= 0).astype(np.int8))
    weights: str | Path = "random"
    if pretrained:
        weights = pretrain(settings, progress=progress)[1] / "network.safetensors"
    network = load_backbone(settings.backbone, classes=2, weights=weights, seed=settings.seed)
    facts = _of_training(settings) | {"pretrained": pretrained, "clean": clean}
    folder = cache_folder("finetuned", facts, *_TRAINING)
    return _train(network, made, folder, settings.finetuning, settings.seed, progress), folder


def progressive(settings: SyntheticProtocol, *, progress: bool = True) -> Progress:
    """Fine-tune as PCNN does: drop undecided tagged pictures and train on; kept likewise.

    Args:
        settings: of the chain.
        progress: show bars.
    """
    network, _ = fine_tune(settings, progress=progress)
    made = settings.dataset("tagged")
    held_out = made.folds == 1
    return train_on(
        network,
        made.subset(~held_out),
        cache_folder("pcnn", _of_training(settings), *_TRAINING, "experiments.baselines"),
        training=replace(settings.finetuning, seed=settings.seed),
        validation=made.subset(held_out),
        progress=progress,
    )


def fine_tune_on_tags(settings: SyntheticProtocol, *, progress: bool = True) -> Backbone:
    """Train the network to tell adjective-noun pairs apart, as DeepSentiBank; kept likewise.

    Args:
        settings: of the chain.
        progress: show a bar.

    Returns:
        The network, of as many classes as the tagged set has pairs.
    """
    made = settings.dataset("tagged").by_tag()
    weights = pretrain(settings, progress=progress)[1] / "network.safetensors"
    classes = len(made.emotions)
    network = load_backbone(settings.backbone, classes=classes, weights=weights, seed=settings.seed)
    folder = cache_folder("tags", _of_training(settings), *_TRAINING)
    return _train(network, made, folder, settings.finetuning, settings.seed, progress)


@lru_cache(maxsize=len(_SEEDS))
def _drawn_once(settings: SyntheticProtocol, name: str) -> Dataset:
    made = settings._dataset(name)
    return replace(made, draw=_Kept(made.draw)) if made.draw else made


class _Kept:
    """Draws a picture once; a copy in another process starts anew."""

    def __init__(self, draw: Callable[[int], np.ndarray]):
        self.draw, self.pictures, self.bytes = draw, {}, 0  # type: ignore[var-annotated]

    def __call__(self, number: int) -> np.ndarray:
        if number in self.pictures:
            return self.pictures[number]
        picture = self.draw(number)
        if self.bytes + picture.nbytes <= _MOST_BYTES:
            self.pictures[number], self.bytes = picture, self.bytes + picture.nbytes
        return picture

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self.draw,)


def _of_training(settings: SyntheticProtocol) -> dict[str, Any]:
    """The settings without those that only scoring reads."""
    of_scoring = ("n_tested", "proposals", "max_regions", "crop")
    return {name: value for name, value in asdict(settings).items() if name not in of_scoring}


def _train(
    network: Backbone,
    made: Dataset,
    folder: Path,
    training: Training,
    seed: int,
    progress: bool,
) -> Backbone:
    held_out = made.folds == 1
    with exclusive_lock(
        folder.with_name(f"{folder.name}.lock"), wait=True
    ):  # two chapters may want one network at once
        return finetune(
            network,
            made.subset(~held_out),
            folder,
            training=replace(training, seed=seed),
            validation=made.subset(held_out),
            progress=progress,
        )


TESTED = ("annotated", "folded", "tagged")
"""The sets that are scored: the columns Twitter I, Twitter II and Flickr of the paper's Table 1."""


CAFFENET = "alexnet_tiny"
"""The network in place of CaffeNet."""


def live_runs(
    settings: SyntheticProtocol, *, progress: bool = True
) -> dict[str, Callable[[Path], Path]]:
    """What an edition of the book makes: name of a run -> function that makes it, once."""

    def make(name: str, _folder: Path) -> Path:
        return with_rows(settings, name, progress=progress)

    return {f"scenes-{name}": partial(make, name) for name in TESTED}


def scored_set(settings: SyntheticProtocol, name: str) -> Dataset:
    """Make a set that is scored, with the folds in which choices are made.

    Args:
        settings: of the chain.
        name: one of `TESTED`; of "tagged", the tenth that no network learned from, in 5 folds.
    """
    made = settings.dataset(name)
    if name != "tagged":
        return made
    held_out = made.subset(made.folds == 1)
    return held_out.with_stratified_folds(5, settings.seed)


def scored(settings: SyntheticProtocol, name: str = "annotated", *, progress: bool = True) -> Path:
    """Score a tested set with the fine-tuned network, or take the run from the cache.

    Args:
        settings: of the chain.
        name: one of `TESTED`.
        progress: show bars.

    Returns:
        The run's folder, as `open_run` opens it.
    """
    run = cache_folder(f"scored-{name}", asdict(settings), *_SCORING) / f"scenes-{name}"
    if not (run / "run.json").exists():
        network, folder = fine_tune(settings, progress=progress)
        made = scored_set(settings, name)
        classifiers = Classifiers.one(network, made)
        propose = make_proposals(settings.proposals, max_regions=settings.max_regions)
        how = {"crop": settings.crop, "batch_size": 256, "progress": progress}
        write_run(
            run,
            lambda out: score_cross_fold(classifiers, made, propose, out, **how),
            experiment={
                "dataset": f"scenes-{name}",
                "synthetic": asdict(settings),
                "network": folder.name,
            },
            dataset=made,
        )
    return run


def with_rows(
    settings: SyntheticProtocol, name: str = "annotated", *, progress: bool = True
) -> Path:
    """Score a tested set and measure the rows of Table 1 that scores cannot fill; kept likewise.

    Args:
        settings: of the chain.
        name: one of `TESTED`.
        progress: show bars.

    Returns:
        The folder that `scored` gives, which now holds `baselines.zarr` too.
    """
    run = scored(settings, name, progress=progress)
    if not (run / "baselines.zarr").is_dir():
        scores, _ = open_run(run)
        made = scored_set(settings, name)
        dataset = made.subset(np.isin(made.keys, scores.image.values.tolist()))
        write_baselines(run, _rows(settings, dataset, scores.load(), progress))
    return run


def bank(settings: SyntheticProtocol, *, progress: bool = True) -> SentiBank:
    """Train a SentiBank on the tagged set, but for its held-out tenth; kept likewise.

    Args:
        settings: of the chain.
        progress: show a bar.
    """
    facts = settings.facts("generator", "seed", "scale", "n_tagged")
    path = (
        cache_folder("sentibank", facts, "datasets", "experiments.baselines") / "bank.safetensors"
    )
    if not path.with_suffix(".json").exists():
        made = settings.dataset("tagged")
        trained = train_bank(made.subset(made.folds != 1), seed=settings.seed, progress=progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        trained.save(path)
    return SentiBank.load(path)


def _rows(
    settings: SyntheticProtocol, dataset: Dataset, scores: xr.Dataset, progress: bool
) -> xr.Dataset:
    classifiers = Classifiers.one(fine_tune(settings, progress=progress)[0], dataset)

    def pcnn(backbone: str) -> Classifiers:
        try:
            network = _progressive(replace(settings, backbone=backbone), progress)
        except TooFewError as error:
            raise Missing(f"PCNN dropped too much to train on: {error}") from error
        return Classifiers.one(network, dataset)

    rows = rows_for(
        dataset,
        scores,
        classifiers,
        plain=pretrain(settings, progress=progress)[0],
        bank=partial(bank, settings, progress=progress),
        deep=partial(fine_tune_on_tags, settings, progress=progress),
        pcnn={
            "PCNN + CaffeNet": partial(pcnn, CAFFENET),
            "PCNN + VGGNet": partial(pcnn, settings.backbone),
        },
        progress=progress,
    )
    return measure_rows(dataset, classifiers, rows, progress=progress)


@lru_cache(maxsize=4)
def _progressive(settings: SyntheticProtocol, progress: bool) -> Backbone:
    """The network that PCNN gives; who is dropped is not asked again for every tested set."""
    return progressive(settings, progress=progress).network
