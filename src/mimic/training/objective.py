"""Objective: what a learner minimises. The trainer knows nothing else about it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Data(Protocol):
    """What a training reads: an `ImageSet`, or tensors with the same two methods."""

    @property
    def streamed(self) -> bool:
        """True if a batch takes long to make, so that the next one is made ahead of time."""

    def __len__(self) -> int: ...

    def batch(self, positions: Tensor) -> Any:
        """The items at `positions`: a tensor, or a tuple of tensors."""


class Objective(nn.Module, ABC):
    """A loss, together with the modules it trains.

    Attributes:
        learner: everything that is trained and saved: encoder, heads, momentum copies, queues.
            Other modules that an objective owns (a teacher) are frozen and never saved.
        full_precision: True where float32 is needed whatever the trainer's precision is.
    """

    learner: nn.Module
    full_precision: bool = False

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Weighted terms of the loss by name; their sum is minimised."""

    def prepare(self) -> None:
        """Set the modes before the first step: the learner in training, all others frozen."""
        self.eval()
        self.learner.train()

    def after_step(self) -> None:
        """Called after each step of the optimizer (moving averages, clamping)."""

    def finished(self, epoch: Mapping[str, float]) -> bool:
        """Whether to end before the last epoch of the plan; asked after each epoch.

        A resumed training asks again, so that the answer may depend on nothing but the learner's
        state and the record.

        Args:
            epoch: the record of the epoch, with the mean of each term of the loss; see `History`.
        """
        return False
