"""Fine-tune a pre-trained network to sentiment (Sun et al. 2016, Sec. 3), on Lightning."""

import csv
import hashlib
import json
import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
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
from arlib._support.files import one_line, read_json
from arlib._support.progress import progress_bar
from arlib._support.storage import write_atomic
from arlib.datasets import Dataset, DatasetError
from arlib.networks.backbones import Backbone
from arlib.networks.devices import memory_for
from arlib.networks.feature_maps import couple
from arlib.networks.finetuner import Finetuner, class_weights
from arlib.networks.loaders import Batch, Schedule, TrainingImages, collate
from arlib.networks.models import Model, load_model
from arlib.networks.training import LightningPrecision, TooFewError, Training

log = logging.getLogger(__name__)

_ENOUGH = 100  # images, by which is known whether most are unreadable


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
    """Train a network on a labelled set, or resume an interrupted run.

    An image that cannot be read is logged, listed in `network.json` under "unreadable", and another
    image of its class, drawn by the seed, takes its place in the batch.

    Args:
        network: with as many outputs as the set has classes; changed in place. By `training`'s head
            "coupled" its classifier is replaced, and the layers below change.
        dataset: the training images.
        folder: takes `network.safetensors`, `network.json`, `checkpoints/`, `logs/` (CSV) and
            `board/` (TensorBoard); an unfinished run is resumed there, a finished one is loaded.
        training: the settings; None takes the defaults.
        validation: held-out images; None reports training loss alone.
        devices: processes of this machine that share each batch (DDP).
        nodes: machines that share it, each started by torchrun, with one folder that all reach.
        progress: show a bar.

    Returns:
        The trained network, in evaluation mode.

    Raises:
        TooFewError: the set has too few images, or images of one class only.
        MemoryError: a batch does not fit the memory, or processes that load images were killed.
        ValueError: network, settings and set do not fit, such as a network without a feature map
            for a coupled head; most images are unreadable; the loss is not finite; or the folder
            holds another run.
    """
    # check the request, and that the folder is this run's
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
        "from_weights_sha256": network.sha256(),
        "arlib": __version__,
    }
    _claim(folder, facts)
    if (folder / "network.json").exists():
        theirs = read_json(folder / "network.json", {"backbone": str})["backbone"]
        return load_model(folder, trusted=theirs == network.name).network
    # train, from the last checkpoint if there is one
    if plan.head == "coupled" and network.kind != "coupled":
        network = couple(network, seed=plan.seed)
    weights = class_weights(dataset.labels, network.classes) if plan.class_weights else None
    module = Finetuner(network, plan, weights)
    started = time.perf_counter()
    module.train()
    network.network.to(memory_format=torch.channels_last)
    checkpoint = _last_checkpoint(folder, module)
    unreadable = _Unreadable(dataset, plan.batch_size)
    with _quiet(), redirect_stdout(sys.stderr):  # where progress belongs
        beside: list[L.Callback] = [
            unreadable,
            *([_Bar(network.name, plan.iterations)] if progress else []),
        ]
        trainer = _trainer(folder, plan, devices, nodes, beside, validating=validation is not None)
        loaders = _loaders(network, dataset, validation, plan, trainer)
        fitting = memory_for(plan.batch_size, f"training {network.name}")
        with _errors_of_loaders(), fitting:
            trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
    # write the network and what it was trained on
    facts["seconds"] = round(time.perf_counter() - started, 1)
    facts["steps"] = trainer.global_step
    facts["unreadable"] = unreadable.reasons
    trained = module.network.cpu().eval()
    if trainer.is_global_zero:
        Model(trained, dataset.emotions, facts=facts).save(folder / "network.safetensors")
    return trained


