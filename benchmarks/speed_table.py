"""Records of speed as the book's page shows them; run it to write the page anew."""

import json
import statistics
from pathlib import Path

MEGABYTES = "memory"
RECORDS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "book" / "guide" / "speed.md"


def table(record, gpu):
    """Markdown of a record of `bench_speed.py`: targets beside what was measured.

    Args:
        record: the JSON of benchmarks/results/speed.json.
        gpu: the JSON of benchmarks/results/gpu.json: the same rows on a GPU.

    Returns:
        Lines of a table; a ratio is how many times as long the baseline takes.
    """
    lines = [
        "| what | against | target | median | least | ours / at matrix rate | met | GPU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in record["rows"].items():
        if name == MEGABYTES:
            peak = row["megabytes"]
            cells = [f"+ <= {row['target']:.0f} MB", f"{peak:+.1f} MB", "", ""]
            met = peak <= row["target"]
        else:
            ratio = row["ratio"]
            cells = [f">= {row['target']:g}x", times(ratio["median"]), times(ratio["min"])]
            cells.append(at_matrix_rate(row))
            met = ratio["median"] >= row["target"]
        same = {**gpu["rows"], "finetuning": gpu["finetuning"]["steps"][-1]}.get(name)
        cells += ["yes" if met else "no", times(same["ratio"]["median"]) if same else "–"]
        cells = [row["title"], row["baseline"], *cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


WAITS = {
    "cold": ("`arlib predict` on one photograph, from the shell", "now"),
    "predict": ("`arlib.predict` on one more, in a process that has predicted before", "now"),
    "mobilenet": ("MobileNetV2, a photograph from file to scores, 100 regions", "now"),
    "vgg16-float32": ("VGG-16, the same regions of one photograph", "float32"),
    "finetuning": ("VGG-16, a step of fine-tuning with 8 images", "channels last, bf16"),
    "sweep": ("from the scores of 603 photographs to accuracy over K = 1..20", "sweep K = 1..20"),
}
"""What a reader waits for: a row of `bench_speed.py` -> words, and the timing."""


def waits(record):
    """Markdown of the median seconds that a reader waits for."""
    lines = ["| what | seconds |", "|---|---|"]
    for name, (words, timing) in WAITS.items():
        row = record["rows"][name]
        seconds = statistics.median(row["seconds"][timing]) / row["facts"].get("files", 1)
        lines.append(f"| {words} | {seconds:.2g} |")
    return "\n".join(lines)


def with_gpu(record):
    """Markdown of a record of `bench_speed.py`, beside that of `bench_gpu.py`."""
    return table(record, json.loads((RECORDS / "gpu.json").read_text()))


def times(ratio):
    """Write a ratio with the digits that it deserves."""
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2f}x"


def at_matrix_rate(row):
    """How long it took at best, beside what the arithmetic alone takes at the measured peak."""
    if "floor_seconds" not in row:
        return ""
    ours = min(list(row["seconds"].values())[1])
    return f"{ours:.2f} / {row['floor_seconds']:.2f} s"


def on_gpu(record):
    """Markdown of a record of `bench_gpu.py`: rates, and shares of the card's own peak."""
    machine, peaks, rows = record["machine"], record["peaks"], record["rows"]
    alone = {row["precision"]: row for row in record["network"] if row["batch"] == record["batch"]}
    steps, cut = record["finetuning"]["steps"], record["cropping"]
    lines = [
        f"{machine['gpu']}, {record['memory_gib']} GiB, beside {machine['cores']} cores; PyTorch "
        f"{machine['torch']}. Matrix products of 8192 x 8192 reach {peaks['bf16_tflops']:.0f} "
        f"TFLOP/s in bfloat16, {peaks['tf32_tflops']:.0f} in TF32, which PyTorch takes for the "
        f"convolutions of float32, and {peaks['float32_tflops']:.0f} in float32; a copy moves "
        f"{peaks['copy_tb_per_second']:.1f} TB/s, read and written. The {cut['regions']} regions "
        f"of an image are cut and resized in {1e3 * cut['together']:.1f} ms; one after another "
        f"they took {1e3 * cut['one_by_one']:.1f} ms. Made on {record['date']} by "
        f"`{record['command']}`.",
        "",
        "| what | precision | a second | share of the peak | against plain code | least |",
        "|---|---|---|---|---|---|",
    ]
    for precision in alone:
        row = alone[precision]
        lines.append(
            f"| crops through VGG-16 alone, {row['batch']} at once | {precision} "
            f"| {row['rate']:,.0f} | {row['share']:.0%} | | |"
        )
    for precision in alone:
        row = rows[f"vgg16-{precision}"]
        lines.append(
            f"| crops of `score`, from images in memory to the store, {record['images']} images "
            f"| {precision} | {row['crops_per_second']:,.0f} | {row['share_of_peak']:.0%} "
            f"| {times(row['ratio']['median'])} | {times(row['ratio']['min'])} |"
        )
    for row in steps:
        lines.append(
            f"| images in steps of fine-tuning VGG-16, {row['batch']} at once | bf16 "
            f"| {row['images_per_second']:,.0f} | {row['share_of_peak']:.0%} "
            f"| {times(row['ratio']['median'])} | {times(row['ratio']['min'])} |"
        )
    lines += [
        "",
        "| probabilities beside those of the processor in float32 | largest difference "
        f"| top {record['k']} in common | same label |",
        "|---|---|---|---|",
    ]
    for name, row in record["agreement"].items():
        same = "yes" if row["same_label"] else "no"
        lines.append(
            f"| {name} | {row['largest_difference']:.4f} | {row['top_k_in_common']} | {same} |"
        )
    return "\n".join(lines)


def paper_edition(record):
    """Markdown of a record of `paper_scenes.py`: what each step of the edition took."""
    machine, runs = record["machine"], record["runs"]
    lines = [
        f"{machine['gpu']}, beside {machine['cores']} cores; by `python benchmarks/paper_scenes.py "
        f"FOLDER {record['command'].partition('FOLDER ')[2]}`.",
        "",
        "| step | seconds |",
        "|---|---|",
    ]
    for name, taken in record["seconds"].items():
        parts = runs.get(name)
        detail = ", ".join(f"{part} {value:g}" for part, value in (parts or {}).items())
        lines.append(f"| {name}{f' ({detail})' if detail else ''} | {taken:g} |")
    return "\n".join(lines)


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
        "| images | network | way | same label | same top 8 | top 8 in common "
        "| largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        way = {"bf16": "bfloat16", "openvino": "OpenVINO"}[row["way"]]
        shares = [f"{row[name]:.1%}" for name in ("same_label", "same_top_k", "common")]
        cells = [f"{row['dataset']} ({row['images']})", row["network"], way, *shares]
        lines.append(f"| {' | '.join(cells)} | {digits(row['largest_difference'])} |")
    return "\n".join(lines)


def digits(difference):
    """Write a difference with the digits that it deserves."""
    return f"{difference:.4f}" if difference >= 1e-4 else f"{difference:.0e}"


def blocks():
    """Every generated block of the page whose record is there: name -> Markdown."""
    makers = {
        "waits": ("speed", waits),
        "machine": ("speed", conditions),
        "speed": ("speed", with_gpu),
        "gpu": ("gpu", on_gpu),
        "paper": ("paper_scenes", paper_edition),
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
