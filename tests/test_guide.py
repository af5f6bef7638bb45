"""The numbers in the guide's prose are those of the records, the settings and the paper's table."""

import json
import re
from dataclasses import fields
from inspect import signature
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
import yaml
from torchvision.models import alexnet

from arlib.datasets import load
from arlib.datasets.scenes import draw_set
from arlib.evaluation import methods, paper_table
from arlib.experiments import Experiment, open_run, scenes_protocol
from arlib.method import RULE_2018, predict_labels
from arlib.networks import Training
from scaling import estimate, report, simulate, worker_rate

ROOT = Path(__file__).parents[1]
SPEED, SCALING, SHARED, GPU, SCENES = (
    json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    for name in ("speed", "scaling", "shared", "gpu", "paper_scenes")
)
REPLAY = json.loads((ROOT / "book" / "results" / "replay_2018.json").read_text())


def page(name):
    """A page of the guide, or the README, on one line."""
    path = "README.md" if name == "README" else f"book/guide/{name}.md"
    return " ".join((ROOT / path).read_text().split())


def holds(name, *sentences):
    """Whether a page has every sentence; its numbers end where the sentence's do."""
    text = page(name)
    for sentence in sentences:
        assert re.search(rf"(?<![\d.,]){re.escape(sentence)}(?!\d|[.,]\d)", text), sentence


def of(name):
    return next(value for key, value in REPLAY.items() if key.startswith(name))


def test_departures_count_what_the_replay_of_2018_counted():
    share = {
        name: f"{of(name):.0%}".replace("%", " %")
        for name in ("top-K overlap, Eq. 2 and the rule", "top-K overlap of two", "first region")
    }
    both, random, first = share.values()
    ours, theirs = (
        f"{100 * of(name) / of('images'):.1f} %"
        for name in ("labels that Eq. 1 to 3 change", "labels that the rule of 2018 changes")
    )
    holds(
        "departures",
        f"scores of {of('images'):,} images, {of('regions an image')} regions each",
        "| images whose label it could change, whatever their regions | "
        f"{of('labels that Eq. 3 can')} | {of('labels that the rule of 2018 can')} |",
        "| images whose label it changes, against the full image | "
        f"{of('labels that Eq. 1 to 3 change')} | {of('labels that the rule of 2018 changes')} |",
        f"The two rules give {of('labels on which')} images different labels. Of the eight regions "
        f"{both} are the same, where two random choices would share {random}; the first region is "
        f"the same in {first} of the images",
        f"the label of {ours} of the images by [Eq. 1](../03_sentiment_score.ipynb#eq-senti) to "
        f"[Eq. 3](../05_fusion.ipynb#eq-fusion) and of "
        f"{theirs} by the rule of 2018",
    )


def test_departures_state_the_rule_and_the_schedule_of_2018_that_the_library_has():
    rule, training = RULE_2018, Training()
    holds(
        "departures",
        f"AR = {1 - rule['alpha']:g} senti + {rule['alpha']:g} obj, $K = {rule['k']}$",
        f"{1 - rule['beta']:g} of the full image plus {rule['beta']:g} of the regions' mean",
        f"learning rate {training.lr:.4f} divided by {1 / training.gamma:.0f} every "
        f"{training.step * 20_000:,.0f}, momentum {training.momentum}, weight decay "
        f"{training.weight_decay}, the last layer ten times faster",
        f"(`step`: {training.step}, a fifth of the run)",
        f"or {training.epochs:.0f} passes over the set",
    )
    assert training.head_factor == 10


def test_departures_state_the_settings_of_the_runs():
    default = {field.name: field.default for field in fields(Experiment)}
    scenes = scenes_protocol()
    tagged = 0.9 * len(draw_set("scenes-tagged", scale=scenes.scale))  # a tenth is held out
    paper = yaml.safe_load((ROOT / "editions" / "paper.yaml").read_text())["protocol"]
    holds(
        "departures",
        f"the best {default['max_regions']}; {scenes.max_regions} on the synthetic scenes",
        f"some {round(tagged, -3):,.0f} tagged scenes",
        f"on {paper['fit_on']:,} images of the 90 %",
        f"were uniform, the rule would drop {2 * np.log(2) - 1:.1%}".replace("%", " %"),
    )
    for folder in sorted((ROOT / "book" / "results").glob("*-ft*")):
        training = open_run(folder).facts["experiment"]["training"]
        holds("departures", f"{training['epochs']:g} epochs at {training['lr']}, dropped once")
        assert 0.5 < training["step"] < 1, "the learning rate drops once"
        assert training["frozen_norm"], "batch norms as they were"


def test_departures_state_the_papers_own_best_k():
    *most, last = paper_table().attrs["k"].values()
    holds("departures", f"{', '.join(map(str, most))} and {last} in Table 1")


def test_departures_describe_the_alexnet_that_stands_for_caffenet():
    with torch.device("meta"):
        layers = alexnet().features
    *most, last = (layer.out_channels for layer in layers if isinstance(layer, torch.nn.Conv2d))
    holds("departures", f"({', '.join(map(str, most))} and {last} filters instead of")


