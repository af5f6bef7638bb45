"""Images -> crops -> network output, image by image, with every batch full.

Threads decode and propose while the network runs; OpenCV and Pillow release the interpreter's lock.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from tqdm.auto import tqdm

from arlib.backbones import Backbone
from arlib.crops import CropMode, crop_regions
from arlib.datasets import Dataset
from arlib.images import ImageError
from arlib.precision import Precision, best_device, settle
from arlib.proposals import Proposals

log = logging.getLogger(__name__)

Propose = Callable[[np.ndarray], Proposals]
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One image on its way through the network: the whole picture first, then its regions."""

    index: int
    proposals: Proposals
    crops: torch.Tensor  # (1 + N, 3, size, size) uint8


Run = Callable[[torch.Tensor], np.ndarray]
"""Uint8 crops (B, 3, size, size) -> features (B, D), or probabilities (B, M), float32."""


def forward(
    network: Backbone,
    *,
    features: bool,
    device: str | None,
    precision: Precision = "float32",
) -> Run:
    """Make the function that runs a network: folded batch norms, channels last, no gradients.

    Args:
        network: the backbone.
        features: give features (B, D); otherwise probabilities (B, M).
        device: None takes a GPU if there is one.
        precision: of weights and activations; pixels are normalised and classes weighed by the
            softmax in float32.
    """
    where = best_device(device)
    dtype = settle(precision, where)
    fast = network.for_inference().to(where, dtype)

    @torch.inference_mode()
    def run(crops: torch.Tensor) -> np.ndarray:
        if where.type == "cuda" and crops.device.type == "cpu":
            crops = crops.pin_memory()  # so that the copy does not wait, nor is waited for
        batch = network.preprocessing.normalize(crops.to(where, non_blocking=True)).to(dtype)
        batch = batch.contiguous(memory_format=torch.channels_last)
        found, logits = fast.features_and_logits(batch)
        return (found.float() if features else logits.float().softmax(dim=1)).cpu().numpy()

    return run


def cutter(
    network: Backbone, crop: CropMode, context: float, device: str | None
) -> Callable[[np.ndarray, np.ndarray], torch.Tensor]:
    """(image, boxes) -> crops for the network, cut where the network runs."""
    size, fill = network.preprocessing.size, network.preprocessing.fill
    where = best_device(device)

    def cut(image: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        how = {"crop": crop, "context": context, "fill": fill}
        return crop_regions(image, boxes, size, device=where, **how)  # type: ignore[arg-type]

    return cut


def whole_box(image: np.ndarray) -> np.ndarray:
    """Give the box (1, 4) of the whole image."""
    return np.array([[0, 0, image.shape[1], image.shape[0]]])


def preparer(
    network: Backbone,
    proposals: Propose,
    crop: CropMode,
    context: float,
    device: str | None = None,
) -> Callable[[int, np.ndarray], Item]:
    """(index, image) -> the whole image and its regions, cut for the network."""
    cut_whole = cutter(network, "warp", 0.0, device)
    cut_region = cutter(network, crop, context, device)

    def prepare(index: int, image: np.ndarray) -> Item:
        found = proposals(image)
        crops = [cut_whole(image, whole_box(image)), cut_region(image, found.boxes)]
        return Item(index, found, torch.cat(crops))

    return prepare


def prefetch(
    dataset: Dataset, prepare: Callable[[int, np.ndarray], T], workers: int
) -> Iterator[tuple[int, T | ImageError]]:
    """Prepare images in threads, in order, at most two a thread ahead of the network."""

    def work(index: int) -> T | ImageError:
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
    prepared: Iterable[tuple[int, T | ImageError]],
    dataset: Dataset,
    unreadable: dict[str, str],
    bar: tqdm,
) -> Iterator[T]:
    """Pass on what could be prepared; log the others and note why under their keys."""
    for index, item in prepared:
        if isinstance(item, ImageError):
            unreadable[str(dataset.keys[index])] = item.reason
            log.warning("left out: %s", item)
            bar.update()
        else:
            yield item


def through(run: Run, items: Iterable[Item], batch_size: int) -> Iterator[tuple[Item, np.ndarray]]:
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
