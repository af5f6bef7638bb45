"""Variants that `bench_speed.py` times in turn: a function gives a row's, its floor and checks."""

import atexit
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import coffee
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from arlib.datasets import load
from arlib.evaluation.sweeps import sweep
from arlib.experiments.runs import open_run
from arlib.method import (
    affective_regions,
    affective_score,
    predict_labels,
    sentiment_score,
    top_regions,
)
from arlib.networks.backbones import load_backbone
from arlib.networks.devices import bf16_in_hardware
from arlib.proposals import EdgeBoxes, Proposals
from arlib.proposals.edges import edge_map
from arlib.proposals.types import working_copy
from arlib.scoring import score_image
from bench_training import trainer
from timing import Process

CLOCK = time.perf_counter
"""What rates and floors are timed by."""

BATCH = 8
"""Images in a step of fine-tuning."""

REGIONS = 100
"""How many regions the variants of VGG-16 score; the baseline of sharing grows with them."""

BOOK = Path(__file__).parents[1] / "book"
K = 8
MEMORY = """
import sys, tempfile
from pathlib import Path
import numpy as np
from PIL import Image
from arlib.networks.backbones import load_backbone
from arlib.datasets import Dataset
from arlib.proposals import Grid
from arlib.scoring import score
n = int(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(Path(folder, "a.jpg"))
    data = Dataset(name="many", root=Path(folder), keys=np.array([str(i) for i in range(n)]),
                   files=np.repeat("a.jpg", n), labels=np.zeros(n, np.int8),
                   folds=np.ones(n, np.int8))
    score(data, Grid(8), load_backbone("vgg_tiny", classes=2, weights="random"),
          out=Path(folder, "s.zarr"), progress=False)
status = Path("/proc/self/status").read_text()  # rusage would begin with the parent's peak
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""


class Fixed:
    """Proposals that were made before, so that scoring alone is timed."""

    def __init__(self, proposals):
        self.proposals, self.max_regions = proposals, len(proposals)

    def __call__(self, image):
        return self.proposals


@cache
def vgg():
    """VGG-16 of random weights, its last layer scaled until regions differ by some nats."""
    network = load_backbone("vgg16", classes=2, weights="random")
    image, proposals = photograph(16)
    scores = score_image(image, Fixed(proposals), network)
    p = np.log(scores.region_probability.values[0])
    spread = float((p[:, 0] - p[:, 1]).std())
    with torch.no_grad():
        last = network.network.classifier[6]
        last.weight.mul_(2 / spread)
        last.bias.sub_(float((p[:, 0] - p[:, 1]).mean()) * torch.tensor([0.5, -0.5]))
        last.bias.mul_(2 / spread)
    return network


@cache
def photograph(regions=None):
    """A photograph and its proposals, `REGIONS` unless another number is asked for."""
    image = coffee()
    proposals = EdgeBoxes(max_regions=100)(image)
    kept = slice(0, regions or REGIONS)
    return image, Proposals(proposals.boxes[kept], proposals.objectness[kept])


@cache
def plain_loop():
    """Score in the plainest way, which keeps nothing but what it must."""
    network, (image, proposals) = vgg(), photograph()
    preprocessing, pillow = network.preprocessing, Image.fromarray(image)
    transform = transforms.Compose(
        [
            transforms.Resize((preprocessing.size, preprocessing.size)),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    full = [0, 0, *pillow.size]

    def run():
        probabilities = []
        with torch.no_grad():
            for box in [full, *proposals.boxes]:
                corners = [*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)]
                crop = transform(pillow.crop([int(corner) for corner in corners]))
                probabilities.append(network(crop[None]).softmax(1)[0].numpy())
        return np.stack(probabilities)

    return run


def scored(precision="float32", features="crops", regions=None, engine="auto"):
    image, proposals = photograph(regions)
    how = {"precision": precision, "features": features, "engine": engine}
    return score_image(image, Fixed(proposals), vgg(), **how)


def top(objectness, probability):
    """Give the best K regions of probabilities (N, M), the best first."""
    value = affective_score(objectness, sentiment_score(probability))
    return top_regions(value, K).tolist()


def vgg_row():
    """Four variants over one photograph, in turn; `rows` names which are set against which."""
    _, proposals = photograph()
    loop = top(proposals.objectness, plain_loop()()[1:])
    scores = {
        "float32": scored(),
        "torch": scored(engine="torch"),
        "bf16": scored("bf16"),
        "shared": scored(features="shared"),
    }
    tops = {
        name: affective_regions(one, K).region.values[0].tolist() for name, one in scores.items()
    }
    labels = {name: int(predict_labels(one, K).label[0]) for name, one in scores.items()}
    flops = (1 + REGIONS) * flops_of(vgg())
    return {
        "variants": {
            "plain loop": plain_loop(),
            "float32": scored,
            "torch": lambda: scored(engine="torch"),
            "bf16": lambda: scored("bf16"),
            "shared": lambda: scored(features="shared", regions=100),
        },
        "rows": {
            "vgg16-bf16": {
                "pair": ("plain loop", "bf16"),
                "floor": flops / peak(torch.bfloat16),
                "facts": {
                    "same_label": labels["bf16"] == labels["float32"],
                    "top_k_in_common": len(set(tops["bf16"]) & set(tops["float32"])),
                    "k": K,
                    "proposed": REGIONS,
                },
            },
            "vgg16-float32": {
                "pair": ("plain loop", "float32"),
                "floor": flops / peak(torch.float32),
                "facts": {"same_top_k": tops["float32"] == loop, "k": K, "proposed": REGIONS},
            },
            "vgg16-engine": {
                "pair": ("torch", "float32"),
                "floor": flops / peak(torch.float32),
                "facts": {"same_top_k": tops["float32"] == tops["torch"], "k": K},
            },
            "shared": {
                "pair": ("torch", "shared"),
                "times": 101 / (1 + REGIONS),
                "facts": {
                    "top_k_in_common": len(set(tops["float32"]) & set(tops["shared"])),
                    "k": K,
                    "crops_timed": 1 + REGIONS,
                },
            },
        },
    }


def proposals_row():
    scenes = load("scenes-annotated", n=40)
    images = photographs() or [scenes.read(i) for i in range(40)]
    propose = EdgeBoxes()
    cores = os.cpu_count()

    def alone():
        return [propose(image) for image in images]

    def threads():
        with ThreadPoolExecutor(cores) as pool:
            return list(pool.map(propose, images))

    def edge_maps():
        return [edge_map(working_copy(image, propose.max_side)[0]) for image in images]

    same = all(
        np.array_equal(one.boxes, other.boxes)
        for one, other in zip(alone(), threads(), strict=True)
    )
    return {
        "variants": {"one thread": alone, f"{cores} threads": threads},
        "facts": {
            "same_boxes": same,
            "images": len(images),
            "edge_map_share": round(seconds(edge_maps) / seconds(alone), 3),
        },
    }


def seconds(function, runs=3):
    times = []
    for _ in range(runs):
        start = CLOCK()
        function()
        times.append(CLOCK() - start)
    return min(times)


def photographs():
    data = os.environ.get("ARLIB_DATA")
    if not data or not Path(data, "oasis").is_dir():
        return []
    oasis = load("oasis")
    return [oasis.read(index) for index in range(0, len(oasis), len(oasis) // 40)][:40]


def both(code, old, **env):
    """Two processes that do the same, of the library before and of this one, after a check."""
    new = Path(__file__).parents[1] / "src"
    pair = {name: Process(source, code, **env) for name, source in (("before", old), ("now", new))}
    for process in pair.values():
        atexit.register(process.close)
    return pair, [process() for process in pair.values()]


_FILES = """
import tempfile
from pathlib import Path
import numpy as np
from PIL import Image
from skimage.data import astronaut, chelsea, coffee
from arlib import datasets
from arlib.networks import load_backbone
from arlib.proposals import EdgeBoxes
from arlib.scoring import score
folder = Path(tempfile.mkdtemp())
for number, image in enumerate((coffee(), chelsea(), astronaut(), coffee()[:, ::-1])):
    Image.fromarray(np.ascontiguousarray(image)).save(folder / f"{number}.png")
