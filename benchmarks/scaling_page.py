"""Write the generated block of book/guide/scaling.md from benchmarks/results/scaling.json.

python benchmarks/scaling_page.py
"""

import json
from pathlib import Path

from scaling import estimate, report, simulate, worker_rate

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "guide" / "scaling.md"
FACTS = ROOT / "benchmarks" / "results" / "scaling.json"
BEGIN, END = "<!-- begin: benchmarks/scaling_page.py -->\n", "<!-- end -->\n"
SETS = {"484,258": 484_258, "10 million": 10_000_000, "1 billion": 1_000_000_000}
CORES, PRICE, BANDWIDTH, HANDOUT = 16, 0.05, 5e9, 0.005


def block(facts):
    """Make the page's numbers."""
    rates = report(facts["rates"])["one core"]
    alone = worker_rate(rates, 1, shared=True)["all"]
    lines = [
        f"One core of this machine ({facts['machine']['processor']}, {facts['backbone']}, "
        f"{facts['regions']} regions an image; `{facts['command']}`):",
        "",
        "| stage | images a second |",
        "|---|---|",
        *(f"| {name} | {getattr(rates, name):,.3g} |" for name in STAGES),
        f"| all of them on that core | {alone:.3g} |",
        f"| assembling the store, one process | {rates.store:,.0f} |",
        "",
        f"An image's file has {rates.bytes_read / 1e3:.0f} kB, its scores "
        f"{rates.bytes_written / 1e3:.1f} kB.",
        "",
        f"**Time and cost** on machines of {CORES} such cores without a GPU, at {PRICE} a core and "
        f"hour, with storage that gives {BANDWIDTH / 1e9:.0f} GB/s to all of them:",
        "",
        "| images | machines | time | cost | bottleneck | read | written |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, images in SETS.items():
        for machines in (1, 10, 100, 1000):
            result = estimate(
                rates,
                images,
                machines,
                CORES,
                shared=True,
                price=PRICE * CORES,
                bandwidth=BANDWIDTH,
            )
            lines.append(
                f"| {name} | {machines:,} | {_time(result.hours)} | {result.cost:,.0f} | "
                f"{result.bottleneck} | {result.bytes_read / 1e9:,.0f} GB | "
                f"{result.bytes_written / 1e9:,.1f} GB |"
            )
    before = 1 / sum(1 / (getattr(rates, n) * CORES) for n in ("decode", "propose", "crop"))
    lines += [
        "",
        f"**Where the bottleneck moves.** {CORES} cores decode, propose and crop {before:.0f} "
        "images a second. A device that passes fewer through the network, "
        f"{before * (facts['regions'] + 1):,.0f} "
        "crops a second, keeps the network the bottleneck; a faster one waits for proposals. "
        "10 million images on 10 machines, by what a machine's device does:",
        "",
        "| network, images a second | time | bottleneck |",
        "|---|---|---|",
    ]
    for network in (1, 10, 50, 100, 1000):
        faster = type(rates)(**{**vars(rates), "network": network})
        result = estimate(faster, 1e7, 10, CORES, bandwidth=BANDWIDTH)
        lines.append(f"| {network:,} | {_time(result.hours)} | {result.bottleneck} |")
    lines += [
        "",
        "**Efficiency in a simulation**, useful work over workers times time: 10 million images, "
        "shard times as recorded, workers of one core each; a tenth of them three times slower, "
        "a shard in a hundred that kills its worker, 30 s until a worker has its "
        f"network, {1e3 * HANDOUT:.0f} ms for the scheduler to hand out a shard:",
        "",
        "| images a shard | workers | undisturbed | stragglers | failures | both | begun twice |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in (256, 1024, 4096):
        seconds = [s / facts["shard_images"] * size for s in facts["shard_seconds"]]
        for workers in (1, 10, 100, 1000):
            cells = []
            for slow, dies in ((0, 0), (0.1, 0), (0, 0.01), (0.1, 0.01)):
                result = simulate(
                    seconds,
                    -(-10_000_000 // size),
                    workers,
                    stragglers=slow,
                    failures=dies,
                    start=30,
                    handout=HANDOUT,
                )
                cells.append(f"{result.efficiency:.0%}")
            lines.append(f"| {size:,} | {workers:,} | {' | '.join(cells)} | {result.retries:,} |")
    return "\n".join(lines) + "\n"


STAGES = ("decode", "propose", "crop", "network")


def _time(hours):
    if hours < 2:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < 96 else f"{hours / 24:,.0f} days"


def replaced(page, text):
    """Put the block into the page's text."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + text + END + rest.partition(END)[2]


if __name__ == "__main__":
    text = block(json.loads(FACTS.read_text()))
    PAGE.write_text(replaced(PAGE.read_text(), text))