def learning_curve(folder: str | Path) -> list[dict[str, float]]:
    """Read the log of a fine-tuning.

    Args:
        folder: as given to `finetune`.

    Returns:
        One row a round: step, train_loss and, if validated, val_loss and val_accuracy.

    Raises:
        FileNotFoundError: the folder holds no log.
    """
    logs = list(Path(folder, "logs").glob("version_*/metrics.csv"))
    if not logs:
        raise FileNotFoundError(f"no log of a fine-tuning in {folder}")
    rows: dict[int, dict[str, float]] = {}
    for path in sorted(logs, key=lambda path: int(path.parent.name.rpartition("_")[2])):
        with path.open() as file:  # a resumed run has one log a start
            try:
                for row in csv.DictReader(file):
                    values = {name: float(value) for name, value in row.items() if value}
                    rows.setdefault(int(values["step"]), {}).update(values)
            except (ValueError, KeyError, TypeError, csv.Error) as error:
                raise ValueError(f"{path} is no log of a training: {one_line(error)}") from error
    return [rows[step] for step in sorted(rows)]


def _check(network: Backbone, dataset: Dataset, plan: Training) -> None:
    """Refuse a network, set and settings that do not fit together."""
    if network.classes != len(dataset.emotions):
        raise ValueError(
            f"{network.name} has {network.classes} outputs, {dataset.name} has "
            f"{len(dataset.emotions)} classes: load it with classes={len(dataset.emotions)}"
        )
    if network.kind == "coupled" and plan.head != "coupled":
        raise ValueError(
            f"{network.name} has a coupled head, which is trained on with head 'coupled', not "
            f"{plan.head!r}"
        )
    if not len(dataset):
        raise TooFewError(f"{dataset.name} holds no image: is its training fold empty?")
    if (dataset.labels < 0).any():
        raise ValueError(f"{(dataset.labels < 0).sum()} images of {dataset.name} have no label")
    if np.unique(dataset.labels).size < 2:
        raise TooFewError(f"{dataset.name} has one class only: {len(dataset)} images")
    if plan.batch_size > len(dataset):
        raise TooFewError(
            f"a batch of {plan.batch_size} is larger than {dataset.name}: {len(dataset)} images"
        )


