"""SentiBank (Borth et al. 2013): one linear detector for each adjective-noun pair.

The detectors read low-level features: a colour histogram, GIST, local binary patterns and a bag of
dense SIFT words. Their responses are mid-level features of a sentiment classifier, from
`arlib.networks.LinearHead.fit`. Borth et al. also read 2,000 attributes, which are not available
here.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save as safetensors

from arlib._support.files import one_line, read_json
from arlib._support.progress import progress_bar
from arlib._support.settings import near, short
from arlib._support.storage import write_atomic
from arlib.datasets import Dataset, ImageError
from arlib.experiments.baselines.lowlevel import Descriptor, learn_words, low_level, pooled

if TYPE_CHECKING:
    from sklearn.svm import LinearSVC

log = logging.getLogger(__name__)


_TENSORS = ("vocabulary", "weight", "bias", "counts")  # of a bank, in its file


LEAST = 5
"""Images that a pair needs for a detector."""

_SAMPLE = 1_000  # images, at most, that the visual words are learned from


_LEAST_SPREAD = 0.01  # of a feature: what hardly varies is not blown up by standardisation


_AHEAD = 256  # images that the threads describe before they wait for the consumer


_ROWS = 16_384  # images whose features are in memory at once


_FIFTHS = 5  # parts of a pair's images and its negatives; a detector is measured on one part


_MEASURED = 20  # images of a pair that its detector is measured on; of few images more parts are


@dataclass(frozen=True)
class SentiBank:
    """A bank of detectors: each responds to an image by a linear map of its features."""

    anps: tuple[str, ...]  # the A adjective-noun pairs, in order
    descriptor: Descriptor
    vocabulary: np.ndarray  # (words, 128) float32, the visual words among RootSIFT descriptors
    weight: np.ndarray  # (A, D) float32, on raw features
    bias: np.ndarray  # (A,) float32
    counts: np.ndarray  # (A,) int, the images of its pair that each detector learned from
    precision: np.ndarray  # (A,) average precision on images held out; NaN where not measured
    dropped: int = 0  # pairs whose detectors did not rank above chance

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        n, parts = len(self.anps), [getattr(self, name) for name in (*_TENSORS, "precision")]
        wanted = [(self.descriptor.words, 128), (n, self.descriptor.length), (n,), (n,), (n,)]
        if (shapes := [part.shape for part in parts]) != wanted:
            names = ", ".join(_TENSORS)
            raise ValueError(f"{names}, precision must be {wanted}, not {shapes}")

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
        facts = {
            "anps": self.anps,
            "images": self.counts.tolist(),  # as in the tensors: for people
            "average precision": [
                None if np.isnan(each) else each for each in self.precision.tolist()
            ],
            "dropped": self.dropped,
            "descriptor": asdict(self.descriptor),
        }
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
        needed = {"anps": list, "average precision": list, "dropped": int, "descriptor": dict}
        facts = read_json(described, needed)
        try:
            tensors = load_file(path)
            arrays = {name: tensors[name] for name in _TENSORS}
            if not_finite := [name for name in _TENSORS if not np.isfinite(arrays[name]).all()]:
                raise ValueError(f"{', '.join(not_finite)} not finite")
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            problem = f"{path} is no bank of detectors, or damaged"
            raise ValueError(f"{problem} ({one_line(error)}): {again}") from error
        try:
            precision = np.array(facts["average precision"], float)
            descriptor = Descriptor(**facts["descriptor"])
            arrays |= {"precision": precision}
            return cls(tuple(facts["anps"]), descriptor, **arrays, dropped=facts["dropped"])
        except (ValueError, TypeError) as error:
            problem = f"{path} and {described.name} are not of one bank"
            raise ValueError(f"{problem} ({one_line(error)}): {again}") from error


def train_bank(
    dataset: Dataset,
    *,
    descriptor: Descriptor | None = None,
    least: int = LEAST,
    most: int | None = None,
    pairs: Sequence[str] = (),
    negatives: int = 3,
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
) -> SentiBank:
    """Learn visual words, then one linear support vector machine a pair, on standardised features.

    A detector learns from the images of its pair, at least `least` of them, and `negatives` times
    as many of other pairs, with C = 1 and balanced class weights. Unreadable images are left out.

    `most` limits them as Borth et al. did, who split each pair's images 80 : 20 and kept the 1,200
    whose detectors work: each is measured on a fifth of its images and negatives, by a detector
    that learned from the others. Where there are more than `most`, those that it does not rank
    above chance are dropped, and of the others those of the highest average precision stay.
    `pairs` names them instead: all of them stay.
    """
    if dataset.tags is None:
        raise ValueError(f"{dataset.name} has no tags to learn pairs from")
    descriptor = descriptor or Descriptor()
    _pairs(dataset.tags, least, named=pairs)  # raises before every image is described in vain
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
    anps, counts = _pairs(tags, least, pairs)
    if lost := sorted(set(pairs) - set(anps)):
        log.warning("SentiBank: no image can be read of %s", ", ".join(lost))
    learn = _Learner(features[: len(rows)], tags, negatives, seed)
    precision, dropped, kept = np.full(len(anps), np.nan), 0, np.arange(len(anps))
    if most is not None:
        bar = progress_bar(anps, unit="pair", show=progress, desc="SentiBank, measured")
        precision, chance = np.array([learn.measure(*each) for each in enumerate(bar)]).T
        if len(anps) > most and not pairs:
            kept, dropped = _chosen(precision, chance, most)
    anps = tuple(anps[number] for number in kept)
    bar = progress_bar(anps, unit="detector", show=progress, desc="SentiBank")
    weight, bias = learn.detectors(bar)
    return SentiBank(
        anps, descriptor, vocabulary, weight, bias, counts[kept], precision[kept], dropped
    )


def _chosen(precision: np.ndarray, chance: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Choose the pairs of the highest average precision above chance; count those below it."""
    above = np.flatnonzero(precision > chance)
    dropped = len(precision) - len(above)
    log.warning(
        "SentiBank: the detectors of %d of %d pairs do not rank above chance and are dropped",
        *(dropped, len(precision)),
    )
    if len(above) < 2:
        raise ValueError(f"the detectors of {len(above)} pairs rank above chance; a bank needs two")
    best = above[np.argsort(-precision[above], kind="stable")]
    return np.sort(best[:most]), dropped


