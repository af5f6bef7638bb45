"""SentiBank (Borth et al. 2013): one linear detector for each adjective-noun pair.

The detectors read low-level features: a colour histogram, GIST, local binary patterns and a bag of
dense SIFT words. Their responses are mid-level features of a sentiment classifier, from
`arlib.networks.LinearHead.fit`. Borth et al. also read 2,000 attributes, which are not available
here.
"""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save as safetensors

from arlib._support.files import one_line, read_json
from arlib._support.progress import progress_bar
from arlib._support.storage import write_atomic
from arlib.datasets import Dataset, ImageError
from arlib.experiments.baselines.lowlevel import Descriptor, learn_words, low_level, pooled

log = logging.getLogger(__name__)


_TENSORS = ("vocabulary", "weight", "bias", "counts")  # of a bank, in its file


_SAMPLE = 1_000  # images, at most, that the visual words are learned from


_LEAST_SPREAD = 0.01  # of a feature: what hardly varies is not blown up by standardisation


_AHEAD = 256  # images that the threads describe before they wait for the consumer


@dataclass(frozen=True)
class SentiBank:
    """A bank of detectors: each responds to an image by a linear map of its features."""

    anps: tuple[str, ...]  # the A adjective-noun pairs, in order
    descriptor: Descriptor
    vocabulary: np.ndarray  # (words, 128) float32, the visual words among RootSIFT descriptors
    weight: np.ndarray  # (A, D) float32, on raw features
    bias: np.ndarray  # (A,) float32
    counts: np.ndarray  # (A,) int, the images of its pair that each detector learned from

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        n, parts = len(self.anps), (self.vocabulary, self.weight, self.bias, self.counts)
        wanted = [(self.descriptor.words, 128), (n, self.descriptor.length), (n,), (n,)]
        if (shapes := [part.shape for part in parts]) != wanted:
            raise ValueError(f"vocabulary, weight, bias, counts must be {wanted}, not {shapes}")

    def responses(self, dataset: Dataset, *, workers: int = 2, progress: bool = True) -> np.ndarray:
        """Compute decision values (n, A) float32; NaN for unreadable images, which are logged."""
        values = np.full((len(dataset), len(self.anps)), np.nan, np.float32)
        for row, global_, patches in _described(dataset, self.descriptor, workers, progress):
            features = np.concatenate([global_, pooled(patches, self.vocabulary)])
            values[row] = self.weight @ features + self.bias
        return values

    def save(self, path: str | Path) -> None:
        """Write `path` (safetensors) and, beside it, the same name with .json."""
        path = Path(path)
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}
        write_atomic(path, safetensors(tensors))  # ignores strides, hence the contiguous arrays
        facts = {"anps": self.anps, "descriptor": asdict(self.descriptor)}
        write_atomic(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "SentiBank":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: one of the two files is missing.
            ValueError: one of them is damaged, or they are not of one bank; it names the file.
        """
        path = Path(path)
        described = path.with_suffix(".json")
        again = "remove both files, and train it again"
        facts = read_json(described, {"anps": list, "descriptor": dict})
        try:
            tensors = load_file(path)
            arrays = {name: tensors[name] for name in _TENSORS}
            if broken := [name for name in _TENSORS if not np.isfinite(arrays[name]).all()]:
                raise ValueError(f"{', '.join(broken)} not finite")
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            problem = f"{path} is no bank of detectors, or damaged"
            raise ValueError(f"{problem} ({one_line(error)}): {again}") from error
        try:
            return cls(tuple(facts["anps"]), Descriptor(**facts["descriptor"]), **arrays)
        except (ValueError, TypeError) as error:
            problem = f"{path} and {described.name} are not of one bank"
            raise ValueError(f"{problem} ({one_line(error)}): {again}") from error


def train_bank(
    dataset: Dataset,
    *,
    descriptor: Descriptor | None = None,
    least: int = 5,
    most: int | None = None,
    negatives: int = 3,
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
) -> SentiBank:
    """Learn visual words, then one linear support vector machine a pair, on standardised features.

    A detector learns from the images of its pair, at least `least` of them, and `negatives` times
    as many of other pairs, with C = 1 and balanced class weights; of more than `most` pairs the
    most frequent ones get a detector. Unreadable images are left out.
    """
    if dataset.tags is None:
        raise ValueError(f"{dataset.name} has no tags to learn pairs from")
    descriptor = descriptor or Descriptor()
    _pairs(dataset.tags, least)  # raises before every image is described in vain
    shuffled = dataset.subset(np.random.default_rng(seed).permutation(len(dataset)))
    stream = _described(shuffled, descriptor, workers, progress)
    sample = list(islice(stream, _SAMPLE))
    vocabulary = learn_words([patches for *_, patches in sample], descriptor.words, seed)
    rows: list[int] = []
    # in a file: of half a million images they take gigabytes
    shape = (len(dataset), descriptor.length)
    with TemporaryFile() as file:
        features = np.memmap(file, np.float32, "w+", shape=shape)
    for row, global_, patches in chain(sample, stream):
        features[len(rows)] = np.concatenate([global_, pooled(patches, vocabulary)])
        rows.append(row)
    assert shuffled.tags is not None
    tags = shuffled.tags[rows]
    anps, counts = _pairs(tags, least, most)
    learned = features[: len(rows)]
    weight, bias = _detectors(learned, tags, anps, negatives, seed, progress=progress)
    return SentiBank(anps, descriptor, vocabulary, weight, bias, counts)


def _pairs(
    tags: np.ndarray, least: int, most: int | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Find the pairs with at least `least` images, the `most` most frequent ones; count those."""
    anps, counts = np.unique(tags, return_counts=True)
    enough = counts >= least
    if (n := int(enough.sum())) < 2:
        raise ValueError(f"{n} of {len(anps)} pairs have {least} images; a bank needs two")
    anps, counts = anps[enough], counts[enough]
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
    return tuple(anps[kept].tolist()), counts[kept]


def _detectors(
    features: np.ndarray,
    tags: np.ndarray,
    anps: tuple[str, ...],
    negatives: int,
    seed: int,
    *,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit weight (A, D) and bias (A,), pair by pair: liblinear's random numbers are one stream."""
    from sklearn.svm import LinearSVC

    mean = features.mean(0, dtype=np.float64)
    spread = np.maximum(features.std(0, dtype=np.float64), _LEAST_SPREAD)
    weight = np.empty((len(anps), features.shape[1]), np.float32)
    bias = np.empty(len(anps), np.float32)
    bar = progress_bar(anps, unit="detector", show=progress, desc="SentiBank")
    for number, anp in enumerate(bar):
        positive, others = np.flatnonzero(tags == anp), np.flatnonzero(tags != anp)
        shuffled = np.random.default_rng([seed, number]).permutation(others)
        rows = np.concatenate([positive, shuffled[: negatives * len(positive)]])
        machine = LinearSVC(C=1.0, class_weight="balanced", random_state=seed, max_iter=20_000)
        machine.fit((features[rows] - mean) / spread, tags[rows] == anp)
        unscaled = machine.coef_[0] / spread
        weight[number], bias[number] = unscaled, machine.intercept_[0] - unscaled @ mean
    return weight, bias


def _described(
    dataset: Dataset, descriptor: Descriptor, workers: int, progress: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield row, global features and RootSIFT of each readable image, in order; log the others."""

    def describe(row: int) -> tuple[np.ndarray, np.ndarray] | ImageError:
        try:
            return low_level(dataset.read(row), descriptor)
        except ImageError as error:
            return error

    low_level(np.zeros((1, 1, 3), np.uint8), descriptor)  # import and cache before threads do
    n = len(dataset)
    bar = progress_bar(total=n, unit="image", show=progress, desc=dataset.name)
    with bar, ThreadPoolExecutor(workers) as pool:
        for start in range(0, n, _AHEAD):
            rows = range(start, min(start + _AHEAD, n))
            for row, described in zip(rows, pool.map(describe, rows), strict=True):
                bar.update()
                if isinstance(described, ImageError):
                    log.warning("left out: %s", described)
                else:
                    yield row, *described
