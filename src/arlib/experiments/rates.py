"""Measure how long this machine takes for a training step, a crop and an image."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
import torch
from PIL import Image

from arlib import datasets
from arlib.experiments.baselines.lowlevel import Descriptor, low_level
from arlib.networks import Backbone, Training, load_backbone, make_engine, resolve_device
from arlib.proposals import is_file_of_boxes, make_proposals


@dataclass(frozen=True)
class Rates:
    """Seconds that this machine takes, each measured in a moment."""

    step: float  # of a training, beside what its images take
    trained: float  # an image of a training
    crop: float  # a crop, classified
    propose: float  # an image's proposals
    describe: float  # an image's low-level features
    fit: float  # a detector of a noun pair
    decode: float  # an image's file
    gpu: bool

    def training(self, iterations: int, batch: int) -> float:
        """Estimate a training."""
        files = iterations * batch * self.decode
        return self._together(iterations * (self.step + batch * self.trained), files)

    def scoring(self, images: int, regions: int) -> float:
        """Estimate the scoring of images and their regions."""
        crops = images * (1 + regions) * self.crop
        return self._together(crops, images * (self.propose + self.decode))

    def _together(self, network: float, images: float) -> float:
        """Beside a GPU all cores prepare images while it works; a CPU does one after the other."""
        images /= os.cpu_count() or 1
        return max(network, images) if self.gpu else network + images


def measure_rates(backbone: str, training: Training, proposals: str, max_regions: int) -> Rates:
    """Measure, in seconds, what this machine takes for a step, a crop and an image."""
    device, _ = resolve_device(None)
    gpu = device.type == "cuda"
    few, many = (4, 36) if gpu else (1, 5)
    # a training's step: what it takes anyway, and for an image
    network = untrained(backbone).to(device)
    steps = {n: _seconds(lambda n=n: _step(network, n, training, gpu)) for n in (few, many)}  # type: ignore[misc]
    trained = max(1e-6, (steps[many] - steps[few]) / (many - few))
    fixed = max(0.0, steps[few] - few * trained)
    # crops that are classified, and what is done with an image itself
    run = make_engine(network, precision="bf16" if gpu else "float32")
    size = network.preprocessing.size
    crops = torch.zeros(many, 3, size, size, device=device, dtype=torch.uint8)
    image, searched = _image(), not is_file_of_boxes(proposals)  # boxes of a file are there
    propose = make_proposals(proposals, max_regions=max_regions)
    return Rates(
        step=fixed,
        trained=trained,
        crop=_seconds(lambda: run(crops)) / many,
        propose=_seconds(lambda: propose(image)) if searched else 0.0,
        describe=_seconds(lambda: low_level(image, Descriptor())),
        fit=_seconds(_fit),
        decode=_seconds(partial(_decode, _jpeg(image))),
        gpu=gpu,
    )


def untrained(backbone: str) -> Backbone:
    """Make a network of two classes, to be counted and timed."""
    return load_backbone(backbone, classes=2, weights="random")


def _step(network: Backbone, n: int, training: Training, gpu: bool) -> None:
    """Take one step of SGD on n images of noise, as a training would."""
    device = next(network.parameters()).device
    size = network.preprocessing.size
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=training.momentum)
    bf16 = training.precision == "bf16-mixed" or (training.precision == "auto" and gpu)
    network.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = network(torch.zeros(n, 3, size, size, device=device))
        loss = torch.nn.functional.cross_entropy(
            logits, torch.zeros(n, dtype=torch.long, device=device)
        )
    loss.backward()
    optimizer.step()
    if gpu:
        torch.cuda.synchronize()


def _image() -> np.ndarray:
    """Draw an image of 500 x 375 pixels with edges of all sizes."""
    generator = datasets.scenes.SceneGenerator()
    tile = datasets.load("scenes-annotated", generator=generator, n=20).read(0)
    return np.ascontiguousarray(np.tile(tile, (3, 4, 1))[:375, :500])


def _jpeg(image: np.ndarray) -> bytes:
    content = BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=90)
    return content.getvalue()


def _decode(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


def _fit() -> object:
    """Fit a detector on 300 images of noise, a quarter of them of its pair."""
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(300, Descriptor().length)), np.arange(300) % 4 == 0
    return LinearSVC(class_weight="balanced", max_iter=1000).fit(features, labels)


def _seconds(do: Callable[[], object]) -> float:
    """Time a call: the median of three, after one that warms up."""
    do()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return sorted(times)[1]
