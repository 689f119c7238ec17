"""Plan: how long, how fast and in what order a learner is trained."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from mimic.errors import InputError

_OPTIMIZERS = ("adam", "adamw", "sgd")
_SCHEDULES = ("constant", "cosine", "steps")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of one training.

    Attributes:
        epochs: passes over the data; 0 trains nothing.
        batch_size: images of a step; lowered to the number of images where there are fewer.
        learning_rate: peak learning rate.
        optimizer: "adam" (weight decay in the gradient), "adamw" (decoupled) or "sgd".
        weight_decay: factor of the optimizer.
        momentum: of SGD.
        betas: of Adam and AdamW, each in [0, 1).
        schedule: "constant", "cosine", which would reach zero one step after the last, or "steps".
        milestones: of "steps": epochs, counted from 0 and rising, and the learning rates from these
            epochs on; before the first one it is the peak.
        warmup_epochs: epochs of linear rise from zero.
        drop_last: leave out the last, smaller batch of an epoch.
        shuffle: a new order in each epoch; False keeps the order of the data.
        seed: decides the order of images and everything random in a step.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "steps"] = "cosine"
    milestones: tuple[tuple[int, float], ...] = ()
    warmup_epochs: float = 0.0
    drop_last: bool = True
    shuffle: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError(f"epochs must be 0 or more, not {self.epochs}")
        if self.batch_size < 1:
            raise InputError(f"the batch size must be 1 or more, not {self.batch_size}")
        if not (0 <= self.learning_rate < math.inf):
            raise InputError(f"the learning rate must be 0 or more, not {self.learning_rate}")
        if self.warmup_epochs < 0:
            raise InputError(f"warmup_epochs must be 0 or more, not {self.warmup_epochs}")
        if self.optimizer not in _OPTIMIZERS:
            raise InputError(
                f"optimizer '{self.optimizer}' is unknown; there are {', '.join(_OPTIMIZERS)}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"the betas must be at least 0 and below 1, not {self.betas}")
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self.schedule not in _SCHEDULES:
            raise InputError(
                f"schedule '{self.schedule}' is unknown; there are {', '.join(_SCHEDULES)}"
            )
        if (self.schedule == "steps") != bool(self.milestones):
            raise InputError(
                f"milestones go with the schedule 'steps' and it with them, not {self.milestones} "
                f"with '{self.schedule}'"
            )
        epochs = [epoch for epoch, _ in self.milestones]
        rates = [rate for _, rate in self.milestones]
        if sorted({0, *epochs}) != [0, *epochs] or not all(0 <= r < math.inf for r in rates):
            raise InputError(
                "milestones are rising epochs above 0 with learning rates of 0 or more, not "
                f"{self.milestones}"
            )

    def batches_per_epoch(self, images: int) -> int:
        """Steps of one epoch over `images` images."""
        size = min(self.batch_size, images)
        return images // size if self.drop_last else math.ceil(images / size)

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from 0."""
        total = self.epochs * steps_per_epoch
        warmup = self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "steps":
            epoch = step // steps_per_epoch
            passed = [rate for start, rate in self.milestones if start <= epoch]
            return passed[-1] if passed else self.learning_rate
        done = (step - warmup) / max(1.0, total - warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    def order(self, epoch: int, images: int) -> torch.Tensor:
        """The seeded order of images in an epoch, shape (images,)."""
        if not self.shuffle:
            return torch.arange(images)
        generator = torch.Generator().manual_seed(mix_seed(self.seed, -1 - epoch))
        return torch.randperm(images, generator=generator)

    def build_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over those parameters of `module` that require gradients."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, rate, momentum=self.momentum, weight_decay=decay)
        build = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.optimizer]
        return build(parameters, rate, betas=self.betas, weight_decay=decay)


def mix_seed(seed: int, index: int) -> int:
    """A seed of its own for each (seed, index), in [0, 2^63), so that nothing has to be replayed.

    The mixing is SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
    """
    mask = (1 << 64) - 1
    value = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xD1B54A32D192ED03) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return (value ^ (value >> 31)) >> 1
