"""The paper's protocol on synthetic scenes, live: pre-train, fine-tune, propose, score, in minutes.

Every step is taken once and kept (`arlib._support.storage`), so that chapters share it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from arlib._support.storage import cache_folder, exclusive_lock
from arlib.datasets import Dataset, load
from arlib.datasets.scenes import SceneGenerator, draw_scenes
from arlib.experiments.baselines.pcnn import Progress, train_on
from arlib.experiments.baselines.rows import measure_rows, rows_for
from arlib.experiments.baselines.sentibank import SentiBank, train_bank
from arlib.experiments.runs import open_run, write_baselines, write_run
from arlib.networks import Backbone, Training, finetune, load_backbone
from arlib.proposals import make_proposals
from arlib.scoring import Classifiers, score_cross_fold

TESTED = ("annotated", "folded", "tagged")
"""The sets that are scored: the columns Twitter I, Twitter II and Flickr of the paper's Table 1."""

CAFFENET = "alexnet_tiny"
"""The network in place of CaffeNet."""

_SEEDS = {"objects": 1, "tagged": 2, "annotated": 3, "folded": 4}  # no two sets share an image

_MOST_BYTES = 2**29  # of drawn images, a set

# What each stage depends on: a change of other code leaves its folder in use.
SCENES = ("experiments/synthetic.py", "datasets.scenes")
TRAINING = (*SCENES, "networks.finetuning")
PCNN = (*TRAINING, "experiments.baselines.pcnn")
BANK = (*SCENES, "experiments.baselines.sentibank")
SCORING = (
    *PCNN,
    "experiments.baselines.rows",
    "experiments.runs",
    "proposals.registry",
    "scoring.scorer",
)

PRETRAINING = Training(epochs=4, batch_size=32, lr=0.02, head_factor=1, step=0.6)
FINETUNING = Training(epochs=1, batch_size=32, lr=0.01, head_factor=2, step=0.7, round=40)


