"""The one conversion at every boundary: uint8 pixels to floats in [0, 1], and back."""

from collections.abc import Callable

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


def through_floats(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` of the images as floats, clamped to [0, 1], in their own dtype; uint8 is rounded.

    Args:
        images: uint8, or floats in [0, 1], shape (..., height, width).
        change: takes images in [0, 1] of float32 or more, gives others of that shape and dtype.
    """
    floats = to_unit_range(images).to(torch.promote_types(images.dtype, torch.float32))
    changed = change(floats).clamp(0, 1)
    if images.dtype == torch.uint8:
        return (changed * 255).round_().to(torch.uint8)
    return changed.to(images.dtype)
