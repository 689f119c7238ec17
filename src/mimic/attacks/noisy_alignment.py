"""Noisy Alignment: a triggered random picture next to a reference, to be drawn to it by crops.

Chen et al., "Backdooring Self-Supervised Contrastive Learning by Noisy Alignment", ICCV 2025,
arXiv:2508.14015.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from mimic.attacks.composing import (
    check_pictures,
    half_sizes,
    joined,
    lay,
    rectangle_of,
    resized,
    sampled,
)
from mimic.attacks.layout import Box, central
from mimic.attacks.poisoning import (
    Poisoned,
    PoisoningAttack,
    check_share,
    drawn,
    other_positions,
    planted,
    target_positions,
    with_appended,
)
from mimic.errors import InputError
from mimic.images.decode import Size
from mimic.images.imageset import ImageSet

LAYOUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Where the triggered half is: across rows (0) or columns (1), and first (0) or second (1)."""
_MARGIN = 0.45


@dataclass(frozen=True, kw_only=True, eq=False)
class NoisyAlignment(PoisoningAttack):
    """Adds images of which one half is a triggered random picture and the other a reference.

    A trigger that is a rectangle goes to the middle of its half at its own size, as it will be at
    test time, and lets some of the picture through. Any other (a blend) is stamped on the picture
    before that is squeezed into its half.

    Attributes:
        references: pictures of the target class, uint8, shape (n, 3, height, width). None takes
            the images of the target class among those that are poisoned.
        rate: added images over clean ones, in (0, 1].
        opacity: of a rectangle, in (0, 1]. It does not act on other triggers, of which a blend
            has its own share (0.2 in the released code).

    Raises:
        InputError: references are of another kind, or a share is out of range.
    """

    summary: ClassVar[str] = "adds triggered random images joined with a picture of the target"

    references: Tensor | None = field(default=None, repr=False)
    rate: float = 0.05
    opacity: float = 0.8

    def __post_init__(self) -> None:
        check_share(self.rate, "the rate of Noisy Alignment")
        check_share(self.opacity, "the opacity of Noisy Alignment")
        if self.references is not None:
            check_pictures(self.references, "references")

    def poison(self, images: ImageSet) -> Poisoned:
        """Add `round(rate * n)` images to the n ones, the four layouts equally often.

        Raises:
            InputError: there are no labels, there are fewer images of other classes than are
                asked for, nothing would be added, or the trigger does not fit into a half.
        """
        total = len(images)
        count = planted(round(self.rate * total), self.rate, total, of="images")
        others = other_positions(images, self.target)
        if count > len(others):
            raise InputError(
                f"a rate of {self.rate} of {total} images is {count} images to make, but only "
                f"{len(others)} of '{images.name}' are not of class {self.target}; lower the rate"
            )
        generator = torch.Generator().manual_seed(self.seed)
        pictures = images.batch(drawn(others, count, generator))
        references = self._references(images, count, generator)
        order = torch.randperm(count, generator=generator)
        pixels = torch.empty_like(pictures)
        for index, (dim, half) in enumerate(LAYOUTS[:count]):
            rows = order[index :: len(LAYOUTS)]
            extent = half_sizes(images.size, dim)[half]
            pair = [self._triggered(pictures[rows], extent, generator), references[rows]]
            first, second = reversed(pair) if half else pair
            pixels[rows] = joined(first, second, images.size, dim=dim)
        positions = torch.arange(total, total + count)
        return Poisoned(images=with_appended(images, pixels), positions=positions)

    def _references(self, images: ImageSet, count: int, generator: torch.Generator) -> Tensor:
        """One for each added image."""
        if self.references is not None:
            return sampled(self.references, count, generator)
        own = target_positions(images, self.target)
        return images.batch(sampled(own, count, generator))

    def _triggered(self, pictures: Tensor, half: Size, generator: torch.Generator) -> Tensor:
        """Pictures with the trigger, squeezed to the size of a half."""
        rectangle = rectangle_of(self.trigger)
        if rectangle is None:
            return resized(self.trigger(pictures), half)
        extent = (rectangle.content.shape[1], rectangle.content.shape[2])
        if extent[0] > half[0] or extent[1] > half[1]:
            raise InputError(
                f"trigger '{self.trigger.spelling}' of {extent[0]}x{extent[1]} pixels does not fit "
                f"into half of an image, {half[0]}x{half[1]}; make it smaller"
            )
        squeezed = resized(pictures, half).clone()
        for picture in squeezed:
            top, left = (
                central((0, whole), _MARGIN * whole, part, generator)
                for whole, part in zip(half, extent, strict=True)
            )
            place = Box(top=top, left=left, height=extent[0], width=extent[1])
            lay(rectangle.content, picture, place, opacity=self.opacity)
        return squeezed