def read_pairs(path: Path, known: Collection[str]) -> tuple[str, ...]:
    """Read a list of adjective-noun pairs: one a line, or a table in the form of 3244ANPs.txt.

    Raises:
        OSError: it cannot be read.
        ValueError: it names no pair, one twice, or one that is not known; with file and line.
    """
    try:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of pairs: {error}") from error
    is_table = any("[sentiment" in text for text in texts)
    lines: dict[str, int] = {}
    for number, text in enumerate(texts, 1):
        pair, table_row, _ = text.partition("[sentiment")
        pair = pair.strip()
        if not pair or pair.startswith("#") or (is_table and not (table_row and "_" in pair)):
            continue
        if pair in lines:
            raise ValueError(f"{path}, line {number}: {pair} is on line {lines[pair]} already")
        if pair not in known:
            raise ValueError(
                f"{path}, line {number}: no image has the pair {short(pair)}{near(pair, known)}"
            )
        lines[pair] = number
    if not lines:
        raise ValueError(f"{path} names no pair")
    return tuple(lines)


def _pairs(
    tags: np.ndarray, least: int, named: Sequence[str] = ()
) -> tuple[tuple[str, ...], np.ndarray]:
    """Find the pairs with at least `least` images, or those named, and count their images."""
    anps, counts = np.unique(tags, return_counts=True)
    enough = np.isin(anps, named) if named else counts >= least
    if (n := int(enough.sum())) < 2:
        what = "that are named have images" if named else f"have {least} images"
        raise ValueError(f"{n} of {len(named or anps)} pairs {what}; a bank needs two")
    return tuple(anps[enough].tolist()), counts[enough]


class _Learner:
    """Learns a pair's detector from its images and some others; one copy of those is scaled."""

    def __init__(self, features: np.ndarray, tags: np.ndarray, negatives: int, seed: int):
        self.features, self.tags, self.negatives, self.seed = features, tags, negatives, seed
        self.mean = self._mean(lambda part: part)
        self.spread = np.maximum(
            np.sqrt(self._mean(lambda part: (part - self.mean) ** 2)), _LEAST_SPREAD
        )

    def _mean(self, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        n = len(self.features)
        parts = (self.features[start : start + _ROWS] for start in range(0, n, _ROWS))
        return np.sum([of(part).sum(0, dtype=np.float64) for part in parts], axis=0) / n

    def images(self, number: int, anp: str) -> tuple[np.ndarray, np.ndarray]:
        """Draw a pair's images and negatives, each in random order: features (n, D), which (n,)."""
        positive, others = np.flatnonzero(self.tags == anp), np.flatnonzero(self.tags != anp)
        shuffled = np.random.default_rng([self.seed, number]).permutation(others)
        rows = np.concatenate([positive, shuffled[: self.negatives * len(positive)]])
        return (self.features[rows] - self.mean) / self.spread, self.tags[rows] == anp

    def fit(self, scaled: np.ndarray, positive: np.ndarray) -> "LinearSVC":
        from sklearn.svm import LinearSVC

        machine = LinearSVC(C=1.0, class_weight="balanced", random_state=self.seed, max_iter=20_000)
        return machine.fit(scaled, positive)

    def detectors(self, anps: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Fit weight (A, D) and bias (A,), in turn: liblinear's random numbers are one stream."""
        weight, bias = [], []
        for number, anp in enumerate(anps):
            machine = self.fit(*self.images(number, anp))
            weight.append(machine.coef_[0] / self.spread)
            bias.append(machine.intercept_[0] - weight[-1] @ self.mean)
        return np.array(weight, np.float32), np.array(bias, np.float32)

    def measure(self, number: int, anp: str) -> tuple[float, float]:
        """Measure a detector on images that it did not learn from: average precision, and chance.

        Both are means over the fifths that are held out; NaN where none can be.
        """
        from sklearn.metrics import average_precision_score

        scaled, positive = self.images(number, anp)
        n = int(positive.sum())
        fifth = np.concatenate([np.arange(n), np.arange(len(positive) - n)]) % _FIFTHS
        measured = []
        for held_out in range(min(_FIFTHS, -(-_MEASURED * _FIFTHS // n))):
            test = fifth == held_out
            if any(len(set(positive[part].tolist())) < 2 for part in (test, ~test)):
                continue
            response = self.fit(scaled[~test], positive[~test]).decision_function(scaled[test])
            precision = average_precision_score(positive[test], response)
            measured.append((precision, chance_precision(int(positive[test].sum()), test.sum())))
        return tuple(np.mean(measured, axis=0)) if measured else (np.nan, np.nan)


def chance_precision(positive: int, n: int) -> float:
    """Give the average precision that a random order of n images has in expectation.

    The image at rank i is positive with probability P / n, and the i - 1 before it hold
    (i - 1) (P - 1) / (n - 1) others on average.
    """
    rank = np.arange(1, n + 1)
    return float(np.mean((1 + (rank - 1) * (positive - 1) / max(n - 1, 1)) / rank))


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
