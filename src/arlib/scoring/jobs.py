"""Jobs: images and what scores them, with a hash of everything that decides the numbers."""

import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from arlib import datasets
from arlib._support.provenance import code_sha256
from arlib.datasets import Dataset, ImageError
from arlib.networks import (
    Backbone,
    LinearHead,
    Model,
    load_backbone,
    load_model,
    resolve_device,
    resolve_engine,
)
from arlib.proposals import Propose, bound, make_proposals
from arlib.scoring.cross_fold import Heads, InnerHeads, check_heads

_NO_KEY = {"batch_size", "workers", "progress", "engine"}  # change no score, or stand resolved


@dataclass(frozen=True)
class Job:
    """Images, and what scores them: the arguments of `score`, and its settings by name."""

    dataset: Dataset
    proposals: Propose
    network: Backbone
    head: Heads = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None  # facts of what was trained; they decide no number
    inner: InnerHeads | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        check_heads(self.dataset, self.network, self.head, self.inner)
        # of all images, of which a shard may hold none that a file of boxes names
        object.__setattr__(self, "proposals", bound(self.proposals, self.dataset.keys))

    @cached_property
    def sha256(self) -> str:
        """Hash all that decides the numbers, but the images: code, weights, head, settings."""
        kind = type(self.proposals)
        facts = {
            "code": code_sha256("scoring.scorer", "scoring/shards.py", "proposals"),
            "proposals": [kind.__module__, kind.__qualname__, asdict(self.proposals)],  # type: ignore[call-overload]
            "weights": [self.network.name, self.network.sha256()],
            "head": [_head_facts(self.head), _head_facts(self.inner)],
            "dataset": [self.dataset.name, self.dataset.max_pixels, *self.dataset.emotions],
            "settings": {k: v for k, v in self.settings.items() if k not in _NO_KEY},
            "engine": self.engine,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def engine(self) -> str:
        """What runs the network on this machine."""
        names = ("engine", "device", "precision", "features")
        how = {name: self.settings[name] for name in names if name in self.settings}
        return resolve_engine(self.network, **how)

    def image_sha256(self, index: int) -> str:
        """Hash one image: its key, label and fold, and its bytes, or why there are none."""
        dataset = self.dataset
        digest = hashlib.sha256()
        row = [str(dataset.keys[index]), int(dataset.labels[index]), int(dataset.folds[index])]
        digest.update(json.dumps(row).encode())
        if dataset.draw is None:
            _hash_file(digest, dataset.path(index))
        else:
            try:
                image = dataset.read(index)
                digest.update(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes())
            except ImageError as error:
                digest.update(f"unreadable: {error.reason}".encode())
        return digest.hexdigest()

    def key(self, images: list[str]) -> str:
        """Name what comes of images, each given by its hash."""
        return hashlib.sha256("\n".join([self.sha256, *images]).encode()).hexdigest()


def named_job(
    *,
    dataset: str | None = None,
    dataset_settings: Mapping[str, Any] | None = None,
    images: str | Path | None = None,
    model: str | Path | None = None,
    head: str | Path | None = None,
    trusted: bool = False,
    backbone: str | None = None,
    weights: str | Path = "auto",
    proposals: str = "edge_boxes",
    max_regions: int = 100,
    deadline: float | None = None,
    max_pixels: int | None = None,
    **settings: Any,
) -> Job:
    """Make a job from names, as `score_in_shards` describes them: the same on any machine."""
    # what is asked for, and whether it fits together
    if head and backbone:
        raise ValueError("give a head, which names its network, or a backbone, not both")
    if model and (head or backbone or weights != "auto"):
        raise ValueError(f"the model {model} has its network and weights: give no others beside it")
    if weights != "auto" and not backbone:
        raise ValueError(f"the weights {weights} are of a backbone: give its name too")
    if bool(dataset) == bool(images):
        raise ValueError("give one of a dataset's name and a folder of images")
    source: Dataset | None = None
    if dataset:  # first: where it is missing no weights are fetched
        source = datasets.load(dataset, max_pixels=max_pixels, **(dataset_settings or {}))
    # what predicts, where it knows its emotions: all but a backbone by its own classes
    trained: Model | None = None
    if model or head:
        trained = load_model(model or head or "", trusted=trusted)
        if head and trained.head is None:
            raise ValueError(f"{head} is no linear head, but a network: give it as the model")
    elif not backbone:
        linear = LinearHead.default()
        trained = Model(load_backbone(linear.backbone), linear.emotions, linear)
    if source is None:
        emotions = trained.emotions if trained else None
        folder = Path(images or "").absolute()
        source = datasets.load(folder, max_pixels=max_pixels, labels=False, emotions=emotions)
    if trained and trained.emotions != tuple(source.emotions):
        raise ValueError(
            f"{model or head or 'the head of the package'} predicts {_listed(trained.emotions)}, "
            f"and {dataset or images} has {_listed(source.emotions)}"
        )
    # the network, its precision and the proposals
    if trained is None:
        assert backbone is not None
        network = load_backbone(backbone, classes=len(source.emotions), weights=weights)
        trained = Model(network, tuple(source.emotions))
    if settings.get("precision") == "auto":  # as this machine has it: others may have it otherwise
        _, dtype = resolve_device(precision="auto")
        settings["precision"] = "bf16" if dtype == torch.bfloat16 else "float32"
    method = make_proposals(proposals, deadline=deadline, max_regions=max_regions)
    facts = trained.facts if model else None
    return Job(source, method, trained.network, trained.head, settings, facts)


def _listed(emotions: Sequence[str]) -> str:
    """List emotions in a line, the first few of many."""
    return ", ".join(emotions[:8]) + (f", … ({len(emotions)})" if len(emotions) > 8 else "")


def _hash_file(digest: Any, path: Path) -> None:
    """Hash a regular file's bytes, up to its size at opening; of anything else, hash its kind."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            digest.update(f"mode {status.st_mode}".encode())
            return
        left = status.st_size
        with path.open("rb") as file:
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
    except OSError as error:
        digest.update(f"errno {error.errno}".encode())


def _head_facts(head: Heads | InnerHeads) -> Any:
    """Describe heads by their numbers: JSON values."""
    if head is None:
        return None
    if isinstance(head, LinearHead):
        digest = hashlib.sha256()
        for array in (head.weight, head.bias):
            digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        return [head.backbone, *head.emotions, head.provenance, digest.hexdigest()]
    return {str(fold): _head_facts(linear) for fold, linear in sorted(head.items())}
