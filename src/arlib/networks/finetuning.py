"""Fine-tuning a pre-trained network to sentiment (Sun et al. 2016, Sec. 3), on Lightning."""

import csv
import hashlib
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import callbacks, loggers
from torch.utils.data import DataLoader

from arlib import __version__
from arlib._support.storage import write_atomic
from arlib.datasets import Dataset
from arlib.networks.backbones import Backbone, load_backbone, save_weights, weights_sha256
from arlib.networks.loaders import Schedule, TrainingImages
from arlib.networks.training import (
    Finetuner,
    LightningPrecision,
    TooFewError,
    Training,
    TrainingError,
)


def finetune(
    network: Backbone,
    dataset: Dataset,
    folder: str | Path,
    *,
    training: Training | None = None,
    validation: Dataset | None = None,
    devices: int = 1,
    nodes: int = 1,
    progress: bool = True,
) -> Backbone:
    """Train a network on a labelled set; a run that was cut off goes on where it was.

    Args:
        network: as many classes as the set has; changed in place.
        dataset: the training pictures.
        folder: takes `network.safetensors`, `network.json`, `checkpoints/`, `logs/` (CSV) and
            `board/` (TensorBoard); an unfinished run is resumed there, a finished one is loaded.
        training: the settings; None takes the defaults.
        validation: held-out pictures; None reports training loss alone.
        devices: processes of this machine that share each batch (DDP).
        nodes: machines that share it, each started by torchrun with one and the same folder, which
            all of them reach.
        progress: show a bar.

    Returns:
        The trained network, in evaluation mode.

    Raises:
        TrainingError: the settings and the set do not fit; the loss is no number; or the folder
            holds another run.
    """
    folder = Path(folder)
    plan = (training or Training()).planned(len(dataset))
    _check(network, dataset, plan)
    facts = {
        "backbone": network.name,
        "emotions": list(dataset.emotions),
        "dataset": dataset.name,
        "images": len(dataset),
        "images_sha256": _identity(dataset),
        "training": {name: value for name, value in asdict(plan).items() if name != "workers"},
        "from_weights_sha256": weights_sha256(network),
        "arlib": __version__,
    }
    _claim(folder, facts)
    if (folder / "network.json").exists():
        return load_backbone(
            network.name, classes=network.classes, weights=folder / "network.safetensors"
        )
    module = Finetuner(network, plan, _class_weights(dataset) if plan.class_weights else None)
    started = time.perf_counter()
    module.train()
    network.network.to(memory_format=torch.channels_last)
    last = _last(folder, module)
    with _quiet(), redirect_stdout(sys.stderr):  # where progress belongs
        trainer = _trainer(
            folder, plan, devices, nodes, progress, validating=validation is not None
        )
        loaders = _loaders(network, dataset, validation, plan, trainer)
        trainer.fit(module, *loaders, ckpt_path=last, weights_only=True)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    facts["steps"] = trainer.global_step
    trained = module.network.cpu().eval()
    if trainer.is_global_zero:
        save_weights(trained, folder / "network.safetensors")
        write_atomic(folder / "network.json", json.dumps(facts, indent=1) + "\n")
    return trained


def learning_curve(folder: str | Path) -> list[dict[str, float]]:
    """Read what a run logged, one row a round: step, train_loss and, if validated, val_*.

    Raises:
        FileNotFoundError: the folder holds no log.
    """
    logs = list(Path(folder, "logs").glob("version_*/metrics.csv"))
    if not logs:
        raise FileNotFoundError(f"no log of a fine-tuning in {folder}")
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(logs, key=lambda path: int(path.parent.name.rpartition("_")[2])):
        with path.open() as file:  # one a start: a resumed run has several
            for row in csv.DictReader(file):
                found = {name: float(value) for name, value in row.items() if value}
                rows.setdefault(int(found["step"]), {}).update(found)
    return [rows[step] for step in sorted(rows)]


def _check(network: Backbone, dataset: Dataset, plan: Training) -> None:
    """Refuse what cannot be trained, saying what would be right."""
    if network.classes != len(dataset.emotions):
        raise TrainingError(
            f"{network.name} tells {network.classes} classes apart, {dataset.name} has "
            f"{len(dataset.emotions)}: load it with classes={len(dataset.emotions)}"
        )
    if not len(dataset):
        raise TooFewError(f"{dataset.name} holds no picture: is its training fold empty?")
    if (dataset.labels < 0).any():
        raise TrainingError(
            f"{(dataset.labels < 0).sum()} pictures of {dataset.name} have no label"
        )
    if np.unique(dataset.labels).size < 2:
        raise TooFewError(f"{dataset.name} has one class only: {len(dataset)} pictures")
    if plan.batch_size > len(dataset):
        raise TooFewError(
            f"a batch of {plan.batch_size} is larger than {dataset.name}: {len(dataset)} pictures"
        )


