"""Contrastive loss: two views of an image attract, other images repel."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.training.joint import joint


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalised temperature-scaled cross-entropy over two views of a batch.

    Where a training divides its batches among processes, the loss is that of the whole batch.

    Args:
        first: projections of the first view, shape (batch, dimension); normalised here.
        second: projections of the second view of the same images, in the same order.
        temperature: divisor of the cosine similarities, above 0.

    Returns:
        A scalar, the mean over all 2 * batch rows; log(2 * batch - 1) where all rows are equal.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
        ICML 2020, arXiv:2002.05709, equation 1.
    """
    first, second = joint(torch.stack([first, second], dim=1)).unbind(1)
    rows = F.normalize(torch.cat([first, second]).float(), dim=1)
    # autocast would round the similarities to bfloat16
    with torch.autocast(rows.device.type, enabled=False):
        logits = rows @ rows.T / temperature
    logits = logits.masked_fill(
        torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf
    )
    partner = torch.arange(len(rows), device=rows.device).roll(len(first))
    return F.cross_entropy(logits, partner)