dataset = datasets.load(folder, labels=False)
network = load_backbone("mobilenet_v2", classes=2, weights="random")
def step():
    out = folder / "scores.zarr"
    scores = score(dataset, EdgeBoxes(), network, out=out, overwrite=True, progress=False)
    return scores.region_probability.values.astype(float).round(3).tolist()
"""

_PREDICT = """
from skimage.data import coffee
from arlib import predict
image = coffee()
def step():
    return [tuple(region.box) for region in predict(image).regions]
"""

_NOISE = """
import numpy as np
from arlib.proposals import EdgeBoxes
image = np.random.default_rng(0).integers(0, 256, (640, 640, 3), np.uint8)
def step():
    return len(EdgeBoxes()(image))
"""


def files_row(old):
    pair, values = both(_FILES, old)
    network = load_backbone("mobilenet_v2", classes=2, weights="random")
    return {
        "variants": pair,
        "floor": 4 * 101 * flops_of(network) / peak(torch.float32),
        "facts": {"files": 4, "same_to_3_digits": values[0] == values[1]},
    }


def predict_row(old):
    pair, values = both(_PREDICT, old, **default_weights())
    return {"variants": pair, "facts": {"same_regions": values[0] == values[1]}}


def noise_row(old):
    pair, values = both(_NOISE, old)
    return {"variants": pair, "facts": {"regions": [int(value) for value in values]}}


@cache
def default_weights():
    """Variables by which the default network has random weights, and a cache that is new."""
    folder = Path(tempfile.mkdtemp(prefix="arlib-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "weights").mkdir()
    for name in ("efficientnet_lite0", "squeezenet1_1"):  # the default, and that of older commits
        load_backbone(name, weights="random").save(folder / "weights" / f"{name}.safetensors")
    return {"ARLIB_DATA": str(folder), "ARLIB_CACHE": str(folder / "cache")}


def cold_row(old):
    """A new process for each; the first, which is not counted, converts the network."""
    folder = Path(tempfile.mkdtemp(prefix="arlib-cold-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Image.fromarray(coffee()).save(folder / "coffee.jpg")
    command = [sys.executable, "-m", "arlib.cli", "predict", "coffee.jpg"]
    printed = {}

    def variant(name, source):
        def run():
            env = os.environ | default_weights() | {"PYTHONPATH": str(source)}
            printed[name] = subprocess.check_output(command, cwd=folder, env=env, text=True)

        return run

    new = Path(__file__).parents[1] / "src"
    pair = {name: variant(name, source) for name, source in (("before", old), ("now", new))}
    for run in pair.values():
        run()
    return {"variants": pair, "facts": {"same_output": len(set(printed.values())) == 1}}


def finetuning_row():
    batch = BATCH
    flops = 3 * batch * flops_of(load_backbone("vgg16", classes=2, weights="random"))
    how = (torch.contiguous_format, False), (torch.channels_last, bf16_in_hardware())
    plain, fast = (trainer("vgg16", batch, 1, layout, bf16=bf16) for layout, bf16 in how)
    return {
        "variants": {"float32, default layout": plain, "channels last, bf16": fast},
        "floor": flops / peak(torch.bfloat16 if bf16_in_hardware() else torch.float32),
        "facts": {"batch": batch},
    }


def sweep_row():
    """Rescoring is timed on one image of the recorded network and multiplied by their number."""
    scores = open_run(BOOK / "results" / "twitter2-mobilenet_v2").scores.load()
    network = load_backbone("mobilenet_v2", classes=2, weights="random")
    image, proposals = photograph(100)
    return {
        "variants": {
            "rescoring, one image": lambda: score_image(image, Fixed(proposals), network),
            "sweep K = 1..20": lambda: sweep(scores, range(1, 21), [1.0], [0.5]),
        },
        "times": scores.sizes["image"],
        "facts": {"images": scores.sizes["image"]},
    }


def memory_row():
    peaks = {}
    for images in (1000, 10_000):
        with tempfile.TemporaryDirectory() as here:
            output = subprocess.check_output(
                [sys.executable, "-c", MEMORY, str(images)], text=True, cwd=here
            )
        peaks[images] = float(output)
    return {"megabytes": peaks[10_000] - peaks[1000], "facts": {"peak_mb": peaks}}


@cache
def flops_of(network):
    """Floating point operations of one image through a network, a multiply-add being two."""
    size = network.preprocessing.size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()


@cache
def peak(dtype, side=4096, runs=7):
    """The best rate of a square matrix product on this machine, in operations a second."""
    one, other = (torch.rand(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: one @ other, runs)


def decoding_rate():
    """Megapixels a second that Pillow's libjpeg-turbo decodes, one thread."""
    file = io.BytesIO()
    Image.fromarray(coffee()).resize((1920, 1280)).save(file, "jpeg", quality=90)
    best = seconds(lambda: Image.open(io.BytesIO(file.getvalue())).load(), 9)
    return 1920 * 1280 / best / 1e6
