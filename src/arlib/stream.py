"""Images -> crops -> network output, image by image, with every batch full.

Threads decode and propose while the network runs; OpenCV and Pillow release the interpreter's lock.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from arlib.backbones import Backbone
from arlib.crops import CropMode, crop_regions
from arlib.datasets import Dataset
from arlib.images import ImageError
from arlib.proposals import Proposals

log = logging.getLogger(__name__)

Propose = Callable[[np.ndarray], Proposals]


@dataclass(frozen=True)
class Item:
    """One image on its way through the network: the whole picture first, then its regions."""

    index: int
    proposals: Proposals
    crops: torch.Tensor  # (1 + N, 3, size, size) uint8


def forward(
    network: Backbone, *, features: bool, device: str | None
) -> Callable[[torch.Tensor], np.ndarray]:
    """Uint8 crops (B, 3, size, size) -> features (B, D), or probabilities (B, M)."""
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    fast = network.for_inference().to(where)

    @torch.inference_mode()
    def run(crops: torch.Tensor) -> np.ndarray:
        batch = network.preprocessing.normalize(crops.to(where))
        batch = batch.contiguous(memory_format=torch.channels_last)
        found, logits = fast.features_and_logits(batch)
        return (found if features else logits.softmax(dim=1)).cpu().numpy()

    return run


def preparer(
    network: Backbone, proposals: Propose, crop: CropMode, context: float
) -> Callable[[int, np.ndarray], Item]:
    """(index, image) -> the whole image and its regions, cut for the network."""
    size, fill = network.preprocessing.size, network.preprocessing.fill

    def prepare(index: int, image: np.ndarray) -> Item:
        found = proposals(image)
        whole = crop_regions(image, np.array([[0, 0, image.shape[1], image.shape[0]]]), size)
        cut = crop_regions(image, found.boxes, size, crop=crop, context=context, fill=fill)
        return Item(index, found, torch.cat([whole, cut]))

    return prepare


def prefetch(
    dataset: Dataset, prepare: Callable[[int, np.ndarray], Item], workers: int
) -> Iterator[tuple[int, Item | ImageError]]:
    """Prepare images in threads, in order, at most two a thread ahead of the network."""

    def work(index: int) -> Item | ImageError:
        try:
            return prepare(index, dataset.read(index))
        except ImageError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        queue: deque[tuple[int, Future]] = deque()
        try:
            for index in range(len(dataset)):
                queue.append((index, pool.submit(work, index)))
                if len(queue) > 2 * workers:
                    first, future = queue.popleft()
                    yield first, future.result()
            while queue:
                first, future = queue.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def readable(
    prepared: Iterable[tuple[int, Item | ImageError]],
    dataset: Dataset,
    unreadable: dict[str, str],
    bar: tqdm,
) -> Iterator[Item]:
    """Pass on what could be prepared; log the others and note why under their keys."""
    for index, item in prepared:
        if isinstance(item, ImageError):
            unreadable[str(dataset.keys[index])] = item.reason
            log.warning("left out: %s", item)
            bar.update()
        else:
            yield item


def through(
    run: Callable[[torch.Tensor], np.ndarray], items: Iterable[Item], batch_size: int
) -> Iterator[tuple[Item, np.ndarray]]:
    """Pass crops through the network in batches filled across images; yield image by image."""
    waiting: deque[Item] = deque()
    crops: deque[torch.Tensor] = deque()
    outputs: deque[np.ndarray] = deque()

    def flush(least: int) -> Iterator[tuple[Item, np.ndarray]]:
        while crops and len(crops) >= least:
            batch = torch.stack([crops.popleft() for _ in range(min(batch_size, len(crops)))])
            outputs.extend(run(batch))
            while waiting and len(outputs) >= len(waiting[0].crops):
                item = waiting.popleft()
                yield item, np.stack([outputs.popleft() for _ in range(len(item.crops))])

    for item in items:
        waiting.append(item)
        crops.extend(item.crops)
        yield from flush(batch_size)
    yield from flush(1)
