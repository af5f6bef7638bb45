"""SentiBank (Borth et al. 2013): one linear detector for each adjective-noun pair.

The detectors read low-level features: a colour histogram, GIST, local binary patterns and a bag of
dense SIFT words. Their responses are mid-level features, on which `arlib.networks.fit_head` puts a
sentiment classifier. Borth et al. also read 2,000 attributes, which are not available here.
"""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save as safetensors
from tqdm.auto import tqdm

from arlib.datasets import Dataset, ImageError
from arlib.experiments.baselines.lowlevel import Descriptor, learn_words, low_level, pooled

log = logging.getLogger(__name__)


_SAMPLE = 1_000  # pictures, at most, that the visual words are learned from


_LEAST_SPREAD = 0.01  # of a feature: what hardly varies is not blown up by standardisation


_AHEAD = 256  # pictures that the threads describe before they wait for whoever takes them


@dataclass(frozen=True)
class SentiBank:
    """A bank of detectors: a picture responds to each pair by a linear map of its features.

    Attributes:
        anps: the A adjective-noun pairs, in order.
        descriptor: settings of the features.
        vocabulary: (words, 128) float32, the visual words among RootSIFT descriptors.
        weight: (A, D) float32, on raw features.
        bias: (A,) float32.
        counts: (A,) int, how many pictures of its pair each detector learned from.

    Raises:
        ValueError: parts that do not belong together.
    """

    anps: tuple[str, ...]
    descriptor: Descriptor
    vocabulary: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        n, parts = len(self.anps), (self.vocabulary, self.weight, self.bias, self.counts)
        wanted = [(self.descriptor.words, 128), (n, self.descriptor.length), (n,), (n,)]
        if (found := [part.shape for part in parts]) != wanted:
            raise ValueError(f"vocabulary, weight, bias, counts must be {wanted}, not {found}")

    def responses(self, dataset: Dataset, *, workers: int = 2, progress: bool = True) -> np.ndarray:
        """Tell how strongly every picture responds to each pair.

        Args:
            dataset: the pictures.
            workers: threads that decode and describe; the result does not depend on them.
            progress: show a bar.

        Returns:
            (n, A) float32 decision values, positive where a detector finds its pair; NaN rows for
            unreadable pictures, which are logged.
        """
        found = np.full((len(dataset), len(self.anps)), np.nan, np.float32)
        for row, whole, patches in _described(dataset, self.descriptor, workers, progress):
            features = np.concatenate([whole, pooled(patches, self.vocabulary)])
            found[row] = self.weight @ features + self.bias
        return found

    def save(self, path: str | Path) -> None:
        """Write `path` (safetensors) and, beside it, the same name with .json."""
        path = Path(path)
        names = ("vocabulary", "weight", "bias", "counts")
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in names}
        path.write_bytes(safetensors(tensors))  # ignores strides, hence the contiguous arrays
        facts = {"anps": self.anps, "descriptor": asdict(self.descriptor)}
        path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "SentiBank":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: the .safetensors or its .json is not there.
        """
        path = Path(path)
        tensors = load_file(path)
        facts = json.loads(path.with_suffix(".json").read_text())
        return cls(tuple(facts["anps"]), Descriptor(**facts["descriptor"]), **tensors)


def train_bank(
    dataset: Dataset,
    *,
    descriptor: Descriptor | None = None,
    least: int = 5,
    negatives: int = 3,
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
) -> SentiBank:
    """Learn visual words, then one linear support vector machine a pair, on standardised features.

    The machines have C = 1 and balanced class weights. The standardisation is folded into weight
    and bias, so that the bank reads raw features.

    Args:
        dataset: training pictures; `tags` holds each one's pair. Unreadable ones are left out.
        descriptor: settings of the features.
        least: pictures that a pair needs to get a detector.
        negatives: for each picture of a pair, how many of other pairs its detector learns from.
        seed: of the visual words, of the negatives and of the solver.
        workers: threads that decode and describe; the result does not depend on them.
        progress: show a bar.

    Returns:
        The bank, its pairs in alphabetical order.

    Raises:
        ValueError: no tags, fewer than two pairs with enough pictures, or fewer patches than words.

    Example:
        >>> from arlib.datasets import load
        >>> few = load("scenes-tagged", n=60).subset(slice(40))
        >>> bank = train_bank(few, descriptor=Descriptor(words=8), least=2, progress=False)
        >>> bank.weight.shape == (len(bank.anps), 707)
        True
        >>> bank.responses(few, progress=False).shape == (40, len(bank.anps))
        True
    """
    if dataset.tags is None:
        raise ValueError(f"{dataset.name} has no tags to learn pairs from")
    descriptor = descriptor or Descriptor()
    _pairs(dataset.tags, least)  # asked now, lest every picture is described in vain
    shuffled = dataset.subset(np.random.default_rng(seed).permutation(len(dataset)))
    stream = _described(shuffled, descriptor, workers, progress)
    sample = list(islice(stream, _SAMPLE))
    vocabulary = learn_words([patches for *_, patches in sample], descriptor.words, seed)
    rows: list[int] = []
    features = np.empty((len(dataset), descriptor.length), np.float32)
    for row, whole, patches in chain(sample, stream):
        features[len(rows)] = np.concatenate([whole, pooled(patches, vocabulary)])
        rows.append(row)
    assert shuffled.tags is not None
    features, tags = features[: len(rows)], shuffled.tags[rows]
    anps, counts = _pairs(tags, least)
    weight, bias = _detectors(features, tags, anps, negatives, seed)
    return SentiBank(anps, descriptor, vocabulary, weight, bias, counts)


def _pairs(tags: np.ndarray, least: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Which pairs have at least `least` pictures, and how many they have."""
    anps, counts = np.unique(tags, return_counts=True)
    enough = counts >= least
    if (n := int(enough.sum())) < 2:
        raise ValueError(f"{n} of {len(anps)} pairs have {least} pictures; a bank needs two")
    return tuple(anps[enough].tolist()), counts[enough]


