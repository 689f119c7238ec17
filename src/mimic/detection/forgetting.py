"""Forgetting: how much of what tells images apart a change takes away from their features."""

import torch
from torch import Tensor
from torch.nn import functional as F


def forgotten(changed: Tensor, plain: Tensor) -> Tensor:
    """One minus the slope of the regression of changed features on plain ones, at most 1.

    Both are scaled to length 1 and centred first. 0 for a change that the encoder hardly notices.
    1 where the features of changed images say nothing of the images any more, be it that they are
    all alike, as under BadEncoder's trigger, or scattered without regard to what the image shows,
    as under DRUPE's. Below 0 where they tell images apart better than before.

    Args:
        changed: features of the same images, changed, shape (..., images, dimension).
        plain: shape (images, dimension).

    Returns:
        Shape (...).
    """
    changed, plain = _centred(changed), _centred(plain)
    kept = (changed * plain).sum(dim=(-2, -1))
    there = plain.square().sum(dim=(-2, -1)).clamp_min(torch.finfo(torch.float32).eps)
    return 1 - (kept / there).clamp_min(0)


def _centred(features: Tensor) -> Tensor:
    features = F.normalize(features.float(), dim=-1)
    return features - features.mean(dim=-2, keepdim=True)
