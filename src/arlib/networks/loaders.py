"""Training batches that depend on the seed and the step alone: whoever resumes sees the same."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset, Sampler
from torchvision.transforms import v2

from arlib.datasets import Dataset

_CACHE_BYTES = 2 * 2**30  # resized pictures up to this many bytes are kept in memory


Place = tuple[int, int]
"""Which picture, and its place in the run: (index, position)."""


class Schedule(Sampler[list[Place]]):
    """The batches of one round, a fixed number of iterations, out of endlessly shuffled epochs.

    Epoch e is a permutation drawn from (seed, e); position p of the run is place p mod n of epoch
    p // n. With several processes each takes its share of every batch.

    Args:
        n: pictures in the set.
        batch_size: of all processes together.
        iterations: in the whole run.
        per_round: iterations in a round.
        seed: of the permutations.
        rank: of this process.
        processes: how many share a batch.

    Raises:
        ValueError: the batch is larger than the set, or the processes cannot share it evenly.

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
            raise ValueError(f"a batch of {batch_size} does not fit a set of {n} pictures")
        if batch_size % processes:
            raise ValueError(f"{processes} processes cannot share batches of {batch_size} evenly")
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.iterations, self.per_round = iterations, per_round
        self.rank, self.processes = rank, processes
        self.round = 0

    @property
    def rounds(self) -> int:
        """How many rounds the whole run has."""
        return -(-self.iterations // self.per_round)

    @property
    def sampler(self) -> "Schedule":
        """Where Lightning looks for whom to tell the round."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every round."""
        self.round = epoch

    def __len__(self) -> int:
        """Count the batches of this round."""
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
    """Pictures of a dataset at one size, augmented or not, with their labels.

    Args:
        dataset: the pictures; every one must be labelled.
        size: height and width that the network wants, in pixels.
        resize: height and width before the random crop; None turns augmentation off, and the
            whole picture is warped to `size`, as in scoring.
        mirror: mirror half of the pictures.
        seed: of the augmentation, with a picture's position in the run.
    """

    def __init__(self, dataset: Dataset, size: int, *, resize: int | None, mirror: bool, seed: int):
        self.dataset, self.seed = dataset, seed
        self._warp = v2.Resize([resize or size] * 2, antialias=True)
        label_changes = [v2.RandomHorizontalFlip()] if mirror else []
        self._augment = v2.Compose([v2.RandomCrop(size), *label_changes]) if resize else None
        bytes_in_all = 3 * (resize or size) ** 2 * len(dataset)
        self._kept: dict[int, torch.Tensor] | None = {} if bytes_in_all <= _CACHE_BYTES else None

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.dataset)

    def __getitem__(self, place: Place | int) -> tuple[torch.Tensor, int]:
        """Give (3, size, size) uint8 and the label."""
        index, position = place if isinstance(place, tuple) else (place, place)
        pixels = self._warped(index)
        if self._augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed * 1_000_003 + position)
                pixels = self._augment(pixels)
        return pixels, int(self.dataset.labels[index])

    def _warped(self, index: int) -> torch.Tensor:
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        picture = np.require(self.dataset.read(index), requirements=["C", "W"])
        pixels = self._warp(torch.from_numpy(picture).permute(2, 0, 1))
        if self._kept is not None:
            self._kept[index] = pixels
        return pixels
