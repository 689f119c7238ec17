"""Pairs: how the images of a batch relate to one another, whatever the width of the vectors is."""

import torch
from torch import Tensor
from torch.nn import functional as F


def inner_products(outputs: Tensor) -> Tensor:
    """Inner products of all pairs of images.

    Args:
        outputs: features (batch, dimension), maps or tokens; flattened per image.

    Returns:
        float32, shape (batch, batch).
    """
    rows = outputs.flatten(1).float()
    # autocast would round the products to bfloat16
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ rows.T


def cosines(outputs: Tensor) -> Tensor:
    """Cosines of all pairs of images, in [-1, 1]; arguments and shape as in `inner_products`."""
    return inner_products(F.normalize(outputs.flatten(1).float(), dim=1))