def _claim(folder: Path, facts: dict[str, Any]) -> None:
    """Write the run's plan into its folder; refuse a folder of another run."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = folder / "plan.json"
    if plan.exists():
        theirs = read_json(plan)
        differs = [
            name
            for name in facts
            if name != "arlib" and theirs.get(name) != json.loads(json.dumps(facts[name]))
        ]
        if differs:
            raise ValueError(
                f"{folder} holds another run (its {', '.join(differs)} differ): "
                "name another folder, or remove it"
            )
    elif _others(folder) and not plan.exists():  # another process may write it now
        raise ValueError(
            f"{folder} is not empty and holds no fine-tuning: name another folder, or remove it"
        )
    write_atomic(plan, json.dumps(facts, indent=1) + "\n")


def _others(folder: Path) -> list[str]:
    """Name what a folder of checkpoints, or a new one, does not hold."""
    return [path.name for path in folder.glob("[!.]*") if path.name != "checkpoints"]


def _identity(dataset: Dataset) -> str:
    """SHA-256 over the keys, files and labels that a network learns from."""
    digest = hashlib.sha256()
    for array in (dataset.keys, dataset.files, dataset.labels):
        digest.update("\n".join(map(str, array.tolist())).encode())
    return digest.hexdigest()


def _trainer(
    folder: Path,
    plan: Training,
    devices: int,
    nodes: int,
    beside: Sequence[L.Callback],
    *,
    validating: bool,
) -> L.Trainer:
    extra = [*beside]
    if plan.ema:
        extra.append(callbacks.EMAWeightAveraging(decay=plan.ema))
    if plan.patience and validating:
        extra.append(callbacks.EarlyStopping("val_loss", patience=plan.patience))
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
        precision=cast(LightningPrecision, plan.precision),  # resolved by the plan
        sync_batchnorm=devices * nodes > 1 and torch.cuda.is_available(),  # has no CPU version
        callbacks=[keep, *extra],
        logger=logs,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


class _Unreadable(L.Callback):
    """Log each unreadable image once; checkpoints keep the list, key -> reason."""

    def __init__(self, dataset: Dataset, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.learned, self.validated = dict[str, str](), dict[str, str]()

    @property
    def reasons(self) -> dict[str, str]:
        """Why images could not be read."""
        return dict(sorted((self.validated | self.learned).items()))

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Note what is unreadable, and end training if that is most."""
        _note(batch[2], self.learned)
        n, failed = len(self.dataset), len(self.learned)
        tried = min(n, self.batch_size * (trainer.global_step + 1))
        if 2 * failed > tried >= min(n, _ENOUGH):
            key, reason = next(iter(self.learned.items()))
            raise DatasetError(
                f"{self.dataset.name}: {failed:,} of {tried:,} images are unreadable, "
                f"such as {key}: {reason}"
            )

    def on_validation_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Batch, *_: Any
    ) -> None:
        """Note what is unreadable."""
        _note(batch[2], self.validated)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Gather what other processes noted, before the checkpoint is written."""
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, self.learned)
            self.learned = {key: reason for part in parts for key, reason in part.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"learned": self.learned, "validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.learned, self.validated = state_dict["learned"], state_dict["validated"]


def _note(unreadable: dict[str, str], known: dict[str, str]) -> None:
    for key in sorted(unreadable.keys() - known.keys()):
        log.warning("left out: %s: %s", key, unreadable[key])
    known |= unreadable


class _Bar(L.Callback):
    """Show the steps that are done, the losses of the last round, and how far validation is."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps = name, steps
        self.bars: dict[str, Any] = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start where the checkpoint ended."""
        first = trainer.global_step
        self._open(trainer, "fine-tuning", total=self.steps, initial=first, unit="step")

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Count a step."""
        bar = self.bars["fine-tuning"]
        bar.update(trainer.global_step - bar.n)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Show the losses."""
        metrics = {name: float(value) for name, value in trainer.progress_bar_metrics.items()}
        self.bars["fine-tuning"].set_postfix(metrics, refresh=False)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start a round's validation."""
        total = int(sum(trainer.num_val_batches))
        self._open(trainer, "validating", total=total, unit="step", leave=False)

    def on_validation_batch_end(self, *_: Any) -> None:
        """Count a step of it."""
        self.bars["validating"].update()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """End a round's validation."""
        self.bars["validating"].close()

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Close the bars, however training ended."""
        for bar in self.bars.values():
            bar.close()

    def _open(self, trainer: L.Trainer, stage: str, **settings: Any) -> None:
        what, show = f"{stage} {self.name}", trainer.is_global_zero
        self.bars[stage] = progress_bar(desc=what, show=show, **settings)


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
    images = TrainingImages(dataset, size, resize=resize, mirror=plan.augment, seed=plan.seed)
    loading: dict[str, Any] = {
        "num_workers": plan.workers,
        "persistent_workers": plan.workers > 0,
        "pin_memory": torch.cuda.is_available(),
        "collate_fn": collate,
    }
    train = DataLoader(images, batch_sampler=schedule, **loading)
    if validation is None:
        return train, None
    held_out = TrainingImages(validation, size, resize=None, mirror=False, seed=plan.seed)
    return train, DataLoader(held_out, batch_size=256, **loading)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Lightning's notes about hardware, packages and non-empty folders."""
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


@contextmanager
def _errors_of_loaders() -> Iterator[None]:
    """Raise in a line what ended a loading process: its own error arrives as its traceback."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if re.match(r"DataLoader worker .*(killed by signal|exited unexpectedly)", str(error)):
            raise MemoryError(
                "a process that loads images was killed, as where memory is too little: lower "
                "workers"
            ) from error
        kind, _, message = str(error).strip().rpartition("\n")[2].partition(": ")
        if not kind.startswith("arlib."):
            raise
        raise ValueError(message) from error


def _last_checkpoint(folder: Path, module: Finetuner) -> Path | None:
    """The newest checkpoint, checked to be of this network; Lightning writes each in one rename."""
    paths = sorted((folder / "checkpoints").glob("*.ckpt"))  # their names rise with the step
    if not paths:
        return None
    path, fix = paths[-1], "remove it, and training resumes from the one before, or from the start"
    try:
        with warnings.catch_warnings(action="ignore"):  # a damaged file is reported below
            state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        theirs = {name: tensor.shape for name, tensor in state.items()}
    except Exception as error:  # damaged files raise nearly anything: IndexError, UnicodeError, ...
        raise ValueError(f"{path} is no checkpoint of a training: {fix}") from error
    if theirs != {name: tensor.shape for name, tensor in module.state_dict().items()}:
        raise ValueError(f"{path} is a checkpoint of another network: {fix}")
    return path
