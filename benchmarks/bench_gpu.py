"""Time VGG-16 on a GPU: crops and training images a second, as shares of its measured peak.

    python benchmarks/bench_gpu.py [--record]

Random weights; 100 EdgeBoxes regions of one photograph. The peak is that of a large square matrix
product of random numbers, in each precision. `--record` writes benchmarks/results/gpu.json and the
GPU column of the book's page on speed. Without a GPU nothing is measured.
"""

import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torchvision.transforms.v2.functional import resize

if not torch.cuda.is_available():
    sys.exit(print("skipped: no GPU"))  # exit status 0: the other benchmarks go on

import bench_training
import speed_variants as variants
from arlib._support.provenance import machine, source_commit
from arlib.datasets import Dataset
from arlib.method import affective_regions, predict_labels
from arlib.networks.loaders import TrainingImages
from arlib.proposals import make_proposals
from arlib.scoring import score, score_image
from arlib.scoring.crops import _frames, crop_regions
from speed_table import write_page
from timing import interleave

RECORD = Path(__file__).parent / "results" / "gpu.json"
IMAGES = 128
BATCH = 256
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


def ceilings():
    """Rates that nothing on this card exceeds: of matrix products, and of copies in its memory."""
    side, found = 8192, {}
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        one, other = (torch.randn(side, side, device="cuda").to(dtype) for _ in range(2))
        found[f"{name}_tflops"] = 2 * side**3 / seconds(lambda: one @ other, 10) / 1e12  # noqa: B023
    torch.backends.cuda.matmul.allow_tf32 = False
    block = torch.randn(2**30, device="cuda")
    target = torch.empty_like(block)
    found["copy_tb_per_second"] = 2 * 4 * 2**30 / seconds(lambda: target.copy_(block), 10) / 1e12
    return {name: round(value, 2) for name, value in found.items()}


def seconds(function, calls):
    """Median of the seconds of single calls, by the card's own events, after three to warm up."""
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
    for _ in range(3):
        function()
    for start, end in events:
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    return median(start.elapsed_time(end) for start, end in events) / 1e3


def network_rates(peaks):
    """Crops a second through the network alone, which are on the card already."""
    rows = []
    for precision, peak in (("float32", "tf32_tflops"), ("bf16", "bf16_tflops")):
        network = variants.vgg()
        fast = network.for_inference().to("cuda", PRECISIONS[precision])
        for batch in (16, 64, BATCH):
            crops = torch.randn(batch, 3, 224, 224, device="cuda").to(PRECISIONS[precision])
            crops = crops.contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                rate = batch / seconds(lambda: fast(crops), 20)  # noqa: B023
            share = rate * variants.flops_of(network) / 1e12 / peaks[peak]
            rows.append({"precision": precision, "batch": batch, "rate": rate, "share": share})
            print("network alone", rows[-1], flush=True)
    return rows


def many(images=IMAGES):
    """Make a set of one photograph, many times; nothing is decoded."""
    photograph, _ = variants.photograph()
    keys = np.array([str(number) for number in range(images)])
    return Dataset(
        name="photograph",
        root=Path(),
        keys=keys,
        files=keys,
        labels=np.zeros(images, np.int8),
        folds=np.ones(images, np.int8),
        draw=lambda number: photograph,
    )


def scoring(peaks):
    """Crops a second of `score`, from a decoded image to the store; and of plain code."""
    propose = make_proposals("edge_boxes", cached=True, max_regions=variants.REGIONS)
    dataset, network = many(), variants.vgg()
    propose(dataset.read(0))

    def scored(precision, features="crops", images=IMAGES):
        with tempfile.TemporaryDirectory() as folder:
            how = {"precision": precision, "features": features, "progress": False}
            out = Path(folder, "s.zarr")
            some = many(images)
            return score(some, propose, network, out=out, batch_size=BATCH, **how).load()

    loop = plain_loop()
    times = interleave(
        {
            "plain loop, 1 image": loop,
            f"score, {IMAGES} images": lambda: scored("float32"),
            f"score, {IMAGES} images, bf16": lambda: scored("bf16"),
            f"score, {IMAGES} images, shared": lambda: scored("float32", "shared"),
            "score, 1 image, bf16": lambda: scored("bf16", images=1),  # preparing the network
        }
    )
    plain, exact, fast, shared, one = times.values()
    crops = 1 + variants.REGIONS
    flops = variants.flops_of(network) * crops
    found = {}
    for name, ours, peak in (
        ("vgg16-float32", exact, "tf32_tflops"),
        ("vgg16-bf16", fast, "bf16_tflops"),
    ):
        ratios = [IMAGES * a / b for a, b in zip(plain, ours, strict=True)]
        rate = IMAGES * crops / median(ours)
        found[name] = {
            "ratio": {"min": min(ratios), "median": median(ratios)},
            "crops_per_second": rate,
            "share_of_peak": rate * flops / crops / 1e12 / peaks[peak],
        }
    ratios = [a / b for a, b in zip(exact, shared, strict=True)]
    found["shared"] = {"ratio": {"min": min(ratios), "median": median(ratios)}}
    found["preparing_seconds"] = median(one)
    return found


