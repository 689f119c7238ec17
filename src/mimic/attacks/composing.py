"""Pieces from which poisoned images are put together: a trigger's content, scaling, joining."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.attacks.layout import Box
from mimic.attacks.triggers.placement import Rectangle, Scattered
from mimic.attacks.triggers.trigger import Trigger
from mimic.errors import InputError
from mimic.images.decode import Size


def rectangle_of(trigger: Trigger) -> Rectangle | None:
    """The opaque rectangle that a trigger pastes, wherever it puts it; None if it pastes none."""
    if isinstance(trigger, Scattered):
        return trigger.rectangle
    return trigger if isinstance(trigger, Rectangle) else None


def required_rectangle_of(trigger: Trigger, *, attack: str) -> Rectangle:
    """`rectangle_of`, where `attack` cannot do without.

    Raises:
        InputError: the trigger pastes no opaque rectangle.
    """
    rectangle = rectangle_of(trigger)
    if rectangle is None:
        raise InputError(
            f"{attack} pastes a rectangle at places of its own choice, and trigger "
            f"'{trigger.spelling}' is none; take another kind, as patch:, grid: or image:"
        )
    return rectangle


def lay(content: Tensor, picture: Tensor, box: Box, *, opacity: float | Tensor = 1.0) -> None:
    """Put `content` on `picture`, in place.

    Args:
        content: uint8, shape (3, height, width).
        picture: uint8, (3, height, width); changed.
        box: where, of the content's size and wholly on the picture.
        opacity: share of the content in [0, 1], a number or one per pixel of the content.
    """
    part = picture[:, box.top : box.bottom, box.left : box.right]
    part.copy_((content * opacity + part * (1 - opacity)).round())


def resized(pictures: Tensor, size: Size) -> Tensor:
    """Pictures scaled to `size` without keeping their aspect (bicubic, antialiased).

    Args:
        pictures: uint8, shape (n, channels, height, width).
        size: height and width.
    """
    if pictures.shape[2:] == torch.Size(size):
        return pictures
    scaled = F.interpolate(pictures.float(), size=size, mode="bicubic", antialias=True)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


def half_sizes(size: Size, dim: int) -> tuple[Size, Size]:
    """Sizes of the two halves of an image that is cut across its rows (dim 0) or columns (1)."""
    height, width = size
    if dim == 0:
        return (height // 2, width), (height - height // 2, width)
    return (height, width // 2), (height, width - width // 2)


def joined(first: Tensor, second: Tensor, size: Size, *, dim: int) -> Tensor:
    """Pictures next to each other, each squeezed into half of an image.

    Args:
        first, second: uint8, shape (n, 3, any, any).
        size: height and width of the result.
        dim: 0 puts the second below the first, 1 to its right.
    """
    halves = zip((first, second), half_sizes(size, dim), strict=True)
    return torch.cat([resized(pictures, half) for pictures, half in halves], dim=2 + dim)


def sampled(items: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` random rows of `items`, with replacement."""
    return items[torch.randint(len(items), (count,), generator=generator)]


def check_pictures(pictures: Tensor, name: str) -> None:
    """Refuse anything but uint8 pictures of shape (n, 3, height, width).

    Raises:
        InputError: they are of another kind, or there is none.
    """
    shape, dtype = tuple(pictures.shape), pictures.dtype
    if dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or 0 in shape:
        raise InputError(
            f"{name} must be uint8 of shape (n, 3, height, width), none of them 0, "
            f"not {dtype} of {shape}"
        )
