"""Loss, optimiser and schedule of a fine-tuning, as a Lightning module."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.nn.functional import cross_entropy

from arlib.networks.backbones import Backbone
from arlib.networks.loaders import Batch
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
        """Return the cross-entropy of one batch."""
        weights = None if self.class_weights is None else self.class_weights.to(self.device)
        loss = cross_entropy(self._logits(batch[0]), batch[1], weights)
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss is {loss.item()} at step {self.global_step}: lower lr "
                f"({self.settings.lr}) or use precision='32-true'"
            )
        how: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": len(batch[1])}
        self.log("train_loss", loss, prog_bar=True, sync_dist=True, **how)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log loss and accuracy on held-out images."""
        logits, labels = self._logits(batch[0]), batch[1]
        right = (logits.argmax(dim=1) == labels).float().mean()
        loss = cross_entropy(logits.float(), labels)
        for name, value in {"val_loss": loss, "val_accuracy": right}.items():
            self.log(name, value, batch_size=len(labels), sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Create SGD, whose rate is higher for the new classifier; both rates drop in steps."""
        s = self.settings
        head = list(self.network.classifier.parameters())
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
        drops = torch.optim.lr_scheduler.StepLR(optimizer, every, s.gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": drops, "interval": "step"}}

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        batch = self.network.preprocessing.normalize(pixels)
        return self.network(batch.contiguous(memory_format=torch.channels_last))