def plain_loop():
    """Run the plain loop of `speed_variants` with its network on the card."""
    network = variants.load_backbone("vgg16", classes=2, weights="random")
    network.load_state_dict(variants.vgg().state_dict())
    network = network.cuda()
    image, proposals = variants.photograph()
    size = network.preprocessing.size
    preprocessing, pillow = network.preprocessing, variants.Image.fromarray(image)
    transform = variants.transforms.Compose(
        [
            variants.transforms.Resize((size, size)),
            variants.transforms.ToTensor(),
            variants.transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )

    def run():
        probabilities = []
        with torch.no_grad():
            for box in [[0, 0, *pillow.size], *proposals.boxes]:
                corners = [*np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)]
                crop = transform(pillow.crop([int(corner) for corner in corners])).cuda()
                probabilities.append(network(crop[None]).softmax(1)[0].cpu().numpy())
        return np.stack(probabilities)

    return run


def cropping():
    """Seconds to cut the regions of an image on the card: as the library does, and one by one."""
    image, proposals = variants.photograph()
    pixels = torch.from_numpy(image).permute(2, 0, 1)

    def together():
        return crop_regions(image, proposals.boxes, 224, device="cuda")

    def one_by_one():
        here = pixels.cuda()
        for x0, y0, x1, y1 in _frames(proposals.boxes, "warp", 0.0):
            resize(here[:, y0:y1, x0:x1], [224, 224], antialias=True)

    names = {"together": together, "one_by_one": one_by_one}
    return {name: seconds(function, 20) for name, function in names.items()} | {
        "regions": len(proposals.boxes)
    }


def agreement():
    """How far the card's probabilities lie from those of the processor in float32."""
    image, proposals = variants.photograph()
    fixed, network = variants.Fixed(proposals), variants.vgg()
    exact = score_image(image, fixed, network, device="cpu")
    rows = {}
    for name, precision, tf32 in (
        ("float32, as PyTorch sets it", "float32", torch.backends.cudnn.allow_tf32),
        ("float32, without TF32", "float32", False),
        ("bf16", "bf16", torch.backends.cudnn.allow_tf32),
    ):
        before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, tf32
        ours = score_image(image, fixed, network, device="cuda", precision=precision)
        torch.backends.cudnn.allow_tf32 = before
        tops = [
            set(affective_regions(each, variants.K).region.values[0].tolist())
            for each in (exact, ours)
        ]
        labels = [int(predict_labels(each, variants.K).label[0]) for each in (exact, ours)]
        apart = np.abs(exact.region_probability.values - ours.region_probability.values)
        rows[name] = {
            "largest_difference": float(apart.max()),
            "same_label": labels[0] == labels[1],
            "top_k_in_common": len(tops[0] & tops[1]),
        }
        print(name, rows[name], flush=True)
    return rows


def finetuning(peaks):
    """Training images a second of steps on a batch that is on the card, and of the loader."""
    rows = []
    flops = 3 * variants.flops_of(variants.vgg())
    for batch in (32, 128):
        steps = 5
        plain = bench_training.trainer("vgg16", batch, steps, torch.contiguous_format)
        fast = bench_training.trainer("vgg16", batch, steps, torch.channels_last, bf16=True)
        times = interleave({f"batch {batch}, float32": plain, f"batch {batch}, bf16": fast})
        slow, quick = times.values()
        ratios = [a / b for a, b in zip(slow, quick, strict=True)]
        rate = batch * steps / median(quick)
        rows.append(
            {
                "batch": batch,
                "ratio": {"min": min(ratios), "median": median(ratios)},
                "images_per_second": rate,
                "share_of_peak": rate * flops / 1e12 / peaks["bf16_tflops"],
            }
        )
        print("finetuning", rows[-1], flush=True)
        del plain, fast
        torch.cuda.empty_cache()
    images = TrainingImages(many(512), 224, resize=256, mirror=True, seed=0)
    bench_training.load(images, 64)  # to warm up
    start = variants.CLOCK()
    bench_training.load(images, 256)
    alone = 256 / (variants.CLOCK() - start)
    return {"steps": rows, "loader_images_per_second_a_core": alone}


def main():
    peaks = ceilings()
    print(peaks, flush=True)
    facts = {
        "command": "python benchmarks/bench_gpu.py --record",
        "date": date.today().isoformat(),
        "commit": source_commit(),
        "machine": machine(),
        "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30),
        "peaks": peaks,
        "images": IMAGES,
        "regions": variants.REGIONS,
        "batch": BATCH,
        "k": variants.K,
        "vgg16_gflop": round(variants.flops_of(variants.vgg()) / 1e9, 2),
        "agreement": agreement(),
        "network": network_rates(peaks),
        "cropping": cropping(),
        "finetuning": finetuning(peaks),
        "rows": scoring(peaks),
    }
    print(json.dumps(facts, indent=1))
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps(facts, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()
