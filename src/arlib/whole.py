"""Whole images and given boxes through a network: their features and class probabilities."""

from collections.abc import Callable

import numpy as np
from tqdm.auto import tqdm

from arlib.backbones import Backbone
from arlib.crops import crop_regions
from arlib.datasets import Dataset
from arlib.precision import best_device
from arlib.proposals import Proposals
from arlib.stream import Item, forward, prefetch, preparer, readable, through


def image_features(
    dataset: Dataset,
    network: Backbone,
    *,
    batch_size: int = 16,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, dict[str, str]]:
    """Penultimate features of every whole image, cut exactly as `score` cuts the whole image.

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


def whole_probability(
    dataset: Dataset,
    network: Backbone,
    *,
    batch_size: int = 256,
    workers: int = 2,
    device: str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Class probabilities of every whole image, by the network's own classes.

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
        >>> from arlib.backbones import load_backbone
        >>> from arlib.datasets import load
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> whole_probability(load("scenes-judged", n=20), network, progress=False).shape
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
    """Features or class probabilities of every whole image and of given boxes in it.

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
        (n, 1 + R, D) float32, the whole image first; NaN for unreadable images.

    Raises:
        ValueError: not one image could be read.

    Example:
        >>> from arlib.backbones import load_backbone
        >>> from arlib.datasets import load
        >>> network = load_backbone("vgg_tiny", classes=2, weights="random")
        >>> half = lambda number, image: np.array([[0, 0, image.shape[1] / 2, image.shape[0]]])
        >>> box_outputs(load("scenes-judged", n=20), network, half, progress=False).shape
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
    """Features or probabilities of whole images (n, D), and why some could not be read."""
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
