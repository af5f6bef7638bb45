"""Records of speed as the book's page shows them; run it to write the page anew."""

import json
from pathlib import Path

MEGABYTES = "memory"
RECORDS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "book" / "guide" / "speed.md"


def table(record):
    """Markdown of a record of `bench_speed.py`: targets beside what was measured.

    Args:
        record: the JSON of benchmarks/results/speed.json.

    Returns:
        Lines of a table; a ratio is how many times as long the baseline takes.
    """
    lines = [
        "| what | against | target | median | least | floor | met | GPU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in record["rows"].items():
        if name == MEGABYTES:
            peak = row["megabytes"]
            cells = [f"+ <= {row['target']:.0f} MB", f"+ {peak:.1f} MB", "", ""]
            met = peak <= row["target"]
        else:
            ratio = row["ratio"]
            cells = [f">= {row['target']:g}x", times(ratio["median"]), times(ratio["min"])]
            cells.append(floor(row))
            met = ratio["median"] >= row["target"]
        cells = [row["title"], row["baseline"], *cells, "yes" if met else "no", "not measured"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def times(ratio):
    """Write a ratio with the digits that it deserves."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2f}x"


def floor(row):
    """How long it took at best, beside what the arithmetic alone takes at the measured peak."""
    if "floor_seconds" not in row:
        return ""
    ours = min(list(row["seconds"].values())[1])
    return f"{ours:.2f} s of {row['floor_seconds']:.2f} s"


def conditions(record):
    """Describe the machine, the date and the load of a record."""
    machine, peak = record["machine"], record["peak_gflops"]
    loads = [row["load_before"] for row in record["rows"].values()]
    has = "computes" if machine["bf16"] else "does not compute"
    threads = machine["torch_threads"]
    busy = any(row["clock"] == "process_time" for row in record["rows"].values())
    beside = (
        " Other work was running: times are processor seconds, but for the proposals', which are "
        "of the wall clock; a crop a region was timed on fewer regions than 100 and multiplied."
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, no GPU; PyTorch "
        f"{machine['torch']} on {threads} thread{'s' * (threads > 1)}, OpenCV "
        f"{machine['opencv-contrib-python']}. It {has} with bfloat16. Matrix products reach "
        f"{peak['float32']:.0f} GFLOP/s in float32 and {peak['bfloat16']:.0f} in bfloat16; "
        f"libjpeg-turbo decodes {record['decoding_mpixels_per_second']:.0f} megapixels a second; a "
        f"crop through VGG-16 is {record['vgg16_gflop']:.1f} GFLOP. Made on {record['date']} by "
        f"`{record['command']}`; load average before a row: {min(loads):.1f} to {max(loads):.1f}."
        f"{beside * busy}"
    )


def agreement(record):
    """Markdown of a record of `bench_shared.py`."""
    lines = [
        "| images | network | seconds an image, crops | shared | top 8 in common | same label "
        "| accuracy, crops | shared | full image alone |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        cells = [
            f"{row['dataset']} ({row['images']})",
            row["network"],
            f"{row['seconds_crops']:.2f}",
            f"{row['seconds_shared']:.2f}",
            f"{row['common']:.1%}",
            f"{row['same_label']:.1%}",
            *(
                f"{row[name]:.1%}"
                for name in ("accuracy_crops", "accuracy_shared", "accuracy_global")
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def precision(record):
    """Markdown of a record of `bench_precision.py`."""
    lines = [
        "| images | network | same label | same top 8 | top 8 in common | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        shares = [f"{row[name]:.1%}" for name in ("same_label", "same_top_k", "common")]
        cells = [f"{row['dataset']} ({row['images']})", row["network"], *shares]
        lines.append(f"| {' | '.join(cells)} | {row['largest_difference']:.4f} |")
    return "\n".join(lines)


def blocks():
    """Every generated block of the page whose record is there: name -> Markdown."""
    makers = {
        "machine": ("speed", conditions),
        "speed": ("speed", table),
        "precision": ("precision", precision),
        "shared": ("shared", agreement),
    }
    paths = {name: RECORDS / f"{record}.json" for name, (record, _) in makers.items()}
    return {
        name: make(json.loads(paths[name].read_text()))
        for name, (_, make) in makers.items()
        if paths[name].exists()
    }


def write_page():
    """Put the generated blocks between their marks in the page on speed."""
    text = PAGE.read_text()
    for name, block in blocks().items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        after = rest.partition(f"<!-- /{name} -->")[2]
        text = f"{before}{mark}\n{block}\n\n<!-- /{name} -->{after}"
    PAGE.write_text(text)


if __name__ == "__main__":
    write_page()
