"""What `bench_speed.py` sets side by side: each function gives a row's ways, floor and checks."""

import io
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from arlib.scoring.choice import Choice
from PIL import Image
from skimage.data import coffee
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from arlib.datasets import load
from arlib.evaluation.sweeps import sweep
from arlib.experiments.runs import open_run
from arlib.experiments.synthetic import SyntheticProtocol, fine_tune
from arlib.method.algorithm import affective_regions
from arlib.networks.backbones import load_backbone
from arlib.networks.precision import bf16_in_hardware
from arlib.proposals import EdgeBoxes, Proposals
from arlib.proposals.edges import edge_map
from arlib.proposals.types import working_copy
from arlib.scoring.prediction import predict, prediction_from_scores
from arlib.scoring.scorer import score_image
from bench_training import trainer

CLOCK = time.perf_counter
"""What rates and floors are timed by."""

BATCH = 8
"""Pictures in a step of fine-tuning."""

REGIONS = 100
"""How many regions the ways through VGG-16 score; the baseline of sharing grows with them."""

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
from arlib.scoring.scorer import score
n = int(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(Path(folder, "a.jpg"))
    data = Dataset(name="many", root=Path(folder), keys=np.array([str(i) for i in range(n)]),
                   files=np.repeat("a.jpg", n), labels=np.zeros(n, np.int8),
                   folds=np.ones(n, np.int8))
    score(data, Grid(8), load_backbone("vgg_tiny", classes=2, weights="random"),
          out=Path(folder, "s.zarr"), progress=False)
told = Path("/proc/self/status").read_text()  # rusage would begin with the parent's peak
print(int(told.partition("VmHWM:")[2].split()[0]) / 1024)
"""


class Fixed:
    """Proposals that were made before, so that scoring alone is timed."""

    def __init__(self, found):
        self.found, self.max_regions = found, len(found)

    def __call__(self, image):
        return self.found


@cache
def vgg():
    """VGG-16 of random weights, its last layer scaled until regions differ by some nats."""
    network = load_backbone("vgg16", classes=2, weights="random")
    image, found = picture()
    scores = score_image(image, Fixed(Proposals(found.boxes[:16], found.objectness[:16])), network)
    p = np.log(scores.region_probability.values[0])
    spread = float((p[:, 0] - p[:, 1]).std())
    with torch.no_grad():
        last = network.network.classifier[6]
        last.weight.mul_(2 / spread)
        last.bias.sub_(float((p[:, 0] - p[:, 1]).mean()) * torch.tensor([0.5, -0.5]))
        last.bias.mul_(2 / spread)
    return network


@cache
def picture(regions=None):
    image = coffee()
    found = EdgeBoxes(max_regions=100)(image)
    kept = slice(0, regions or REGIONS)
    return image, Proposals(found.boxes[kept], found.objectness[kept])


@cache
def plain_loop():
    """What one would write first; it keeps nothing but what it must."""
    network, (image, found) = vgg(), picture()
    told, photograph = network.preprocessing, Image.fromarray(image)
    transform = transforms.Compose(
        [
            transforms.Resize((told.size, told.size)),
            transforms.ToTensor(),
            transforms.Normalize(told.mean, told.std),
        ]
    )
    whole = [0, 0, *photograph.size]

    def run():
        said = []
        with torch.no_grad():
            for box in [whole, *found.boxes]:
                corners = [*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)]
                crop = transform(photograph.crop([int(corner) for corner in corners]))
                said.append(network(crop[None]).softmax(1)[0].numpy())
        return np.stack(said)

    return run


def scored(precision, only=True, features="crops", regions=None):
    image, found = picture(regions)
    return score_image(
        image,
        Fixed(found),
        vgg(),
        precision=precision,
        only=Choice(K) if only else None,
        features=features,
    )


def top_of_loop(said):
    _, found = picture()
    value = Choice(K).value(found.objectness, said[1:])
    return np.argsort(-value, kind="stable")[:K]


def vgg_row():
    """Four ways over one photograph, in turn; `rows` says which are set against which."""
    every, fast = scored("float32", False), scored("bf16")
    shared = scored("float32", False, "shared")
    loop = top_of_loop(plain_loop()()).tolist()
    tops = [affective_regions(one, K).region.values[0].tolist() for one in (every, fast, shared)]
    flops = (1 + REGIONS) * flops_of(vgg())
    return {
        "ways": {
            "plain loop": plain_loop(),
            "float32": lambda: scored("float32", False),
            "bf16": lambda: scored("bf16"),
            "shared": lambda: scored("float32", False, "shared", 100),
        },
        "rows": {
            "vgg16-bf16": {
                "pair": ("plain loop", "bf16"),
                "floor": flops / peak(torch.bfloat16),
                "facts": {"same_top_k": tops[1] == loop, "k": K, **fast.attrs["effort"]},
            },
            "vgg16-float32": {
                "pair": ("plain loop", "float32"),
                "floor": flops / peak(torch.float32),
                "facts": {"same_top_k": tops[0] == loop, "k": K, "proposed": REGIONS},
            },
            "shared": {
                "pair": ("float32", "shared"),
                "times": 101 / (1 + REGIONS),
                "facts": {
                    "top_k_in_common": len(set(tops[0]) & set(tops[2])),
                    "k": K,
                    "crops_timed": 1 + REGIONS,
                },
            },
        },
    }


def predict_row():
    network, _ = fine_tune(SyntheticProtocol(), progress=False)
    scenes = SyntheticProtocol().dataset("annotated").subset(slice(0, 100))
    pictures = [scenes.read(index) for index in range(100)]
    propose = EdgeBoxes(max_regions=60)

    def early():
        return [predict(one, network=network, proposals=propose, k=K) for one in pictures]

    def late():
        return [
            prediction_from_scores(score_image(one, propose, network), k=K, alpha=1.0, beta=0.5)
            for one in pictures
        ]

    stopped, whole = early(), late()
    regions = [
        [region.box for region in one.regions] == [region.box for region in other.regions]
        for one, other in zip(stopped, whole, strict=True)
    ]
    shares = {
        f"K = {k}, alpha = {alpha:g}": scored_share(pictures, network, propose, k, alpha)
        for k in (1, 8)
        for alpha in (1.0, 0.2)
    }
    return {
        "ways": {"all regions": late, "early stop": early},
        "facts": {"same_top_k": all(regions), "scored_share": shares},
    }


def scored_share(pictures, network, propose, k, alpha):
    found = [
        predict(one, network=network, proposals=propose, k=k, alpha=alpha) for one in pictures[:50]
    ]
    return round(sum(one.scored for one in found) / sum(one.proposed for one in found), 3)


def proposals_row():
    scenes = load("scenes-annotated", n=40)
    pictures, propose = photographs() or [scenes.read(i) for i in range(40)], EdgeBoxes()
    cores = os.cpu_count()

    def alone():
        return [propose(one) for one in pictures]

    def threads():
        with ThreadPoolExecutor(cores) as pool:
            return list(pool.map(propose, pictures))

    def edge_maps():
        return [edge_map(working_copy(one, propose.max_side)[0]) for one in pictures]

    same = all(
        np.array_equal(one.boxes, other.boxes)
        for one, other in zip(alone(), threads(), strict=True)
    )
    return {
        "ways": {"one thread": alone, f"{cores} threads": threads},
        "facts": {
            "same_boxes": same,
            "pictures": len(pictures),
            "edge_map_share": round(seconds(edge_maps) / seconds(alone), 3),
        },
    }


def seconds(way, runs=3):
    took = []
    for _ in range(runs):
        start = CLOCK()
        way()
        took.append(CLOCK() - start)
    return min(took)


def photographs():
    data = os.environ.get("ARLIB_DATA")
    if not data or not Path(data, "oasis").is_dir():
        return []
    oasis = load("oasis")
    return [oasis.read(index) for index in range(0, len(oasis), len(oasis) // 40)][:40]


def finetuning_row():
    batch = BATCH
    flops = 3 * batch * flops_of(load_backbone("vgg16", classes=2, weights="random"))
    how = (torch.contiguous_format, False), (torch.channels_last, bf16_in_hardware())
    plain, fast = (trainer("vgg16", batch, 1, layout, bf16=bf16) for layout, bf16 in how)
    return {
        "ways": {"float32, default layout": plain, "channels last, bf16": fast},
        "floor": flops / peak(torch.bfloat16 if bf16_in_hardware() else torch.float32),
        "facts": {"batch": batch},
    }


def sweep_row():
    """Rescoring is timed on one image of the recorded network and multiplied by their number."""
    scores = open_run(BOOK / "results" / "twitter2-mobilenet_v2").scores.load()
    network = load_backbone("mobilenet_v2", classes=2, weights="random")
    image, found = picture(100)
    return {
        "ways": {
            "rescoring, one image": lambda: score_image(image, Fixed(found), network),
            "sweep K = 1..20": lambda: sweep(scores, range(1, 21), [1.0], [0.5]),
        },
        "times": scores.sizes["image"],
        "facts": {"images": scores.sizes["image"]},
    }


def memory_row():
    peaks = {}
    for images in (1000, 10_000):
        with tempfile.TemporaryDirectory() as here:
            told = subprocess.check_output(
                [sys.executable, "-c", MEMORY, str(images)], text=True, cwd=here
            )
        peaks[images] = float(told)
    return {"megabytes": peaks[10_000] - peaks[1000], "facts": {"peak_mb": peaks}}


@cache
def flops_of(network):
    """Floating point operations of one picture through a network, a multiply-add being two."""
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