def _detectors(
    features: np.ndarray, tags: np.ndarray, anps: tuple[str, ...], negatives: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (A, D) and bias (A,), pair by pair: liblinear's random numbers are one stream."""
    from sklearn.svm import LinearSVC

    mean = features.mean(0, dtype=np.float64)
    spread = np.maximum(features.std(0, dtype=np.float64), _LEAST_SPREAD)
    weight = np.empty((len(anps), features.shape[1]), np.float32)
    bias = np.empty(len(anps), np.float32)
    for number, anp in enumerate(anps):
        mine, others = np.flatnonzero(tags == anp), np.flatnonzero(tags != anp)
        drawn = np.random.default_rng([seed, number]).permutation(others)
        rows = np.concatenate([mine, drawn[: negatives * len(mine)]])
        machine = LinearSVC(C=1.0, class_weight="balanced", random_state=seed, max_iter=20_000)
        machine.fit((features[rows] - mean) / spread, tags[rows] == anp)
        unscaled = machine.coef_[0] / spread
        weight[number], bias[number] = unscaled, machine.intercept_[0] - unscaled @ mean
    return weight, bias


def _described(
    dataset: Dataset, descriptor: Descriptor, workers: int, progress: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Row, global features and RootSIFT of each readable picture, in order; log the others."""

    def work(row: int) -> tuple[np.ndarray, np.ndarray] | ImageError:
        try:
            return low_level(dataset.read(row), descriptor)
        except ImageError as error:
            return error

    low_level(np.zeros((1, 1, 3), np.uint8), descriptor)  # import and cache before threads do
    n = len(dataset)
    bar = tqdm(total=n, unit="image", disable=not progress, desc=dataset.name)
    with bar, ThreadPoolExecutor(workers) as pool:
        for start in range(0, n, _AHEAD):
            rows = range(start, min(start + _AHEAD, n))
            for row, found in zip(rows, pool.map(work, rows), strict=True):
                bar.update()
                if isinstance(found, ImageError):
                    log.warning("left out: %s", found)
                else:
                    yield row, *found
