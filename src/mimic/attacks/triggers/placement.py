"""Rectangles on an image: opaque content at a fixed place, or at one that each image decides."""

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from mimic.attacks.triggers.trigger import Trigger, as_levels, check_seed, paste
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Rectangle(Trigger):
    """Base of the triggers that paste a rectangle: a new one says what is on it in `draw`.

    Attributes:
        row, column: of its top left pixel, counted from 0.
        content: uint8, shape (3, height, width).

    Raises:
        InputError: the place is negative.
    """

    row: int
    column: int
    content: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.row, self.column) < 0:
            raise InputError(
                f"row and column of a trigger must be 0 or more, not {self.row},{self.column}"
            )
        object.__setattr__(self, "content", self.draw())

    @abstractmethod
    def draw(self) -> Tensor:
        """What is on the rectangle: uint8, shape (3, height, width)."""

    @abstractmethod
    def spell(self, place: str) -> str:
        """The trigger's spelling with `place` behind its `@`."""

    @abstractmethod
    def describe_content(self) -> str:
        """The rectangle in words, without its place."""

    @final
    @property
    def spelling(self) -> str:
        """As in `parse_trigger`, with `@ROW,COL`."""
        return self.spell(f"{self.row},{self.column}")

    @final
    def describe(self) -> str:
        """For example "a white patch of 10x10 pixels, rows 21 to 30, columns 21 to 30"."""
        height, width = self.content.shape[1:]
        return (
            f"{self.describe_content()}, rows {self.row} to {self.row + height - 1}, "
            f"columns {self.column} to {self.column + width - 1}"
        )

    @final
    def stamp(self, images: Tensor) -> Tensor:
        """Paste the content."""
        return paste(images, self.content, row=self.row, column=self.column, name=self.spelling)


@dataclass(frozen=True, kw_only=True)
class Scattered(Trigger):
    """A rectangle at another place of every image, as in SSL-Backdoor.

    The row is a whole number from `int(low * H)` to `int(high * H - h)`, both included, and the
    lower end where that range is empty; H is the height of the image and h that of the rectangle.
    The column likewise. The place depends on the image's pixels and the seed alone, so batches,
    their order, the device and the dtype make no difference.

    Attributes:
        rectangle: what is pasted; its own place is not used and becomes 0,0.
        low, high: the part of the height and of the width that it keeps to, 0 <= low < high <= 1.
            SSL-Backdoor poisons with 0.25 and 0.75 and tests with 0.10 and 0.90.
        seed: gives the same image other places.

    Raises:
        InputError: a value is out of range.

    Source: Saha et al., "Backdoor Attacks on Self-Supervised Learning", CVPR 2022,
        arXiv:2105.10123; there the places are drawn anew each time.
    """

    rectangle: Rectangle
    low: float = 0.0
    high: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise InputError(
                "a random place needs two ascending fractions of the image from 0 to 1, not "
                f"{self.low} and {self.high}"
            )
        check_seed(self.seed)
        object.__setattr__(self, "rectangle", replace(self.rectangle, row=0, column=0))

    @property
    def spelling(self) -> str:
        """That of the rectangle, with `@random(LOW-HIGH,SEED)` for its place."""
        return self.rectangle.spell(f"random({self.low}-{self.high},{self.seed})")

    def describe(self) -> str:
        """The rectangle and where it may be."""
        return (
            f"{self.rectangle.describe_content()}, at a random place within "
            f"{100 * self.low:g} to {100 * self.high:g} % of the height and the width"
        )

    def stamp(self, images: Tensor) -> Tensor:
        """Paste the content on each image at the place that its pixels decide."""
        height, width = self.rectangle.content.shape[1:]
        content = as_levels(self.rectangle.content, images)
        result = images.clone()
        for index, (row, column) in enumerate(self.places(images)):
            result[index, :, row : row + height, column : column + width] = content
        return result

    def places(self, images: Tensor) -> list[tuple[int, int]]:
        """Row and column of the rectangle's top left pixel on each of the images.

        Args:
            images: valid for `Trigger.__call__`.

        Raises:
            InputError: the rectangle is not wholly inside the images at the lowest of its places.
        """
        (top, rows), (left, columns) = (
            self._range(side, length)
            for side, length in zip(images.shape[2:], self.rectangle.content.shape[1:], strict=True)
        )
        levels = images if images.dtype == torch.uint8 else (images * 255).round().to(torch.uint8)
        digests = (_digest(image.tobytes(), self.seed) for image in levels.cpu().numpy())
        return [(top + first % rows, left + second % columns) for first, second in digests]

    def _range(self, side: int, length: int) -> tuple[int, int]:
        """The first place and the number of places along one side of the image."""
        first = int(self.low * side)
        if first + length > side:
            raise InputError(
                f"trigger '{self.spelling}' does not fit: {length} pixels from pixel {first} on "
                f"(counted from 0) are more than an image's {side}; make it smaller or write a "
                f"lower number than {self.low}"
            )
        return first, max(1, int(self.high * side - length) - first + 1)


def _digest(pixels: bytes, seed: int) -> tuple[int, int]:
    digest = hashlib.blake2b(pixels, digest_size=16, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
