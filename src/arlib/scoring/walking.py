"""Walks over many images at once: what they ask for, cut and run in batches filled across images.

Crops are cut when they are asked for, so that a region that is never asked for costs nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import torch

from arlib.proposals import Proposals, Propose
from arlib.scoring.inference import Run, image_box
from arlib.scoring.walk import Tolerance, Walk

Cut = Callable[[np.ndarray, np.ndarray], torch.Tensor]


Classifier = Callable[[int, np.ndarray], np.ndarray]
"""(number of an image, what the network put out (n, D)) -> probabilities (n, M) float32."""


@dataclass(frozen=True)
class Picture:
    """One image on its way: its pixels are cut when its walk asks for them."""

    index: int
    image: np.ndarray
    proposals: Proposals


@dataclass(eq=False)
class _Active:
    """A picture whose walk goes on; `whole` is what the network said of the full image."""

    picture: Picture
    walk: Walk
    whole: np.ndarray | None = None
    waiting: int = 0


@dataclass
class Effort:
    """What scoring cost and what its certificate rests on.

    Attributes:
        proposed: regions that were proposed.
        scored: regions that the network saw.
        again: regions that it saw twice, the second time in float32.
    """

    proposed: int = 0
    scored: int = 0
    again: int = 0

    def count(self, walk: Walk) -> None:
        """Add a finished walk."""
        self.proposed += len(walk.objectness)
        self.scored += walk.walked
        self.again += int(walk.exact.sum()) if walk.fast else 0

    def to_dict(self, tolerance: Tolerance | None) -> dict[str, Any]:
        """As JSON values, with what is known of a fast network's error."""
        facts = {"proposed": self.proposed, "scored": self.scored, "again": self.again}
        if tolerance is None:
            return facts
        error = {
            "tolerance": tolerance.value,
            "largest_error": tolerance.largest,
            "tolerance_broken": tolerance.broken,
        }
        return facts | error


def picturer(proposals: Propose) -> Callable[[int, np.ndarray], Picture]:
    """(index, image) -> the image and its proposals; nothing is cut."""
    return lambda index, image: Picture(index, image, proposals(image))


@dataclass
class Walker:
    """Runs walks, `batch_size` crops at a time, and keeps their order.

    Attributes:
        runs: "exact", and "fast" if walks are fast.
        cut_whole: (image, boxes) -> crops, for the full image.
        cut_region: likewise, for regions.
        start: objectness -> the walk of an image.
        judge: makes probabilities of what the network puts out.
        batch_size: crops in one pass of the network.
        wave: rows that a walk asks for at once; the fewer, the sooner it can stop.
    """

    runs: Mapping[str, Run]
    cut_whole: Cut
    cut_region: Cut
    start: Callable[[np.ndarray], Walk]
    judge: Classifier
    batch_size: int = 16
    wave: int = 8
    _queues: dict[str, deque[tuple[_Active, int, torch.Tensor]]] = field(default_factory=dict)

    def __call__(self, pictures: Iterable[Picture]) -> Iterator[tuple[Picture, Walk, np.ndarray]]:
        """Yield every picture in order, its finished walk, and its whole-image probability (M,)."""
        self._queues = {how: deque() for how in self.runs}
        active: deque[_Active] = deque()
        for picture in pictures:
            active.append(self._begin(picture))
            while self._fullest() >= self.batch_size or len(active) > self.batch_size:
                self._run_fullest()
                yield from self._finished(active)
        while active:
            self._run_fullest()
            yield from self._finished(active)

    def _begin(self, picture: Picture) -> _Active:
        one = _Active(picture, self.start(picture.proposals.objectness))
        crop = self.cut_whole(picture.image, image_box(picture.image))
        self._queues["exact"].append((one, -1, crop[0]))
        self._ask(one, min(self.wave, max(1, self.batch_size - 1)))  # the full image is in it too
        return one

    def _ask(self, one: _Active, most: int) -> None:
        asked = one.walk.ask(most)
        if asked is None:
            return
        how, rows = asked
        crops = self.cut_region(one.picture.image, one.picture.proposals.boxes[rows])
        self._queues[how].extend(
            (one, int(row), crop) for row, crop in zip(rows, crops, strict=True)
        )
        one.waiting = len(rows)

    def _fullest(self) -> int:
        return max(map(len, self._queues.values()))

    def _run_fullest(self) -> None:
        """Run the longest queue's first crops and tell each walk what the network said."""
        how = max(self._queues, key=lambda name: len(self._queues[name]))
        queue = self._queues[how]
        batch = [queue.popleft() for _ in range(min(self.batch_size, len(queue)))]
        outputs = self.runs[how](torch.stack([crop for _, _, crop in batch]))
        for _, group in groupby(range(len(batch)), key=lambda place: id(batch[place][0])):
            places = list(group)
            one = batch[places[0]][0]
            rows = np.array([batch[place][1] for place in places])
            self._tell(one, how, rows, self.judge(one.picture.index, outputs[places]))

    def _tell(self, one: _Active, how: str, rows: np.ndarray, said: np.ndarray) -> None:
        if rows[0] < 0:  # the full image, always first
            one.whole, rows, said = said[0], rows[1:], said[1:]
        if len(rows):
            one.walk.tell(how, rows, said)
            one.waiting -= len(rows)
            if not one.waiting:
                self._ask(one, self.wave)

    @staticmethod
    def _finished(active: deque[_Active]) -> Iterator[tuple[Picture, Walk, np.ndarray]]:
        while active and active[0].whole is not None and not active[0].waiting:
            one = active.popleft()
            assert one.whole is not None
            yield one.picture, one.walk, one.whole
