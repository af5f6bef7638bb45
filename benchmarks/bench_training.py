"""Time training and its memory: memory layouts and precisions, the loader, larger sets.

    python benchmarks/bench_training.py

SGD on synthetic scenes, from random weights. bf16 takes its turn where the machine computes with
it. The memory is that of fresh processes that fine-tune for one pass.
"""

import subprocess
import sys
from statistics import median

import torch

from arlib import datasets
from arlib._support.provenance import machine
from arlib.networks.backbones import load_backbone
from arlib.networks.loaders import TrainingImages
from timing import interleave

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ON_CPU = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # private: may go
BF16 = (torch.cuda.is_bf16_supported if DEVICE == "cuda" else ON_CPU)()
VARIANTS = (
    ("float32", torch.contiguous_format, False),
    ("channels last", torch.channels_last, False),
    ("channels last, bf16", torch.channels_last, True),
)
SCENES = datasets.load("scenes-annotated", n=256, seed=1)
MEMORY = """
import resource, sys, tempfile
from arlib.networks.backbones import load_backbone
from arlib import datasets
from arlib.networks.finetuning import finetune
from arlib.networks.training import Training
network, n = load_backbone("vgg_tiny", classes=2, weights="random"), int(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    scenes, plan = datasets.load("scenes-annotated", n=n), Training(epochs=1)
    finetune(network, scenes, folder, training=plan, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def loader(size):
    return TrainingImages(SCENES, size, resize=round(size * 256 / 224), mirror=True, seed=0)


def load(images, n=256):
    return [images[(index, index)] for index in range(n)]


def trainer(name, batch_size, steps, layout, *, bf16=False):
    network = load_backbone(name, classes=2, weights="random").train().to(DEVICE)
    network.to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    batch, labels, _ = zip(*load(loader(network.preprocessing.size), batch_size), strict=True)
    pixels, labels = torch.stack(batch).to(DEVICE), torch.tensor(labels, device=DEVICE)

    def train():
        for _ in range(steps):
            batch = network.preprocessing.normalize(pixels).contiguous(memory_format=layout)
            with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
                loss = torch.nn.functional.cross_entropy(network(batch), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # waits for a GPU

    return train


def pace(variants, images):
    for name, times in interleave(variants).items():
        fewest, middle = images / max(times), images / median(times)
        print(f"{name:36} min {fewest:8.1f}     median {middle:8.1f} images/s")


if __name__ == "__main__":
    print(machine())
    for n in (1000, 4000):  # first: a new process' peak begins with the size of the one before it
        peak = subprocess.check_output([sys.executable, "-c", MEMORY, str(n)], text=True)
        print(f"peak memory, {n} scenes: {peak.strip()} MiB")
    for name, batch_size, steps in (("vgg_tiny", 32, 10), ("squeezenet1_1", 16, 2)):
        variants = {
            f"{name}, {variant}": trainer(name, batch_size, steps, layout, bf16=bf16)
            for variant, layout, bf16 in VARIANTS[: 2 + BF16]
        }
        pace(variants, batch_size * steps)
    kept = loader(48)
    pace({"loader, drawn": lambda: load(loader(48)), "loader, kept": lambda: load(kept)}, 256)
