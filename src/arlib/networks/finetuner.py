"""Loss, optimiser and schedule of a fine-tuning, as a Lightning module."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.nn.functional import cross_entropy

from arlib.networks.backbones import Backbone
from arlib.networks.coupled import CoupledHead
from arlib.networks.feature_maps import couple
from arlib.networks.loaders import Batch, Schedule
from arlib.networks.training import Training


class Finetuner(L.LightningModule):
    """A network with its new classifier, its loss and its schedule, by planned settings."""

    def __init__(
        self, network: Backbone, training: Training, class_weights: torch.Tensor | None = None
    ):
        super().__init__()
        self.network, self.settings = network, training
        self.class_weights = class_weights

    def train(self, mode: bool = True) -> "Finetuner":
        """Switch to training, where batch norms may have to stay in evaluation mode."""
        super().train(mode)
        if self.settings.frozen_norm:
            for module in self.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def on_train_epoch_start(self) -> None:
        """Validate at a shorter round's end too: Lightning goes by the first round's length."""
        batches = self.trainer.train_dataloader
        assert batches is not None
        self.trainer.val_check_batch = len(batches)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout in every step, so that a resumed run drops the same."""
        torch.manual_seed(self.settings.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the cross-entropy of one batch, summed over all logits that learn."""
        loss = self.loss(self.network.supervised(self._normalized(batch[0])), batch[1])
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is {loss.item()} at step {self.global_step}: lower lr "
                f"({self.settings.lr}) or use precision='32-true'"
            )
        how: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch[1])}
        self.log("train_loss", loss, prog_bar=True, sync_dist=True, **how)
        return loss

    def loss(self, logits: Iterable[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Sum the cross-entropies of logits (N, M) each with the labels (N,)."""
        weights = None if self.class_weights is None else self.class_weights.to(self.device)
        return torch.stack([cross_entropy(each, labels, weights) for each in logits]).sum()

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log loss and accuracy on held-out images."""
        logits, labels = self.network(self._normalized(batch[0])), batch[1]
        right = (logits.argmax(dim=1) == labels).float().mean()
        loss = cross_entropy(logits.float(), labels)
        for name, value in {"val_loss": loss, "val_accuracy": right}.items():
            self.log(name, value, batch_size=len(labels), sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Create SGD, and the scheduler of its rates, as Lightning takes them."""
        optimizer, drops = self.make_optimizer()
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": drops, "interval": "step"}}

    def make_optimizer(self) -> tuple[torch.optim.SGD, torch.optim.lr_scheduler.StepLR]:
        """Create SGD, whose rate is higher for the new layers; both rates drop in steps."""
        s = self.settings
        head = list(self.network.head.parameters())
        new = set(map(id, head))
        body = [parameter for parameter in self.network.parameters() if id(parameter) not in new]
        groups = [{"params": body, "lr": s.lr}, {"params": head, "lr": s.lr * s.head_factor}]
        optimizer = torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=s.lr,
            momentum=s.momentum,
            weight_decay=s.weight_decay,
        )
        every = max(1, round(s.step * s.iterations)) if s.step else s.iterations + 1
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, every, s.gamma)

    def _normalized(self, pixels: torch.Tensor) -> torch.Tensor:
        batch = self.network.preprocessing.normalize(pixels)
        return batch.contiguous(memory_format=torch.channels_last)


def fit_coupled(
    network: Backbone, maps: np.ndarray, labels: np.ndarray, classes: int, training: Training
) -> Backbone:
    """Train a coupled head on a frozen network's feature maps, by a fine-tuning's settings.

    Args:
        network: its layers below the head are the result's too, and do not change.
        maps: (n, D h w) float32, the features of `FeatureMaps` of the network.
        labels: (n,) int, in 0..classes-1.
        classes: M.
        training: the settings, as for the new layers of a network that is fine-tuned; there is no
            augmentation, and numbers are float32. The maps are divided by their root mean square,
            so that the same rates suit every network; the head is then given its weights for maps
            as they are.

    Returns:
        The network with the coupled head, in evaluation mode.

    Raises:
        ValueError: the network has no feature map before its classifier, or the loss is not finite.

    Example:
        >>> from arlib.networks import load_backbone
        >>> plain = load_backbone("vgg_tiny", weights="random")
        >>> maps = np.random.default_rng(0).random((8, 128 * 6 * 6), np.float32)
        >>> coupled = fit_coupled(plain, maps, np.arange(8) % 2, 2, Training(batch_size=4))
        >>> coupled.kind, coupled.classes
        ('coupled', 2)
    """
    n = len(labels)
    plan = replace(training, batch_size=min(training.batch_size, n)).planned(n)
    coupled = couple(network, classes=classes, seed=plan.seed)
    head = cast(CoupledHead, coupled.head)
    module = Finetuner(
        coupled, plan, class_weights(labels, classes) if plan.class_weights else None
    )
    optimizer, drops = module.make_optimizer()
    how = {"iterations": plan.iterations, "per_round": plan.round, "seed": plan.seed}
    schedule = Schedule(n, plan.batch_size, **how)
    side = math.isqrt(maps.shape[1] // head.detectors.in_channels)
    scale = float(np.sqrt(np.square(maps, dtype=np.float64).mean())) or 1.0
    for number in range(schedule.rounds):
        schedule.set_epoch(number)
        for batch in schedule:
            rows = [index for index, _ in batch]
            entering = torch.from_numpy(maps[rows] / scale).unflatten(1, (-1, side, side))
            loss = module.loss(head.branches(entering)[:2], torch.from_numpy(labels[rows]).long())
            if not torch.isfinite(loss):
                raise ValueError(f"the loss is {loss.item()}: lower lr ({plan.lr}) or head_factor")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            drops.step()
    with torch.no_grad():
        for layer in (head.detectors, head.classifier):
            layer.weight /= scale
    return coupled.eval()


def class_weights(labels: np.ndarray, classes: int) -> torch.Tensor:
    """The classes' weights, n / (M n_m): (M,) float32."""
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(counts.sum() / (classes * np.maximum(counts, 1)), dtype=torch.float32)
