"""A tiny learner with everything that makes resuming hard, and data to train it on."""

import os
import signal
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mimic.training import Objective


@dataclass
class Pairs:
    """Inputs and labels; optionally claiming to be slow to read."""

    streamed: bool = False
    count: int = 50

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(self.count, 3, 4, 4, generator=generator)
        self.labels = torch.randint(0, 3, (self.count,), generator=generator)

    def __len__(self) -> int:
        return self.count

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.inputs[positions], self.labels[positions]


class Classify(Objective):
    """Convolution, batch normalisation and dropout, with a frozen teacher beside them.

    At step `signal_at` (counted from 1) the process sends `number` to itself; at step `spoil_at`
    the term "distance" becomes NaN.
    """

    def __init__(
        self,
        *,
        signal_at: int = 0,
        number: int = signal.SIGTERM,
        spoil_at: int = 0,
        distance_weight: float = 0.1,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.learner = nn.Sequential(
                nn.Conv2d(3, 6, 3),
                nn.BatchNorm2d(6),
                nn.ReLU(),
                nn.Flatten(),
                nn.Dropout(0.5),
                nn.Linear(24, 3),
            )
            self.teacher = nn.Sequential(nn.Conv2d(3, 3, 4), nn.BatchNorm2d(3), nn.Flatten())
        self.distance_weight = distance_weight
        self._signal_at, self._number, self._spoil_at = signal_at, number, spoil_at
        self._steps = 0

    def forward(self, batch: Any) -> dict[str, Tensor]:
        self._steps += 1
        if self._steps == self._signal_at:
            os.kill(os.getpid(), self._number)
        inputs, labels = batch
        scores = self.learner(inputs)
        distance = self.distance_weight * (scores - self.teacher(inputs).detach()).square().mean()
        if self._steps == self._spoil_at:
            distance = distance * float("nan")
        return {"classes": nn.functional.cross_entropy(scores, labels), "distance": distance}


def weights(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state of a module."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two states agree bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
