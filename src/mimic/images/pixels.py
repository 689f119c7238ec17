"""The one conversion at every boundary: uint8 pixels to floats in [0, 1]."""

import torch
from torch import Tensor


def to_unit_range(images: Tensor) -> Tensor:
    """Images as floats in [0, 1].

    Args:
        images: uint8 in 0..255, or floating point already in [0, 1]; shape (..., height, width).

    Returns:
        The same shape; uint8 becomes float32 divided by 255, floats are passed on.
    """
    return images.float().div_(255) if images.dtype == torch.uint8 else images
