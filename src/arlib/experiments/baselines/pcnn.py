"""PCNN, progressive fine-tuning on noisy labels (You et al. 2015)."""

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arlib._support.storage import write_atomic
from arlib.datasets import Dataset
from arlib.networks import Backbone, Training, finetune
from arlib.scoring import global_outputs


def drop_probability(probability: npt.ArrayLike) -> np.ndarray:
    r"""Compute the probability that a training image is dropped, from the network's responses.

    .. math:: p_i = \max(0,\; 2 - e^{|s_{i1} - s_{i2}|})

    The rule of You et al. (2015): an image is dropped when the two responses are equal, and kept
    when they differ by log 2 = 0.69 or more. With more than two classes the two greatest responses
    are compared.

    Args:
        probability: (n, M) responses in [0, 1] of the network to its training images.

    Returns:
        (n,) in [0, 1]; NaN where a response is.

    Raises:
        ValueError: another shape, or fewer than two classes.

    Example:
        >>> drop_probability([[0.5, 0.5], [0.6, 0.4], [0.9, 0.1]]).round(3)
        array([1.   , 0.779, 0.   ])
    """
    probability = np.asarray(probability, float)
    if probability.ndim != 2 or probability.shape[1] < 2:
        raise ValueError(f"probability must be (n, M) with M >= 2, not {probability.shape}")
    second, first = np.sort(probability, axis=1)[:, -2:].T
    return np.maximum(0, 2 - np.exp(first - second))


@dataclass(frozen=True)
class Progress:
    """The result of one progressive round."""

    network: Backbone
    kept: np.ndarray  # (n,) bool, the training images that were not dropped
    expected: float  # mean drop probability
    unreadable: int = 0  # images that were neither kept nor dropped

    @property
    def dropped(self) -> float:
        """The share of the readable images that were dropped."""
        return float(1 - self.kept.sum() / (len(self.kept) - self.unreadable))


def train_on(
    network: Backbone,
    dataset: Dataset,
    folder: str | Path,
    *,
    training: Training | None = None,
    validation: Dataset | None = None,
    progress: bool = True,
) -> Progress:
    """Drop images by the rule and train on with those that are left: one progressive round.

    Unreadable images are logged and left out.

    Args:
        network: fine-tuned on the set already; changed in place.
        dataset: the training images.
        folder: takes `dropped.json` and what `arlib.networks.finetune` writes; the same call
            again resumes.
        training: the settings of the second training; its seed also draws the images to drop.
        validation: held-out images.
        progress: show bars.

    Returns:
        The trained `network`, `kept` (n,) bool, `expected`, the mean drop probability, `dropped`,
        the share of the readable images that were dropped, and `unreadable`, how many were not.

    Raises:
        ValueError: too few images are left, or all of one class.
    """
    training, folder = training or Training(), Path(folder)
    chance = _chance(network, dataset, folder, progress)
    kept = np.random.default_rng([training.seed, 4]).random(len(dataset)) >= chance
    unreadable = np.isnan(chance)
    trained = finetune(
        network,
        dataset.subset(kept),
        folder,
        training=training,
        validation=validation,
        progress=progress,
    )
    done = Progress(trained, kept, float(np.nanmean(chance)), int(unreadable.sum()))
    facts = {
        "images": len(dataset),
        "dropped": done.dropped,
        "expected": done.expected,
        "unreadable": dataset.keys[unreadable].tolist(),
    }
    write_atomic(folder / "dropped.json", json.dumps(facts, indent=1) + "\n")
    return done


def _chance(network: Backbone, dataset: Dataset, folder: Path, progress: bool) -> np.ndarray:
    """Compute each image's drop probability, once: (n,), NaN where it is unreadable."""
    kept = folder / ".chance.npz"  # hidden, since the folder of a new training must be empty
    digest = hashlib.sha256("\n".join([network.sha256(), *dataset.keys.tolist()]).encode())
    if kept.is_file():
        with np.load(kept) as arrays:
            if str(arrays["of"]) == digest.hexdigest():
                return np.asarray(arrays["chance"])
    chance = drop_probability(global_outputs(dataset, network, progress=progress))
    folder.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    np.savez(content, chance=chance, of=digest.hexdigest())
    write_atomic(kept, content.getvalue())
    return chance
