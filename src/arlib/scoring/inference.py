"""Images -> crops -> network outputs, image by image, with every batch full.

Threads decode and propose while the network runs; OpenCV and Pillow release the interpreter's lock.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from scipy.special import softmax
from tqdm import tqdm

from arlib._support.progress import progress_bar
from arlib.datasets import Dataset, ImageError
from arlib.networks import Converted, Engine, make_engine, memory_for, resolve_engine
from arlib.scoring.crops import CropMode, crop_arrays, crop_regions

if TYPE_CHECKING:
    from arlib.networks import Backbone

log = logging.getLogger(__name__)

T = TypeVar("T")

Precision = Literal["float32", "bf16", "auto"]
"""Of weights and activations: "auto" is bf16 where the device has it in hardware."""

Crops = Any
"""Uint8 crops (B, 3, size, size): an array, or, on a GPU, a tensor."""

Forward = Callable[[Crops], np.ndarray]
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
    engine: Engine = "auto",
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
        engine: "torch", "openvino" or "auto", as of `arlib.networks.resolve_engine`.
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
    forward = make_forward(network, features=features, device=device, engine=engine)
    unreadable: dict[str, str] = {}
    outputs: np.ndarray | None = None

    def prepare(index: int, image: np.ndarray) -> tuple[int, Crops]:
        crops = cut(image, boxes(index, image))
        if not len(crops):
            raise ValueError(f"{dataset.keys[index]} has no box: every image needs at least one")
        if mirror:
            crops = crops[..., ::-1] if isinstance(crops, np.ndarray) else crops.flip(-1)
        return index, crops

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
    engine: Engine = "auto",
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
        engine: "torch", "openvino" or "auto", as of `arlib.networks.resolve_engine`.
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
        engine=engine,
        progress=progress,
    )
    return outputs[:, 0]  # (image, class)


def make_forward(
    network: Backbone | Converted,
    *,
    features: bool,
    device: str | None,
    precision: Precision = "float32",
    engine: Engine = "auto",
) -> Forward:
    """Make the function that runs a network, which is prepared once."""
    engine = resolve_engine(network, engine, device=device, precision=precision)
    run = make_engine(network, engine, device=device, precision=precision)

    def forward(crops: Crops) -> np.ndarray:
        entering, logits = run(crops)
        if features:
            return entering
        if engine == "openvino":
            return softmax(logits, axis=1)
        return sys.modules["torch"].from_numpy(logits).softmax(dim=1).numpy()

    return forward


def cutter(
    network: Backbone | Converted, crop: CropMode, context: float, device: str | None
) -> Callable[[np.ndarray, np.ndarray], Crops]:
    """Make the function (image, boxes) -> crops for the network, cut where the network runs."""
    size, fill = network.preprocessing.size, network.preprocessing.fill
    how: dict[str, Any] = {"crop": crop, "context": context, "fill": fill}
    if not isinstance(network, Converted):
        from arlib.networks import resolve_device

        where, _ = resolve_device(device)
        if where.type != "cpu":
            return lambda image, boxes: crop_regions(image, boxes, size, device=where, **how)
    return lambda image, boxes: crop_arrays(image, boxes, size, **how)


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
    forward: Forward, items: Iterable[tuple[T, Crops]], batch_size: int
) -> Iterator[tuple[T, np.ndarray]]:
    """Pass items' crops, at least one each, in batches filled across items; yield item by item."""
    waiting: deque[tuple[T, int]] = deque()  # of each item, how many crops it has
    crops: deque[Crops] = deque()
    outputs: deque[np.ndarray] = deque()

    def run(least: int) -> Iterator[tuple[T, np.ndarray]]:
        while crops and len(crops) >= least:
            batch = _stacked([crops.popleft() for _ in range(min(batch_size, len(crops)))])
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


def _stacked(crops: list[Crops]) -> Crops:
    """Put crops together, arrays or tensors."""
    if isinstance(crops[0], np.ndarray):
        return np.stack(crops)
    import torch

    return torch.stack(crops)
