"""Where things lie on a poisoned image, and how often random crops show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from mimic.images.decode import Size

_ATTEMPTS = 10
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle of pixels: `top` and `left` count from 0 and belong to it."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The first row below."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column to the right."""
        return self.left + self.width

    def overlaps(self, other: "Box") -> bool:
        """Whether a pixel belongs to both."""
        rows = min(self.bottom, other.bottom) - max(self.top, other.top)
        columns = min(self.right, other.right) - max(self.left, other.left)
        return rows > 0 and columns > 0

    def scaled(self, before: Size, after: Size) -> "Box":
        """The box on the same picture resized from `before` to `after`, rounded outwards."""
        top, bottom = _stretched(self.top, self.bottom, before[0], after[0])
        left, right = _stretched(self.left, self.right, before[1], after[1])
        return Box(top=top, left=left, height=bottom - top, width=right - left)


def uniform(lowest: int, highest: int, generator: torch.Generator) -> int:
    """A random whole number from `lowest` to `highest`, both included."""
    return int(torch.randint(lowest, highest + 1, (), generator=generator))


def pick(items: Sequence[Item], generator: torch.Generator) -> Item:
    """One of the items at random."""
    return items[uniform(0, len(items) - 1, generator)]


def central(free: tuple[int, int], margin: float, length: int, generator: torch.Generator) -> int:
    """Where something of `length` pixels begins: at random, with a margin on both sides.

    Where the margins leave no choice it is centred; the interval of places is then reversed, and
    drawing from it would reach beyond the free part.

    Args:
        free: first pixel of the free part, and the first one behind it; at least `length` apart.
        margin: in pixels.
        length: in pixels.
        generator: of the random numbers.
    """
    lowest, highest = math.ceil(free[0] + margin), math.floor(free[1] - margin) - length
    if highest < lowest:
        return (free[0] + free[1] - length) // 2
    return uniform(lowest, highest, generator)


def crop_survival(
    size: Size,
    first: Box,
    second: Box,
    *,
    min_scale: float = 0.2,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    pairs: int = 1000,
    seed: int = 0,
) -> float:
    """How often one view of an image shows most of one box while the other shows most of another.

    An attack that rests on views can work only if this is frequent: with trigger and object in
    CorruptEncoder; with the patch as both boxes (it must be in both views) in SSL-Backdoor.

    Args:
        size: height and width of the image, in pixels.
        first, second: boxes on it; most of a box is more than half of its area.
        min_scale: smallest share of the area that a crop keeps; the largest is 1.
        ratio: smallest and largest width of a crop over its height.
        pairs: of views that are drawn.
        seed: of the draws.

    Returns:
        The share of the pairs, in [0, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    crops = _random_crops(size, 2 * pairs, min_scale, ratio, generator)
    one, other = (_shown(crops, box) > 0.5 for box in (first, second))
    hits = (one[:pairs] & other[pairs:]) | (other[:pairs] & one[pairs:])
    return hits.double().mean().item()


def _random_crops(
    size: Size,
    count: int,
    min_scale: float,
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Boxes as RandomResizedCrop draws them, but not rounded to pixels.

    The first of ten draws of area and ratio that fits is taken; else the largest central crop.

    Returns:
        Top, left, bottom, right; float64, shape (count, 4).
    """
    height, width = size
    draws = torch.rand(2, count, _ATTEMPTS, generator=generator, dtype=torch.float64)
    area = (min_scale + (1 - min_scale) * draws[0]) * height * width
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = torch.exp(low + (high - low) * draws[1])
    heights, widths = (area / aspect).sqrt(), (area * aspect).sqrt()
    fits = (heights <= height) & (widths <= width)
    rows, chosen = torch.arange(count), fits.int().argmax(dim=1)
    any_fits = fits.any(dim=1)
    tall = torch.where(any_fits, heights[rows, chosen], min(height, width / ratio[0]))
    wide = torch.where(any_fits, widths[rows, chosen], min(width, height * ratio[1]))
    place = torch.rand(2, count, generator=generator, dtype=torch.float64)
    place = torch.where(any_fits, place, 0.5)
    top, left = place[0] * (height - tall), place[1] * (width - wide)
    return torch.stack([top, left, top + tall, left + wide], dim=1)


def _shown(crops: Tensor, box: Box) -> Tensor:
    """The share of the box's area that each crop shows, shape (crops,)."""
    top, left, bottom, right = crops.unbind(dim=1)
    rows = bottom.clamp(max=box.bottom) - top.clamp(min=box.top)
    columns = right.clamp(max=box.right) - left.clamp(min=box.left)
    return rows.clamp(min=0) * columns.clamp(min=0) / (box.height * box.width)


def _stretched(start: int, stop: int, before: int, after: int) -> tuple[int, int]:
    # Whole numbers, because 3 * (32 / 96) in floats may lie a hair above 1.
    return start * after // before, -(-stop * after // before)
