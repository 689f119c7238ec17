"""Activation checkpointing: what a block computed is computed again when gradients are wanted.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv:1604.06174; by torch's own
`torch.utils.checkpoint`.
"""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mimic.training.blocks import find_blocks


def start_recomputing(module: nn.Module, name: str) -> list[nn.Module]:
    """Let the trained blocks of a network keep what goes into them, and nothing in between.

    Random numbers are drawn again as they were, and running statistics of batch normalisation move
    once, so that a training gives the same bits as without.

    Args:
        module: what is trained.
        name: of the training, for a warning where there is nothing to recompute.

    Returns:
        What `stop_recomputing` takes.
    """
    trained = [
        block for block in find_blocks(module) if any(p.requires_grad for p in block.parameters())
    ]
    for block in trained:
        block.forward = partial(_recomputed, block, block.forward)
    if not trained:
        warnings.warn(
            f"nothing is recomputed in '{name}': the network is no chain of blocks", stacklevel=1
        )
    return trained


def stop_recomputing(blocks: list[nn.Module]) -> None:
    """Give blocks their own forward passes back."""
    for block in blocks:
        del block.forward


def _recomputed(block: nn.Module, forward: Any, *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _again(block)),
        **named,
    )


def _again(block: nn.Module) -> AbstractContextManager[None]:
    """Around a second forward pass."""
    return _without_tracking(
        [part for part in block.modules() if isinstance(part, _BatchNorm) and part.training]
    )


@contextmanager
def _without_tracking(normalisations: list[_BatchNorm]) -> Iterator[None]:
    """Running statistics pass unchanged, as torch wants to see the same tensors saved again."""
    kept = [(part, part.momentum, part.num_batches_tracked) for part in normalisations]
    for part, _, count in kept:
        part.momentum = 0.0
        part.num_batches_tracked = None if count is None else count.clone()
    try:
        yield
    finally:
        for part, momentum, count in kept:
            part.momentum, part.num_batches_tracked = momentum, count
