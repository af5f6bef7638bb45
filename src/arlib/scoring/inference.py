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

from arlib.datasets import Dataset, ImageError
from arlib.networks import Backbone, Precision, best_device, resolve_dtype
from arlib.proposals import Proposals, Propose
from arlib.scoring.crops import CropMode, crop_regions

log = logging.getLogger(__name__)


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
    dtype = resolve_dtype(precision, where)
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


def image_box(image: np.ndarray) -> np.ndarray:
    """Give the box (1, 4) of the full image."""
    return np.array([[0, 0, image.shape[1], image.shape[0]]])


def preparer(
    network: Backbone,
    proposals: Propose,
    crop: CropMode,
    context: float,
    device: str | None = None,
) -> Callable[[int, np.ndarray], Item]:
    """(index, image) -> the full image and its regions, cut for the network."""
    cut_whole = cutter(network, "warp", 0.0, device)
    cut_region = cutter(network, crop, context, device)

    def prepare(index: int, image: np.ndarray) -> Item:
        found = proposals(image)
        crops = [cut_whole(image, image_box(image)), cut_region(image, found.boxes)]
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


def image_features(
    dataset: Dataset,
    network: Backbone,
    *,
    batch_size: int = 16,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, dict[str, str]]:
    """Penultimate features of every full image, cut exactly as `score` cuts the full image.

    Args:
        dataset: the images.
        network: the backbone.
        batch_size: images in one pass of the network.
        workers: threads that decode.
        device: None takes a GPU if there is one.
        progress: show a bar.

    Returns:
        features (n, D) float32, NaN rows for unreadable images; and key -> reason for those.
    """
    return _whole(dataset, network, True, batch_size, workers, device, progress)


def global_probabilities(
    dataset: Dataset,
    network: Backbone,
    *,
    batch_size: int = 256,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Class probabilities of every full image, by the network's own classes.

    Args:
        dataset: the images.
        network: of M classes.
        batch_size: images in one pass of the network.
        workers: threads that decode.
        device: None takes a GPU if there is one.
        progress: show a bar.

    Returns:
        (n, M) float32; NaN rows for unreadable images.

    Raises:
        ValueError: not one image could be read.

    Example:
        >>> from arlib.networks import load_backbone
        >>> from arlib.datasets import load
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> global_probabilities(load("scenes-annotated", n=20), network, progress=False).shape
        (20, 2)
    """
    return _whole(dataset, network, False, batch_size, workers, device, progress)[0]


Boxes = Callable[[int, np.ndarray], np.ndarray]
"""(number of an image, the image) -> (R, 4) float32 xyxy in pixels, R the same for every image."""


def box_outputs(
    dataset: Dataset,
    network: Backbone,
    boxes: Boxes,
    *,
    features: bool = False,
    mirror: bool = False,
    batch_size: int = 64,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Features or class probabilities of every full image and of given boxes in it.

    Args:
        dataset: the images.
        network: the backbone.
        boxes: which boxes of an image; they are cut and warped as `score` cuts regions.
        features: penultimate features; otherwise probabilities of the network's own classes.
        mirror: turn left and right of every crop.
        batch_size: crops in one pass of the network.
        workers: threads that decode.
        device: None takes a GPU if there is one.
        progress: show a bar.

    Returns:
        (n, 1 + R, D) float32, the full image first; NaN for unreadable images.

    Raises:
        ValueError: not one image could be read.

    Example:
        >>> from arlib.networks import load_backbone
        >>> from arlib.datasets import load
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> half = lambda number, image: np.array([[0, 0, image.shape[1] / 2, image.shape[0]]])
        >>> box_outputs(load("scenes-annotated", n=20), network, half, progress=False).shape
        (20, 2, 2)
    """
    size = network.preprocessing.size

    def prepare(index: int, image: np.ndarray) -> Item:
        places = np.asarray(boxes(index, image), np.float32)
        every = np.concatenate([[[0, 0, image.shape[1], image.shape[0]]], places])
        crops = crop_regions(image, every, size, device=best_device(device))
        found = Proposals(places, np.ones(len(places), np.float32))
        return Item(index, found, crops.flip(-1) if mirror else crops)

    return _outputs(dataset, network, prepare, features, batch_size, workers, device, progress)[0]


def _whole(
    dataset: Dataset,
    network: Backbone,
    features: bool,
    batch_size: int,
    workers: int,
    device: str | None,
    progress: bool,
) -> tuple[np.ndarray, dict[str, str]]:
    """Features or probabilities of full images (n, D), and why some could not be read."""
    prepare = preparer(network, _no_regions, "warp", 0.0, device)
    found, unreadable = _outputs(
        dataset, network, prepare, features, batch_size, workers, device, progress
    )
    return found[:, 0], unreadable


def _outputs(
    dataset: Dataset,
    network: Backbone,
    prepare: Callable[[int, np.ndarray], Item],
    features: bool,
    batch_size: int,
    workers: int,
    device: str | None,
    progress: bool,
) -> tuple[np.ndarray, dict[str, str]]:
    """What the network says of each image's crops (n, 1 + R, D), and why some could not be read."""
    unreadable: dict[str, str] = {}
    found: np.ndarray | None = None
    run = forward(network, features=features, device=device)
    with tqdm(total=len(dataset), unit="image", disable=not progress, desc=dataset.name) as bar:
        usable = readable(prefetch(dataset, prepare, workers), dataset, unreadable, bar)
        for item, output in through(run, usable, batch_size):
            if found is None:
                found = np.full((len(dataset), *output.shape), np.nan, np.float32)
            found[item.index] = output
            bar.update()
    if found is None:
        raise ValueError(f"not one image of {dataset.name} could be read: {unreadable}")
    return found, unreadable


def _no_regions(_image: np.ndarray) -> Proposals:
    return Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))
