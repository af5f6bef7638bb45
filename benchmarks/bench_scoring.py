"""Time scoring and its memory: batches across images against a loop over images.

    ARLIB_DATA=... python benchmarks/bench_scoring.py [images]

Twitter II's photographs, MobileNetV2, 100 EdgeBoxes regions an image. The pairs run on the first
few images; the memory is that of fresh processes that score 64, 128 and 256 images.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

if not os.environ.get("ARLIB_DATA"):
    sys.exit("skipped: set ARLIB_DATA to the folder that holds twitter2/ and weights/")

from arlib import datasets
from arlib.datasets import read_image
from arlib.networks.backbones import load_backbone
from arlib.networks.heads import LinearHead
from arlib.proposals import EdgeBoxes
from arlib.scoring import score, score_image
from timing import interleave

IMAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 8
MEMORY = """
import resource, sys, tempfile
from pathlib import Path
sys.path.insert(0, {here!r})
import bench_scoring as b
with tempfile.TemporaryDirectory() as folder:
    b.score(b.DATASET.subset(slice(0, {images})), b.EdgeBoxes(), b.NETWORK, head=b.HEAD,
            out=Path(folder, "s.zarr"), progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

DATASET = datasets.load("twitter2")
NETWORK = load_backbone("mobilenet_v2")


def any_head():
    """Make a head of the right size: its weights do not change the time."""
    import numpy as np

    weight = np.zeros((2, 1280), np.float32)
    return LinearHead(weight, weight[:, 0], DATASET.emotions, NETWORK.name)


HEAD = any_head()


def batched():
    with tempfile.TemporaryDirectory() as folder:
        few = DATASET.subset(slice(0, IMAGES))
        score(few, EdgeBoxes(), NETWORK, head=HEAD, out=Path(folder, "s.zarr"), progress=False)


def one_by_one():
    for index in range(IMAGES):
        score_image(read_image(DATASET.path(index)), EdgeBoxes(), NETWORK, head=HEAD)


def main():
    for images in (64, 128, 256):  # first: a child's peak is counted from its parent's memory
        code = MEMORY.format(here=str(Path(__file__).parent), images=images)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        print(f"peak memory, {images:3} images: {done.stdout.strip()} MiB")
    variants = {f"score, {IMAGES} images": batched, f"score_image, {IMAGES} images": one_by_one}
    times = interleave(variants)
    per_image = min(times[f"score, {IMAGES} images"]) / IMAGES
    print(f"603 images at that pace: {603 * per_image / 60:.1f} min")


if __name__ == "__main__":
    main()
