"""Trigger: a value that stamps images in pixel space, and the three ways of stamping them."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from mimic.errors import InputError


class Trigger(ABC):
    """What an attacker puts on an image. Triggers are compared by their settings.

    A new kind is a frozen dataclass with `stamp`, `spelling` and `describe`, and one row in
    `mimic.attacks.triggers.parse.TRIGGERS`.
    """

    @property
    @abstractmethod
    def spelling(self) -> str:
        """The text from which `parse_trigger` makes this trigger."""

    @abstractmethod
    def describe(self) -> str:
        """The trigger in words, for reports."""

    @abstractmethod
    def stamp(self, images: Tensor) -> Tensor:
        """Triggered copies of `images`, which are valid already (see `__call__`)."""

    @final
    def __call__(self, images: Tensor) -> Tensor:
        """Triggered copies of images.

        Args:
            images: uint8, or floats in [0, 1]; shape (batch, 3, height, width), on any device. They
                are left as they were.

        Returns:
            The same shape, dtype, range and device.

        Raises:
            InputError: shape or dtype is another one, or the trigger does not fit on the images.
        """
        fitting = images.dtype == torch.uint8 or images.is_floating_point()
        if not fitting or images.ndim != 4 or images.shape[1] != 3:
            raise InputError(
                "a trigger is stamped on uint8 or floating-point images of shape "
                f"(batch, 3, height, width), not {images.dtype} of shape {tuple(images.shape)}"
            )
        return self.stamp(images)


def paste(images: Tensor, content: Tensor, *, row: int, column: int, name: str) -> Tensor:
    """Copies of `images` with an opaque rectangle on them.

    Args:
        images: valid for `Trigger.__call__`.
        content: uint8, shape (3, height, width).
        row: where its top left pixel goes, counted from 0.
        column: likewise.
        name: what to call the trigger in an error.

    Raises:
        InputError: the rectangle is not wholly inside the images.
    """
    rows, columns = slice(row, row + content.shape[1]), slice(column, column + content.shape[2])
    height, width = images.shape[2:]
    if rows.stop > height or columns.stop > width:
        raise InputError(
            f"trigger '{name}' covers rows {row} to {rows.stop - 1} and columns {column} to "
            f"{columns.stop - 1} (counted from 0), which is outside images of {height}x{width}; "
            "make it smaller or move it"
        )
    result = images.clone()
    result[:, :, rows, columns] = as_levels(content, images)
    return result


def mix(images: Tensor, *, scale: Tensor | float, offset: Tensor) -> Tensor:
    """`images * scale + offset`, clamped to the range of the images; uint8 is rounded.

    Args:
        images: valid for `Trigger.__call__`.
        scale: factor of each value; broadcast to the images.
        offset: what is added, in levels of 0 to 255 whatever the images' dtype is.
    """
    if isinstance(scale, Tensor):
        scale = scale.to(images.device)
    offset = offset.to(images.device)
    if images.dtype == torch.uint8:
        return (images * scale + offset).round_().clamp_(0, 255).to(torch.uint8)
    mixed = images * scale + offset.to(torch.promote_types(images.dtype, offset.dtype)) / 255
    return mixed.clamp_(0, 1).to(images.dtype)


def as_levels(content: Tensor, images: Tensor) -> Tensor:
    """uint8 `content` in the dtype, range and device of `images`."""
    content = content.to(images.device)
    return content if images.dtype == torch.uint8 else content.to(images.dtype) / 255


def check_seed(seed: int) -> None:
    """Refuse what no generator takes."""
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed of a trigger is a whole number of 0 or more, not {seed}")
