"""Displacement: how far a change moves features away from where those of images lie."""

import torch
from torch import Tensor
from torch.nn import functional as F


def displaced(changed: Tensor, plain: Tensor) -> Tensor:
    """How far the mean of changed features lies from that of plain ones, in standard deviations.

    Features are scaled to length 1. The standard deviation is that of plain features along the line
    between both means. Networks that saw a trigger in training have a feature of their own for it,
    which no image without the trigger shows: it moves features by many standard deviations, though
    it may leave much of what tells images apart. A patch that only hides something moves them by
    few.

    Args:
        changed: features of changed images, shape (..., images, dimension).
        plain: features of images as they are, better many than those images only, shape
            (plain images, dimension).

    Returns:
        Shape (...), 0 or more.
    """
    changed, plain = (F.normalize(features.float(), dim=-1) for features in (changed, plain))
    middle = plain.mean(dim=0)
    shift = changed.mean(dim=-2) - middle
    distance = shift.norm(dim=-1)
    line = shift / distance.clamp_min(torch.finfo(torch.float32).eps)[..., None]
    spread = ((plain - middle) @ line.movedim(-1, 0)).std(dim=0, correction=0)
    return distance / spread.clamp_min(torch.finfo(torch.float32).eps)