@dataclass(frozen=True)
class SyntheticProtocol:
    """Settings of the complete protocol on synthetic scenes.

    Attributes:
        generator: of the images.
        seed: of the images and of the training.
        scale: how large the sets are, as a share of the sizes that follow.
        n_objects: images of objects, for pre-training; a tenth is held out.
        n_tagged: tagged images, for fine-tuning; a tenth is held out.
        n_tested: images in each of the sets that are scored.
        backbone: the network.
        pretraining: how it learns objects.
        finetuning: how it then learns sentiment.
        proposals: a name in `arlib.proposals.make_proposals`.
        max_regions: N, the most regions an image.
        crop: "warp" or "square", as `arlib.scoring.score`.
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

        An image is drawn when it is first read, and kept while this process lives: several
        networks learn from the same images.
        """
        return _drawn_once(replace(self, backbone="", max_regions=1, crop="warp"), name)

    def _dataset(self, name: str) -> Dataset:
        seed = 1000 * self.seed + _SEEDS[name]
        if name == "objects":  # whose labels do not depend on sentiment
            generator = replace(self.generator, local_share=0.5)
            n = self._scaled(self.n_objects)
            dataset = load("scenes-objects", generator=generator, n=n, seed=seed)
            tenth = np.arange(len(dataset)) % 10 == 0
            return replace(dataset, folds=np.where(tenth, 1, -1).astype(np.int8))
        n = self._tagged if name == "tagged" else self._scaled(self.n_tested)
        return load(f"scenes-{name}", generator=self.generator, n=n, seed=seed)

    def valence(self, name: str) -> np.ndarray:
        """True valence of the images of "tagged", whatever their tags: (n,)."""
        seed = 1000 * self.seed + _SEEDS[name]
        return draw_scenes(self.generator, self._tagged, seed).valence

    def runs(self, *, progress: bool = True) -> dict[str, Callable[[Path], Path]]:
        """Name the runs, each with the function that makes it, once, in the cache."""

        def measure(name: str, _folder: Path) -> Path:
            return self.score(name, baselines=True, progress=progress)

        return {f"scenes-{name}": partial(measure, name) for name in TESTED}

    def pretrain(self, *, progress: bool = True) -> tuple[Backbone, Path]:
        """Train a network on the object set, or take it from the cache.

        Args:
            progress: show a bar.

        Returns:
            The network, of as many classes as there are objects, and the folder of its training.
        """
        dataset = self.dataset("objects")
        network = load_backbone(
            self.backbone, classes=len(dataset.emotions), weights="random", seed=self.seed
        )
        facts = self._facts("seed", "scale", "n_objects", "backbone", "pretraining")
        facts["generator"] = asdict(replace(self.generator, local_share=0.5))
        folder = cache_folder("pretrained", facts, *TRAINING)
        return self._train(network, dataset, folder, self.pretraining, progress), folder

    def fine_tune(
        self,
        *,
        pretrained: bool = True,
        clean: bool = False,
        progress: bool = True,
    ) -> tuple[Backbone, Path]:
        """Train the network on the tagged set, or take it from the cache.

        Args:
            pretrained: start from `pretrain`; otherwise from random weights.
            clean: learn from the sign of the valence instead of the tags.
            progress: show a bar.

        Returns:
            The network, of two classes, and the folder of its training.
        """
        dataset = self.dataset("tagged")
        if clean:
            dataset = replace(dataset, labels=(self.valence("tagged") <= 0).astype(np.int8))
        weights: str | Path = "random"
        if pretrained:
            weights = self.pretrain(progress=progress)[1] / "network.safetensors"
        network = load_backbone(self.backbone, classes=2, weights=weights, seed=self.seed)
        facts = self._of_training | {"pretrained": pretrained, "clean": clean}
        folder = cache_folder("finetuned", facts, *TRAINING)
        return self._train(network, dataset, folder, self.finetuning, progress), folder

    def progressive(self, *, progress: bool = True) -> Progress:
        """Fine-tune as PCNN does: drop tagged images of high entropy and train on; kept likewise.

        Args:
            progress: show bars.

        Returns:
            The `network`, and which images were `kept`, as `train_on` gives it.
        """
        network, _ = self.fine_tune(progress=progress)
        dataset = self.dataset("tagged")
        held_out = dataset.folds == 1
        return train_on(
            network,
            dataset.subset(~held_out),
            cache_folder("pcnn", self._of_training, *PCNN),
            training=replace(self.finetuning, seed=self.seed),
            validation=dataset.subset(held_out),
            progress=progress,
        )

    def fine_tune_on_tags(self, *, progress: bool = True) -> Backbone:
        """Train the network to classify adjective-noun pairs, as DeepSentiBank; kept likewise."""
        dataset = self.dataset("tagged").by_tag()
        weights = self.pretrain(progress=progress)[1] / "network.safetensors"
        classes = len(dataset.emotions)
        network = load_backbone(self.backbone, classes=classes, weights=weights, seed=self.seed)
        folder = cache_folder("tags", self._of_training, *TRAINING)
        return self._train(network, dataset, folder, self.finetuning, progress)

    def bank(self, *, progress: bool = True) -> SentiBank:
        """Train a SentiBank on the tagged set, but for its held-out tenth; kept likewise."""
        facts = self._facts("generator", "seed", "scale", "n_tagged")
        path = cache_folder("sentibank", facts, *BANK) / "bank.safetensors"
        if not path.with_suffix(".json").exists():
            dataset = self.dataset("tagged")
            learn = dataset.subset(dataset.folds != 1)
            trained = train_bank(learn, seed=self.seed, progress=progress)
            path.parent.mkdir(parents=True, exist_ok=True)
            trained.save(path)
        return SentiBank.load(path)

    def scored_set(self, name: str) -> Dataset:
        """Make one of `TESTED`; of "tagged" the tenth that no network learned from, in 5 folds."""
        dataset = self.dataset(name)
        if name != "tagged":
            return dataset
        held_out = dataset.subset(dataset.folds == 1)
        return held_out.with_stratified_folds(5, self.seed)

    def score(
        self,
        name: str = "annotated",
        *,
        baselines: bool = False,
        progress: bool = True,
    ) -> Path:
        """Score a set with the fine-tuned network, or take the run from the cache.

        Args:
            name: "annotated", "folded", or "tagged", of which the held-out tenth is scored.
            baselines: also measure the rows of Table 1 that scores cannot fill, and the controls.
            progress: show bars.

        Returns:
            The run's folder, as `open_run` opens it.
        """
        run = cache_folder(f"scored-{name}", asdict(self), *SCORING) / f"scenes-{name}"
        if not (run / "run.json").exists():
            network, folder = self.fine_tune(progress=progress)
            dataset = self.scored_set(name)
            classifiers = Classifiers.one(network, dataset)
            propose = make_proposals(self.proposals, max_regions=self.max_regions)
            how = {"crop": self.crop, "batch_size": 256, "progress": progress}
            write_run(
                run,
                lambda out: score_cross_fold(classifiers, dataset, propose, out, **how),
                experiment={
                    "dataset": f"scenes-{name}",
                    "synthetic": asdict(self),
                    "network": folder.name,
                },
                dataset=dataset,
            )
        if baselines and not (run / "baselines.zarr").is_dir():
            scores = open_run(run).scores.load()
            dataset = self.scored_set(name)
            dataset = dataset.subset(np.isin(dataset.keys, scores.image.values.tolist()))
            write_baselines(run, self._rows(dataset, scores, progress))
        return run

    def _rows(self, dataset: Dataset, scores: xr.Dataset, progress: bool) -> xr.Dataset:
        """Measure the rows that scores alone cannot fill, and the controls."""
        classifiers = Classifiers.one(self.fine_tune(progress=progress)[0], dataset)

        def pcnn(backbone: str) -> Classifiers:
            network = _progressive(replace(self, backbone=backbone), progress)
            return Classifiers.one(network, dataset)

        rows = rows_for(
            dataset,
            scores,
            classifiers,
            plain=self.pretrain(progress=progress)[0],
            bank=partial(self.bank, progress=progress),
            deep=partial(self.fine_tune_on_tags, progress=progress),
            pcnn={
                "PCNN + CaffeNet": partial(pcnn, CAFFENET),
                "PCNN + VGGNet": partial(pcnn, self.backbone),
            },
            progress=progress,
        )
        return measure_rows(dataset, classifiers, rows, progress=progress)

    def _train(
        self,
        network: Backbone,
        dataset: Dataset,
        folder: Path,
        training: Training,
        progress: bool,
    ) -> Backbone:
        held_out = dataset.folds == 1
        lock = folder.with_name(f"{folder.name}.lock")
        with exclusive_lock(lock, wait=True):  # two chapters may want one network at once
            return finetune(
                network,
                dataset.subset(~held_out),
                folder,
                training=replace(training, seed=self.seed),
                validation=dataset.subset(held_out),
                progress=progress,
            )

    @property
    def _tagged(self) -> int:
        return max(300, self._scaled(self.n_tagged))  # the held-out tenth is five folds again

    def _scaled(self, n: int) -> int:
        return max(100, round(self.scale * n))

    def _facts(self, *names: str) -> dict[str, Any]:
        """Some of the settings, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name in names}

    @property
    def _of_training(self) -> dict[str, Any]:
        """The settings without those that only scoring reads, as JSON values."""
        of_scoring = ("n_tested", "proposals", "max_regions", "crop")
        return {name: value for name, value in asdict(self).items() if name not in of_scoring}


def restore_synthetic(facts: Mapping[str, Any]) -> SyntheticProtocol:
    """Make the settings again from `asdict` of them, as run.json has it."""
    generator: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts["generator"].items()
    }
    trainings = {name: Training.parse(facts[name]) for name in ("pretraining", "finetuning")}
    return SyntheticProtocol(**{**facts, "generator": SceneGenerator(**generator), **trainings})


@lru_cache(maxsize=len(_SEEDS))
def _drawn_once(settings: SyntheticProtocol, name: str) -> Dataset:
    dataset = settings._dataset(name)
    return replace(dataset, draw=_Kept(dataset.draw)) if dataset.draw else dataset


class _Kept:
    """Draw an image once; a copy in another process starts anew."""

    def __init__(self, draw: Callable[[int], np.ndarray]):
        self.draw, self.images, self.bytes = draw, {}, 0  # type: ignore[var-annotated]

    def __call__(self, number: int) -> np.ndarray:
        if number in self.images:
            return self.images[number]
        image = self.draw(number)
        if self.bytes + image.nbytes <= _MOST_BYTES:
            self.images[number], self.bytes = image, self.bytes + image.nbytes
        return image

    def __reduce__(self) -> tuple[Any, ...]:
        return _Kept, (self.draw,)


@lru_cache(maxsize=4)
def _progressive(settings: SyntheticProtocol, progress: bool) -> Backbone:
    """Train as `progressive`; the images to drop are not computed again for every tested set."""
    return settings.progressive(progress=progress).network
