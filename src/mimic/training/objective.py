"""Objective: what a learner minimises. The trainer knows nothing else about it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

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

    A class says in its head, as in `class Cloning(Objective, divisible=True)`, that its batches may
    be divided: among processes, or into parts where memory is short. The first dimension of every
    tensor of a batch then counts images, the loss is a mean over images (one that compares images
    calls `mimic.training.joint`), and `forward` leaves nothing behind that depends on the images,
    apart from statistics of batch normalisation. A subclass has to say it again. All others take
    whole batches, the same ones in every process.

    With `blockwise=True` beside it, the network may be worked on block by block, so that not all of
    its activations or weights are there at once. `forward` then calls its modules as they are (no
    `functional_call`, no `torch.autograd.grad`), the same ones in every process, and nothing else
    touches single entries of weights.

    Attributes:
        learner: everything that is trained and saved: encoder, heads, momentum copies, queues.
            Other modules that an objective owns (a teacher) are frozen and never saved.
        full_precision: True where float32 is needed whatever the trainer's precision is.
        divisible: whether its batches may be divided.
        blockwise: whether its network may be worked on block by block.
    """

    learner: nn.Module
    full_precision: bool = False
    divisible: ClassVar[bool] = False
    blockwise: ClassVar[bool] = False

    def __init_subclass__(
        cls, *, divisible: bool = False, blockwise: bool = False, **others: Any
    ) -> None:
        super().__init_subclass__(**others)
        cls.divisible, cls.blockwise = divisible, blockwise

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Weighted terms of the loss by name; their sum is minimised."""

    def prepare(self) -> None:
        """Set the modes before the first step: the learner in training, all others frozen.

        Called again where a step is repeated because memory was short.
        """
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
