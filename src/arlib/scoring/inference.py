"""Images -> crops -> network outputs, image by image, with every batch full.

Threads decode and propose while the network runs; OpenCV and Pillow release the interpreter's lock.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from arlib._support.progress import progress_bar
from arlib.datasets import Dataset, ImageError
from arlib.networks import Backbone, memory_for, resolve_device
from arlib.scoring.crops import CropMode, crop_regions

log = logging.getLogger(__name__)

T = TypeVar("T")

Precision = Literal["float32", "bf16", "auto"]
"""Of weights and activations: "auto" is bf16 where the device has it in hardware."""

Forward = Callable[[torch.Tensor], np.ndarray]
"""Uint8 crops (B, 3, size, size) -> features (B, D), or probabilities (B, M), float32."""

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
    """Compute features or class probabilities of given boxes in every image.

    Args:
        dataset: the images.
        network: the backbone.
        boxes: which boxes of an image, at least one; they are cut and warped as `score` cuts
            regions.
        features: penultimate features; otherwise probabilities of the network's own classes.
        mirror: exchange left and right of every crop.
        batch_size: crops in one pass of the network.
        workers: threads that decode.
        device: None takes a GPU if there is one.
        progress: show a bar.

    Returns:
        (n, R, D) float32; NaN for unreadable images, which are logged.

    Raises:
        ValueError: no image could be read, or an image has no box.

    Example:
        >>> from arlib.networks import load_backbone
        >>> from arlib.datasets import load
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> half = lambda number, image: np.array([[0, 0, image.shape[1] / 2, image.shape[0]]])
        >>> box_outputs(load("scenes-annotated", n=20), network, half, progress=False).shape
        (20, 1, 2)
    """
    cut = cutter(network, "warp", 0.0, device)
    forward = make_forward(network, features=features, device=device)
    unreadable: dict[str, str] = {}
    outputs: np.ndarray | None = None

    def prepare(index: int, image: np.ndarray) -> tuple[int, torch.Tensor]:
        crops = cut(image, boxes(index, image))
        if not len(crops):
            raise ValueError(f"{dataset.keys[index]} has no box: every image needs at least one")
        return index, crops.flip(-1) if mirror else crops

    with progress_bar(total=len(dataset), unit="image", show=progress, desc=dataset.name) as bar:
        prepared = prefetch(dataset, prepare, workers, unreadable, bar)
        for index, output in in_batches(forward, prepared, batch_size):
            if outputs is None:
                outputs = np.full((len(dataset), *output.shape), np.nan, np.float32)
            outputs[index] = output
            bar.update()
    if outputs is None:
        raise ValueError(f"no image of {dataset.name} could be read: {unreadable}")
    return outputs


def global_outputs(
    dataset: Dataset,
    network: Backbone,
    *,
    features: bool = False,
    batch_size: int = 16,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Compute features or class probabilities of every full image, cut as `score` cuts it.

    Args:
        dataset: the images.
        network: the backbone.
        features: penultimate features; otherwise probabilities of the network's own classes.
        batch_size: images in one pass of the network.
        workers: threads that decode.
        device: None takes a GPU if there is one.
        progress: show a bar.

    Returns:
        (n, D) float32; NaN for unreadable images, which are logged.

    Raises:
        ValueError: no image could be read.

    Example:
        >>> from arlib.networks import load_backbone
        >>> from arlib.datasets import load
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> global_outputs(load("scenes-annotated", n=20), network, progress=False).shape
        (20, 2)
    """
    outputs = box_outputs(
        dataset,
        network,
        lambda _, image: image_box(image),
        features=features,
        batch_size=batch_size,
        workers=workers,
        device=device,
        progress=progress,
    )
    return outputs[:, 0]  # (image, class)


def make_forward(
    network: Backbone,
    *,
    features: bool,
    device: str | None,
    precision: Precision = "float32",
) -> Forward:
    """Make the function that runs a network: folded batch norms, channels last, no gradients."""
    where, dtype = resolve_device(device, precision)
    fast = network.for_inference().to(where, dtype)

    @torch.inference_mode()
    def forward(crops: torch.Tensor) -> np.ndarray:
        if where.type == "cuda" and crops.device.type == "cpu":
            crops = crops.pin_memory()  # so that the copy does not wait, nor is waited for
        # pixels are normalised in float32, whatever the network's precision
        batch = network.preprocessing.normalize(crops.to(where, non_blocking=True)).to(dtype)
        batch = batch.contiguous(memory_format=torch.channels_last)
        entering, logits = fast.features_and_logits(batch)
        outputs = entering.float() if features else logits.float().softmax(dim=1)
        return outputs.cpu().numpy()

    return forward


def cutter(
    network: Backbone, crop: CropMode, context: float, device: str | None
) -> Callable[[np.ndarray, np.ndarray], torch.Tensor]:
    """Make the function (image, boxes) -> crops for the network, cut where the network runs."""
    size, fill = network.preprocessing.size, network.preprocessing.fill
    where, _ = resolve_device(device)

    def cut(image: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        return crop_regions(image, boxes, size, crop=crop, context=context, fill=fill, device=where)

    return cut


def image_box(image: np.ndarray) -> np.ndarray:
    """Give the box (1, 4) of the full image."""
    return np.array([[0, 0, image.shape[1], image.shape[0]]])


def prefetch(
    dataset: Dataset,
    prepare: Callable[[int, np.ndarray], T],
    workers: int,
    unreadable: dict[str, str],
    bar: tqdm,
) -> Iterator[T]:
    """Prepare images in threads, in order, at most two a thread ahead; note what is unreadable."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[int, Future[T]]] = deque()
        indices = iter(range(len(dataset)))
        try:
            while True:
                for index in islice(indices, 2 * workers + 1 - len(waiting)):
                    work = lambda index=index: prepare(index, dataset.read(index))  # noqa: E731
                    waiting.append((index, pool.submit(work)))
                if not waiting:
                    return
                index, future = waiting.popleft()
                try:
                    item = future.result()
                except ImageError as error:
                    unreadable[str(dataset.keys[index])] = error.reason
                    log.warning("left out: %s", error)
                    bar.update()
                    continue
                yield item
        finally:
            pool.shutdown(cancel_futures=True)


def in_batches(
    forward: Forward, items: Iterable[tuple[T, torch.Tensor]], batch_size: int
) -> Iterator[tuple[T, np.ndarray]]:
    """Pass items' crops, at least one each, in batches filled across items; yield item by item."""
    waiting: deque[tuple[T, int]] = deque()  # of each item, how many crops it has
    crops: deque[torch.Tensor] = deque()
    outputs: deque[np.ndarray] = deque()

    def run(least: int) -> Iterator[tuple[T, np.ndarray]]:
        while crops and len(crops) >= least:
            batch = torch.stack([crops.popleft() for _ in range(min(batch_size, len(crops)))])
            with memory_for(batch_size, "the network"):
                outputs.extend(forward(batch))
            while waiting and len(outputs) >= waiting[0][1]:
                item, count = waiting.popleft()
                yield item, np.stack([outputs.popleft() for _ in range(count)])

    for item, cut in items:
        waiting.append((item, len(cut)))
        crops.extend(cut)
        yield from run(batch_size)
    yield from run(1)
