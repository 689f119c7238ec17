"""Momentum: a second network that is not trained but follows the trained one."""

import copy
import math
from itertools import chain

import torch
from torch import Tensor, nn

from mimic.errors import InputError


class MomentumCopy(nn.Module):
    """A copy of modules in a row whose weights are a moving average of theirs.

    It gets no gradients. Averaged are the parameters; the running statistics of batch
    normalisation are its own, from its own forward passes in train mode.

    Args:
        modules: what is copied; the output of each is the input of the next.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.chain = nn.Sequential(*copy.deepcopy(modules)).requires_grad_(False)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """The output of the last module."""
        return self.chain(inputs)

    @torch.no_grad()
    def follow(self, *modules: nn.Module, momentum: float) -> None:
        """One step of the average: momentum * own + (1 - momentum) * theirs.

        Args:
            modules: those that were copied, as they are now.
            momentum: in [0, 1]; 1 stays where it is.
        """
        theirs = chain.from_iterable(module.parameters() for module in modules)
        for own, new in zip(self.chain.parameters(), theirs, strict=True):
            own.lerp_(new, 1 - momentum)


def rising_momentum(start: float, step: int, steps: int) -> float:
    """Momentum of a step, from `start` at step 0 to 1 at step `steps`, along half a cosine.

    Source: Grill et al., NeurIPS 2020, arXiv:2006.07733, section 3.2.
    """
    return 1 - (1 - start) * (1 + math.cos(math.pi * step / steps)) / 2


def check_momentum(momentum: float) -> None:
    """Make sure that a momentum lies in [0, 1].

    Raises:
        InputError: it does not.
    """
    if not 0 <= momentum <= 1:
        raise InputError(f"the momentum must be in [0, 1], not {momentum}")
