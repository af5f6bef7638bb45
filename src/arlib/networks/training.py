"""Settings of a fine-tuning."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from arlib._support.settings import SETTINGS, read_settings

LightningPrecision = Literal["32-true", "bf16-mixed", "16-mixed"]

HeadKind = Literal["linear", "coupled"]


class TooFewError(ValueError):
    """A set with too few images to train on, or with images of one class only."""


@dataclass(frozen=True)
class Training:
    """Settings of one run; where the paper is silent, those of the authors' 2018 release (2018).

    Attributes:
        iterations: steps of SGD; 0 takes `epochs`.
        epochs: passes over the set, when `iterations` is 0, about: in rounds of equal length.
        batch_size: images in a step, of all processes together. 2018: 32
        lr: learning rate of the pre-trained layers. 2018: 1e-4
        head_factor: the new classifier learns this many times faster. 2018: 10
        momentum: of SGD. 2018: 0.9
        weight_decay: of SGD. 2018: 5e-4
        step: share of the run after which the learning rates drop, each time it passes; 0: never.
            2018: 0.2, every 4,000 of 20,000 iterations
        gamma: the factor by which they drop. 2018: 0.1
        head: "linear", the network's own classifier; or "coupled", WSCNet's, which detects a map of
            sentiment and classifies with it: a new `arlib.networks.CoupledHead`.
        class_weights: weight classes by the inverse of their share.
        augment: random crop of `resize` times the network's size, and mirror. 2018: likewise
        resize: side of what is cropped from, of the network's size. 2018: 256 / 224
        precision: "32-true", "bf16-mixed" or "16-mixed", Lightning's names; "auto" takes bf16 on a
            GPU that has it, and float32 elsewhere.
        ema: decay of an exponential moving average of the weights; 0: none.
        round: iterations between two validations and checkpoints, about; 0: one pass over the set.
        frozen_norm: keep the batch norms' pre-trained mean and variance; only scale and shift are
            trained: for small sets, and for weights whose norms were folded into the convolutions.
        patience: stop after this many rounds without a lower validation loss; 0: never.
        seed: of shuffling, augmentation and dropout.
        workers: processes that load images; 0 loads in this one; -1 takes all cores but one beside
            a GPU, and none otherwise, where they would only take time from the network.

    Example:
        >>> Training.parse({"epochs": 3}).epochs
        3.0
    """

    iterations: int = 0
    epochs: float = 10.0
    batch_size: int = 32
    lr: float = 1e-4
    head_factor: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    step: float = 0.2
    gamma: float = 0.1
    head: HeadKind = "linear"
    class_weights: bool = False
    augment: bool = True
    resize: float = 256 / 224
    precision: LightningPrecision | Literal["auto"] = "auto"
    ema: float = 0.0
    frozen_norm: bool = False
    round: int = 0
    patience: int = 0
    seed: int = 0
    workers: int = -1

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Create settings from names and values, or values' texts as a command line has them.

        Raises:
            ValueError: an unknown name, a value of another type, or one out of its range.

        Example:
            >>> Training.parse({"epoch": 3})
            Traceback (most recent call last):
            ...
            ValueError: no setting 'epoch' of training (did you mean epochs?); there are...
        """
        return cls(**read_settings(settings, SETTINGS["training"].of or {}, "training"))

    def planned(self, n: int) -> Self:
        """Resolve what depends on the n images, and on the machine.

        Rounds are of equal length; where so many iterations are asked for, the last is shorter.

        Example:
            >>> plan = Training(epochs=2, batch_size=32, round=100).planned(3000)
            >>> plan.iterations, plan.round
            (186, 93)
            >>> plan = Training(iterations=100_000).planned(435_832)
            >>> plan.iterations, plan.round
            (100000, 14286)
        """
        import torch  # which reading settings does without

        iterations = self.iterations or max(1, int(self.epochs * n / self.batch_size))
        a_pass = max(1, n // self.batch_size)
        rounds = max(1, round(iterations / (self.round or a_pass)))
        each = max(1, iterations // rounds)
        if self.iterations:
            each = -(-iterations // rounds)
        gpu = torch.cuda.is_available()
        fast: LightningPrecision = (
            "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"
        )
        spare = max(1, (os.cpu_count() or 1) - 1) if gpu else 0
        return replace(
            self,
            iterations=self.iterations or rounds * each,
            round=each,
            precision=fast if self.precision == "auto" else self.precision,
            workers=spare if self.workers < 0 else self.workers,
        )