def test_departures_count_the_pairs_of_vso_that_have_photographs(data_root):
    _, counts = np.unique(load("vso", root=data_root / "vso").tags, return_counts=True)
    assert (counts >= 5).sum() == 6  # a detector takes at least five images
    holds("departures", "for six of VSO's pairs on photographs")


def test_the_page_on_speed_says_what_was_recorded():
    rows, peak = SPEED["rows"], SPEED["peak_gflops"]
    plain, ours = rows["vgg16-float32"]["seconds"].values()
    matrix = rows["vgg16-float32"]["floor_seconds"]
    share = rows["proposals"]["facts"]["edge_map_share"]
    same, few = (SPEED["rows"]["vgg16-float32"]["facts"]["k"] / n for n in (100, 60))
    sizes = dict(re.findall(r"--(\w+) (\d+)", SCENES["command"]))
    holds(
        "speed",
        f"Edge maps are {100 * share:.0f} % of the time",
        f"`score` spends {GPU['rows']['preparing_seconds']:.1f} s before its first image",
        f"one core proposes for {SCALING['rates']['one core']['propose']:.1f} photographs a second",
        f"Two random choices of 8 of 100 regions would share {100 * same:.0f} %, of the scenes' 60 "
        f"they would share {100 * few:.0f} %",
        f"run at {peak['bfloat16'] / peak['float32']:.1f} times the rate of float32's, and the "
        f"plain loop in float32 already reaches {100 * matrix / median(plain):.0f} % of its own",
        f"it is {GPU['rows']['vgg16-bf16']['ratio']['median']:.2f} times as fast as the plain loop",
        f"takes {min(ours) / matrix:.2f} to {max(ours) / matrix:.2f} of the time at matrix rate",
        f"Twitter II ({sizes['images']} images) and VSO ({int(sizes['tagged']):,})",
    )


def test_the_shared_map_chooses_other_regions_than_cropping_and_mostly_the_same_labels():
    scenes, *photographs = SHARED["rows"]
    assert scenes["dataset"] == "scenes"
    for row in photographs:
        assert row["common"] < 0.5 < scenes["common"], (
            "mostly other regions; the scenes come closer"
        )
        assert row["same_label"] > 0.5
        assert row["seconds_crops"] / row["seconds_shared"] > 2
    assert scenes["seconds_crops"] / scenes["seconds_shared"] < 2, "small networks gain little time"


def test_the_page_on_scaling_reads_its_own_table_rightly():
    rates = report(SCALING["rates"])["one core"]
    images, cores = 484_258, 16
    days = images / worker_rate(rates, 1, shared=True)["all"] / 86_400
    holds("scaling", f"they are {days:.0f} days of work for one core")

    # "on cores alone the network is the bottleneck; with a fast enough device it is the proposals,
    # then the one process that packs the store ...; decoding and reading never are"
    alone = [estimate(rates, 1e7, n, cores, shared=True, bandwidth=5e9) for n in (1, 10, 100, 1000)]
    assert [each.bottleneck for each in alone] == ["network", "network", "network", "store"]
    fast = type(rates)(**{**vars(rates), "network": 1000})
    device = [estimate(fast, 1e7, n, cores, bandwidth=5e9).bottleneck for n in (1, 10, 1000)]
    assert device == ["propose", "propose", "store"]

    # "Small shards keep a thousand workers busy; large ones leave them waiting for the last"
    efficiency = {}
    for size in (256, 4096):
        seconds = [each / SCALING["shard_images"] * size for each in SCALING["shard_seconds"]]
        run = simulate(seconds, -(-10_000_000 // size), 1000, start=30, handout=0.005)
        efficiency[size] = run.efficiency
    assert efficiency[256] > 0.95
    assert efficiency[4096] < 0.85


def test_the_readme_states_the_settings_of_the_recorded_runs():
    default = {field.name: field.default for field in fields(Experiment)}
    assert default["proposals"] == "edge_boxes"
    settings = {
        name: parameter.default for name, parameter in signature(predict_labels).parameters.items()
    }
    recorded = open_run(ROOT / "book" / "results" / "oasis-mobilenet_v2").facts["results"]
    fixed = max(int(k) for k in re.findall(r"K = (\d+)", " ".join(recorded)))
    soak = (ROOT / "tests" / "scoring" / "soak" / "soak.py").read_text()
    holds(
        "README",
        f"{default['max_regions']} EdgeBoxes regions per image (terms: `book/glossary.md`), "
        f"K = {fixed}, "
        f"alpha = {settings['alpha']:g}, beta = {settings['beta']:g}",
        f"scores {int(re.search(r'many.py., ([0-9_]+)', soak)[1]):,} images",
    )
    assert (len(paper_table()), len(methods())) == (10, 12)
    holds("README", "The paper's ten rows, DeepSentiBank, a control, and rows beyond the paper's")


def test_a_number_that_the_page_does_not_hold_is_noticed():
    with pytest.raises(AssertionError):
        holds("departures", "The two rules give 3 images")
    with pytest.raises(AssertionError):
        holds("departures", "e two rules give 31 images different labels. Of the eight regions 8")
