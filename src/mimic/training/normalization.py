"""Batch normalisation on several processes: statistics of whole batches, or averaged ones."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mimic.errors import InputError
from mimic.training import processes

_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

Replaced = list[tuple[nn.Module, str, nn.Module]]
"""Owner, name there, and the module that was there."""


def synchronise(module: nn.Module) -> Replaced:
    """Let every batch normalisation in `module` see the images of all processes.

    Weights and statistics stay the same tensors, so that optimizers and checkpoints notice nothing.

    Returns:
        What `restore` puts back.

    Raises:
        InputError: a normalisation does more than torch's own, which would be lost.
    """
    found: Replaced = [
        (module.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], child)
        for path, child in module.named_modules(remove_duplicate=False)
        if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm)
    ]
    for _, name, child in found:
        if type(child) not in _PLAIN:
            raise InputError(
                f"batch normalisation '{name}' is of the kind {type(child).__name__}, which cannot "
                "be synchronised; leave --sync-batch-norm out"
            )
    made = {child: nn.SyncBatchNorm.convert_sync_batchnorm(child) for _, _, child in found}
    for owner, name, child in found:
        setattr(owner, name, made[child])
    return found


def restore(replaced: Replaced) -> None:
    """Undo `synchronise`; modes that were set in between stay."""
    for owner, name, child in replaced:
        child.train(owner.get_submodule(name).training)
        setattr(owner, name, child)


@torch.no_grad()
def average_statistics(module: nn.Module) -> None:
    """Give all processes the mean of their running statistics, where these are in motion.

    A mean now and another one later is the same as one at the end, since running statistics are
    linear in what they have seen.
    """
    if processes.count() == 1:
        return
    moving = [
        statistics
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.training
        for statistics in (part.running_mean, part.running_var)
        if statistics is not None
    ]
    for statistics in moving:
        statistics /= processes.count()
    processes.sum_over_processes(moving)
