"""Spread: how far the features of different images lie apart, which a backdoor takes away."""

import torch
from torch import Tensor
from torch.nn import functional as F


def spread(features: Tensor) -> Tensor:
    """Mean squared distance from their mean, of features scaled to length 1; in [0, 1].

    Args:
        features: shape (..., images, dimension).

    Returns:
        Shape (...).
    """
    features = F.normalize(features.float(), dim=-1)
    return (features - features.mean(dim=-2, keepdim=True)).square().sum(dim=-1).mean(dim=-1)


def concentration(changed: Tensor, plain: Tensor) -> Tensor:
    """Share of the spread of plain features that changed ones have lost, at most 1.

    Near 0 for a change that the encoder hardly notices, near 1 for a backdoor's trigger.

    Args:
        changed: features of the same images, changed, shape (..., images, dimension).
        plain: shape (images, dimension).
    """
    return 1 - spread(changed) / spread(plain).clamp_min(torch.finfo(torch.float32).eps)
