"""The joint batch: a loss that compares images sees those of all processes.

Inside a step whose batch is divided among processes, `joint` puts the parts together again. Every
process then computes the loss of the whole batch, and its gradient is the exact one: the trainer
weighs the loss of a process by its share of the images, the shares add up to 1, and the gradients
that come back to a row are added up over the processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
from torch import Tensor, distributed

from mimic.training import processes

_DIVIDED: ContextVar[bool] = ContextVar("divided", default=False)


@contextmanager
def divided_batch(*, divided: bool) -> Iterator[None]:
    """For the block: whether every process holds another part of one batch."""
    token = _DIVIDED.set(divided)
    try:
        yield
    finally:
        _DIVIDED.reset(token)


def joint(rows: Tensor) -> Tensor:
    """The rows of all processes in their order; the given ones where no batch is divided.

    Args:
        rows: one per image, shape (part, ...); parts of other processes may be of other lengths.

    Returns:
        Shape (batch, ...); gradients flow back to the rows, in every process to its own.
    """
    return cast(Tensor, _Joint.apply(rows)) if _DIVIDED.get() else rows


class _Joint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        count, own = processes.count(), processes.rank()
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(count)]
        distributed.all_gather(lengths, torch.tensor([len(rows)]))
        sizes = [int(length) for length in lengths]
        ctx.first, ctx.size = sum(sizes[:own]), sizes[own]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(count)]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[ctx.first : ctx.first + ctx.size]
