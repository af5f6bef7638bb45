"""Run the edition `paper` whole on synthetic scenes, written to files in the datasets' layouts.

    python benchmarks/paper_scenes.py FOLDER [--images 400] [--tagged 4000] [--objects 4000]

Scenes are written into FOLDER, which is new or empty, as `arlib data export-scenes` does; VGG-16
and AlexNet learn the objects of the scenes, in place of ImageNet's, into FOLDER/weights; and the
edition's protocol is run there, with fewer iterations, as `arlib run` runs it. The seconds of every
stage, and Table 1, go to FOLDER/paper_scenes.json.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import yaml

ROOT = Path(__file__).parents[1]
NETWORKS = ("vgg16", "alexnet")
TRAINING = {"epochs": 5, "lr": 0.002, "step": 0.7, "batch_size": 64}


def learn_objects(name, dataset, folder):
    """Train a network from random weights on the object set; its weights take ImageNet's place."""
    from arlib.networks import Training, finetune, load_backbone

    network = load_backbone(name, classes=len(dataset.emotions), weights="random")
    plan = Training(epochs=10, batch_size=64, lr=0.01, head_factor=1, step=0.4)
    held_out = np.arange(len(dataset)) % 10 == 0
    trained = finetune(
        network,
        dataset.subset(~held_out),
        folder / "training" / name,
        training=plan,
        validation=dataset.subset(held_out),
        progress=False,
    )
    trained.save(folder / "weights" / f"{name}.safetensors")
    return float(last_accuracy(folder / "training" / name)), int((~held_out).sum()) * plan.epochs


def last_accuracy(folder):
    from arlib.networks.finetuning import learning_curve

    return [row["val_accuracy"] for row in learning_curve(folder) if "val_accuracy" in row][-1]


class Clock:
    """Seconds of each step, printed as it ends."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name, function, *arguments, **settings):
        start = time.perf_counter()
        result = function(*arguments, **settings)
        self.seconds[name] = round(time.perf_counter() - start, 1)
        print(f"{name}: {self.seconds[name]} s", flush=True)
        return result


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--images", type=int, default=400)
    options.add_argument("--tagged", type=int, default=4000)
    options.add_argument("--objects", type=int, default=4000)
    asked = options.parse_args()
    folder, clock = asked.folder.resolve(), Clock()
    os.environ |= {"ARLIB_DATA": str(folder), "ARLIB_CACHE": str(folder / "cache")}

    from arlib import datasets
    from arlib._support.provenance import machine, source_commit
    from arlib.datasets.scenes import export_scenes
    from arlib.evaluation import format_table, table1
    from arlib.experiments import STAGES, open_run, parse_experiment

    sizes = {"objects": asked.objects, "tagged": asked.tagged, "tested": asked.images}
    clock("scenes, written", export_scenes, folder, **sizes)
    seen = datasets.load("scenes-objects", n=asked.objects, seed=1)
    (folder / "weights").mkdir(exist_ok=True)
    learned = {}
    for name in NETWORKS:
        accuracy, images = clock(f"{name}, objects learned", learn_objects, name, seen, folder)
        seconds = clock.seconds[f"{name}, objects learned"]
        learned[name] = {"accuracy": accuracy, "images_per_second": round(images / seconds, 1)}
        print(learned[name], flush=True)

    settings = yaml.safe_load((ROOT / "editions" / "paper.yaml").read_text())["protocol"]
    settings["finetune"]["training"] = TRAINING
    protocol = parse_experiment({"protocol": settings})
    stages, runs = protocol.stages(progress=False), []
    for name in STAGES:
        clock(name, stages.run, name, protocol.columns)
    for column in protocol.columns:
        name = protocol.run_name(column)
        runs.append(open_run(clock(name, stages.measure, column, folder / "results")).load())
    text = clock("table", lambda: format_table(table1(runs)))
    print(text)
    facts = {
        "command": f"python benchmarks/paper_scenes.py FOLDER --images {asked.images} "
        f"--tagged {asked.tagged} --objects {asked.objects}",
        "commit": source_commit(),
        "machine": machine(),
        "objects": learned,
        "seconds": clock.seconds,
        "table": text.splitlines(),
    }
    (folder / "paper_scenes.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_float32_matmul_precision("highest")
    main()