def _claim(folder: Path, facts: dict[str, Any]) -> None:
    """Take the folder for this run, or find that it holds the same one."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = folder / "plan.json"
    if plan.exists():
        theirs = json.loads(plan.read_text())
        differs = [
            name for name in facts if theirs.get(name) != json.loads(json.dumps(facts[name]))
        ]
        if differs:
            raise TrainingError(
                f"{folder} holds another run (its {', '.join(differs)} differ): "
                "name another folder, or remove it"
            )
    write_atomic(plan, json.dumps(facts, indent=1) + "\n")


def _identity(dataset: Dataset) -> str:
    """SHA-256 over keys, files and labels: which pictures a network learned from, and as what."""
    digest = hashlib.sha256()
    for array in (dataset.keys, dataset.files, dataset.labels):
        digest.update("\n".join(map(str, array.tolist())).encode())
    return digest.hexdigest()


def _class_weights(dataset: Dataset) -> torch.Tensor:
    """Weigh a class the more the rarer it is, n / (M n_m): (M,) float32."""
    counts = np.bincount(dataset.labels, minlength=len(dataset.emotions))
    return torch.tensor(counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)


def _trainer(
    folder: Path, plan: Training, devices: int, nodes: int, progress: bool, *, validating: bool
) -> L.Trainer:
    extra: list[L.Callback] = []
    if plan.ema:
        extra.append(callbacks.EMAWeightAveraging(decay=plan.ema))
    if plan.patience and validating:
        extra.append(callbacks.EarlyStopping("val_loss", patience=plan.patience))
    if progress:
        extra.append(callbacks.TQDMProgressBar())
    keep = callbacks.ModelCheckpoint(
        folder / "checkpoints",
        filename="{step:08d}",
        auto_insert_metric_name=False,
        save_on_train_epoch_end=True,
    )
    logs = [loggers.CSVLogger(folder, name="logs"), loggers.TensorBoardLogger(folder, name="board")]
    return L.Trainer(
        max_epochs=-(-plan.iterations // plan.round),
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if devices * nodes > 1 else "auto",
        precision=cast(LightningPrecision, plan.precision),  # settled by the plan
        sync_batchnorm=devices * nodes > 1 and torch.cuda.is_available(),  # has no CPU version
        callbacks=[keep, *extra],
        logger=logs,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
    )


def _loaders(
    network: Backbone,
    dataset: Dataset,
    validation: Dataset | None,
    plan: Training,
    trainer: L.Trainer,
) -> tuple[DataLoader, DataLoader | None]:
    size = network.preprocessing.size
    resize = round(size * plan.resize) if plan.augment else None
    schedule = Schedule(
        len(dataset),
        plan.batch_size,
        iterations=plan.iterations,
        per_round=plan.round,
        seed=plan.seed,
        rank=trainer.global_rank,
        processes=trainer.world_size,
    )
    pictures = TrainingImages(dataset, size, resize=resize, mirror=plan.augment, seed=plan.seed)
    how: dict[str, Any] = {
        "num_workers": plan.workers,
        "persistent_workers": plan.workers > 0,
        "pin_memory": torch.cuda.is_available(),
    }
    train = DataLoader(pictures, batch_sampler=schedule, **how)
    if validation is None:
        return train, None
    whole = TrainingImages(validation, size, resize=None, mirror=False, seed=plan.seed)
    return train, DataLoader(whole, batch_size=256, **how)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hush what Lightning says of itself: what it found, what it would like installed."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            warnings.simplefilter("ignore", PossibleUserWarning)
            yield
    finally:
        log.setLevel(level)


def _last(folder: Path, module: Finetuner) -> Path | None:
    """The newest checkpoint, if it is of this run.

    Names rise with the step, and Lightning writes each in one rename.
    """
    found = sorted((folder / "checkpoints").glob("*.ckpt"))
    if not found:
        return None
    fix = "remove it, and training goes on from the one before, or from the start"
    try:
        with warnings.catch_warnings(action="ignore"):  # of damaged files, which are told below
            state = torch.load(found[-1], map_location="cpu", weights_only=True)["state_dict"]
        theirs = {name: tensor.shape for name, tensor in state.items()}
    except Exception as error:  # damaged files raise nearly anything: IndexError, UnicodeError, ...
        raise TrainingError(f"{found[-1]} is no checkpoint of a training: {fix}") from error
    ours = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if theirs != ours:
        raise TrainingError(f"{found[-1]} is a checkpoint of another network: {fix}")
    return found[-1]
