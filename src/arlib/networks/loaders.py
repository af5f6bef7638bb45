"""Training batches that depend on seed and step alone, so that a resumed run repeats them."""

from collections import ChainMap
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset, Sampler
from torchvision.transforms import v2

from arlib.datasets import Dataset, DatasetError, ImageError

_CACHE_BYTES = 2 * 2**30  # resized images up to this many bytes are kept in memory

_TRIED = 100  # unreadable images in a row that end training

Place = tuple[int, int]
"""An image's index and its position in the run."""

Item = tuple[torch.Tensor, int, dict[str, str]]
"""An image, its label, and, if another image stands in its place, its key -> the reason."""

Batch = tuple[torch.Tensor, torch.Tensor, dict[str, str]]
"""Images (B, 3, size, size) uint8, labels (B,), and the unreadable images: key -> reason."""


class Schedule(Sampler[list[Place]]):
    """The batches of one round, a fixed number of iterations, out of endlessly shuffled epochs.

    Epoch e is a permutation drawn from (seed, e); position p of the run is place p mod n of epoch
    p // n. With several processes each takes its share of every batch.

    Example:
        >>> [[i for i, _ in batch] for batch in Schedule(4, 2, iterations=2, per_round=10, seed=0)]
        [[2, 0], [1, 3]]
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        iterations: int,
        per_round: int,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ):
        if not 1 <= batch_size <= n:
            raise ValueError(f"a batch of {batch_size} does not fit a set of {n} images")
        if batch_size % processes:
            raise ValueError(f"{processes} processes cannot share batches of {batch_size} evenly")
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.iterations, self.per_round = iterations, per_round
        self.rank, self.processes = rank, processes
        self.round = 0

    @property
    def rounds(self) -> int:
        """The number of rounds in the complete run."""
        return -(-self.iterations // self.per_round)

    @property
    def sampler(self) -> "Schedule":
        """Itself: Lightning calls `set_epoch` of a batch sampler's `sampler`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the round; Lightning calls this before every round."""
        self.round = epoch

    def __len__(self) -> int:
        """Return the number of batches in this round."""
        return min(self.per_round, self.iterations - self.round * self.per_round)

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield this process' part of every batch."""
        share = self.batch_size // self.processes
        order: dict[int, np.ndarray] = {}
        for step in range(len(self)):
            start = (self.round * self.per_round + step) * self.batch_size + self.rank * share
            batch = []
            for position in range(start, start + share):
                epoch, place = divmod(position, self.n)
                if epoch not in order:
                    shuffle = np.random.default_rng([self.seed, epoch])
                    order = {**order, epoch: shuffle.permutation(self.n)}
                batch.append((int(order[epoch][place]), position))
            yield batch


class TrainingImages(TorchDataset):
    """Labelled images warped to one size, as in scoring; or to `resize`, then cropped and mirrored.

    The augmentation of an image depends on the seed and its position in the run alone, and so does
    what takes the place of an unreadable one: a readable one of its class.
    """

    def __init__(self, dataset: Dataset, size: int, *, resize: int | None, mirror: bool, seed: int):
        self.dataset, self.seed = dataset, seed
        self._warp = v2.Resize([resize or size] * 2, antialias=True)
        mirrors = [v2.RandomHorizontalFlip()] if mirror else []
        self._augment = v2.Compose([v2.RandomCrop(size), *mirrors]) if resize else None
        bytes_in_all = 3 * (resize or size) ** 2 * len(dataset)
        self._kept: dict[int, torch.Tensor] | None = {} if bytes_in_all <= _CACHE_BYTES else None
        self._unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def __getitem__(self, place: Place | int) -> Item:
        """Return the image, (3, size, size) uint8, and its label."""
        index, position = place if isinstance(place, tuple) else (place, place)
        pixels = self._readable(index)
        if pixels is None:
            pixels = self._substitute(index, position)
        if self._augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed * 1_000_003 + position)
                pixels = self._augment(pixels)
        reason = self._unreadable.get(index)
        unreadable = {} if reason is None else {str(self.dataset.keys[index]): reason}
        return pixels, int(self.dataset.labels[index]), unreadable

    def _substitute(self, index: int, position: int) -> torch.Tensor:
        """Read another image of the same class, drawn by the position."""
        label = self.dataset.labels[index]
        others = np.flatnonzero(self.dataset.labels == label)
        drawn = np.random.default_rng([self.seed, position, 1]).permutation(others)[:_TRIED]
        for other in drawn.tolist():
            if (pixels := self._readable(other)) is not None:
                return pixels
        raise DatasetError(
            f"{self.dataset.name}: {len(drawn)} images of {self.dataset.emotions[label]} in a row "
            f"are unreadable, such as {self.dataset.path(index)}: {self._unreadable[index]}"
        )

    def _readable(self, index: int) -> torch.Tensor | None:
        if index not in self._unreadable:
            try:
                return self._warped(index)
            except ImageError as error:
                self._unreadable[index] = error.reason
        return None

    def _warped(self, index: int) -> torch.Tensor:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        image = np.require(self.dataset.read(index), requirements=["C", "W"])
        pixels = self._warp(torch.from_numpy(image).permute(2, 0, 1))
        if self._kept is not None:
            self._kept[index] = pixels
        return pixels


def collate(items: Sequence[Item]) -> Batch:
    """Put images, labels and the unreadable images' reasons together."""
    pixels, labels, unreadable = zip(*items, strict=True)
    return torch.stack(pixels), torch.tensor(labels), dict(ChainMap(*unreadable))
