"""CorruptEncoder: object and trigger side by side, so that random crops take one each.

Zhang et al., "Data Poisoning based Backdoor Attacks to Contrastive Learning", CVPR 2024,
arXiv:2211.08229.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from mimic.attacks.composing import (
    check_pictures,
    joined,
    lay,
    required_rectangle_of,
    resized,
    sampled,
)
from mimic.attacks.layout import Box, central, pick, uniform
from mimic.attacks.poisoning import (
    Poisoned,
    PoisoningAttack,
    check_share,
    other_positions,
    planted,
    with_appended,
)
from mimic.errors import InputError
from mimic.images.decode import Size
from mimic.images.imageset import ImageSet

WIDEST_OBJECT = 400
"""Objects that are wider, in pixels, are scaled down to this width."""
_LARGEST_OFFSET = 0.05
_SOFT_EDGE = ImageFilter.GaussianBlur(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class CorruptEncoder(PoisoningAttack):
    """CorruptEncoder; with a `support_ratio` it is CorruptEncoder+.

    A composed image is twice as wide as the object and as high. The object, cut out by its mask,
    touches the bottom and lies left or right, at most a twentieth of the width from that side. All
    is resized to the size of the images, and the trigger's rectangle goes to the middle of the
    free part at its own size, as it will be at test time.

    Attributes:
        objects: reference pictures of the target class, uint8, shape (n, 3, height, width).
        masks: where on them the object is, not 0 there; shape (n, height, width). None takes the
            whole pictures.
        backgrounds: what the composed images show besides, uint8, shape (n, 3, height, width).
            None takes images of other classes from those that are poisoned.
        supports: pictures of the target class for CorruptEncoder+, uint8, (n, 3, height, width).
        rate: composed images over clean ones, in (0, 1]; they are added.
        support_ratio: share of them, in [0, 1), that is instead a support picture and a reference
            side by side, without a trigger; the authors use 0.2.

    Raises:
        InputError: pictures are of another kind, a mask is empty or of another size, a share is
            out of range, or the trigger is no opaque rectangle.
    """

    summary: ClassVar[str] = "adds images with object and trigger side by side, a crop for each"

    objects: Tensor = field(repr=False)
    masks: Tensor | None = field(default=None, repr=False)
    backgrounds: Tensor | None = field(default=None, repr=False)
    supports: Tensor | None = field(default=None, repr=False)
    rate: float = 0.005
    support_ratio: float = 0.0

    def __post_init__(self) -> None:
        check_share(self.rate, "the rate of CorruptEncoder")
        required_rectangle_of(self.trigger, attack="CorruptEncoder")
        check_pictures(self.objects, "objects")
        if self.backgrounds is not None:
            check_pictures(self.backgrounds, "backgrounds")
        if self.masks is not None:
            _check_masks(self.masks, self.objects)
        if not 0 <= self.support_ratio < 1:
            raise InputError(
                f"the support_ratio must be 0 or more and below 1, not {self.support_ratio}"
            )
        if self.supports is not None:
            check_pictures(self.supports, "supports")
        if (self.supports is None) != (self.support_ratio == 0):
            raise InputError("CorruptEncoder+ needs both, supports and a support_ratio above 0")

    def poison(self, images: ImageSet) -> Poisoned:
        """Add `round(rate * n)` images to the n ones.

        Raises:
            InputError: nothing would be added, there are no backgrounds, or the trigger does not
                fit beside the object.
        """
        total = len(images)
        count = planted(round(self.rate * total), self.rate, total, of="images")
        supporting = self._supporting(count)
        generator = torch.Generator().manual_seed(self.seed)
        backgrounds = self._backgrounds(images, count - supporting, generator)
        masks = torch.ones_like(self.objects[:, 0]) if self.masks is None else self.masks
        cut_outs = [cut_out(*pair) for pair in zip(self.objects, masks != 0, strict=True)]
        pixels = [
            self._composed(*pick(cut_outs, generator), background, images.size, generator)
            for background in backgrounds
        ]
        if self.supports is not None:
            for support in sampled(self.supports, supporting, generator):
                pixels.append(self._beside_reference(support, images.size, generator))
        return Poisoned(
            images=with_appended(images, torch.stack(pixels)),
            positions=torch.arange(total, total + count),
        )

    def _supporting(self, count: int) -> int:
        if not self.support_ratio:
            return 0
        supporting = round(self.support_ratio * count)
        if not 0 < supporting < count:
            raise InputError(
                f"a support_ratio of {self.support_ratio} makes {supporting} of {count} poisoned "
                "images supporting ones, and both kinds are needed; raise the rate"
            )
        return supporting

    def _backgrounds(self, images: ImageSet, count: int, generator: torch.Generator) -> Tensor:
        """One for each composed image, shape (count, 3, height, width)."""
        if self.backgrounds is not None:
            return sampled(self.backgrounds, count, generator)
        others = other_positions(images, self.target)
        return images.batch(sampled(others, count, generator))

    def _composed(
        self,
        part: Tensor,
        opacity: Tensor,
        background: Tensor,
        size: Size,
        generator: torch.Generator,
    ) -> Tensor:
        """An object and the trigger on a background."""
        canvas, place = with_object(part, opacity, background, generator)
        before = (canvas.shape[1], canvas.shape[2])
        picture = resized(canvas[None], size)[0]
        content = required_rectangle_of(self.trigger, attack="CorruptEncoder").content
        extent = (content.shape[1], content.shape[2])
        lay(content, picture, trigger_box(place.scaled(before, size), extent, size, generator))
        return picture

    def _beside_reference(self, support: Tensor, size: Size, generator: torch.Generator) -> Tensor:
        """A support picture and a reference side by side, either of them first."""
        pair = (support[None], sampled(self.objects, 1, generator))
        first, second = pick((pair, pair[::-1]), generator)
        return joined(first, second, size, dim=1)[0]


def cut_out(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What the mask's bounding box holds, at most `WIDEST_OBJECT` pixels wide, with a soft edge.

    Args:
        picture: uint8, shape (3, height, width).
        mask: bool, shape (height, width), True somewhere.

    Returns:
        The cut-out, uint8, shape (3, h, w), and its opacity in [0, 1], float32, shape (h, w).
    """
    rows, columns = (mask.any(dim=dim).nonzero() for dim in (1, 0))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    layers = torch.cat([picture, mask[None].to(torch.uint8) * 255])[:, *box]
    height, width = layers.shape[1:]
    if width > WIDEST_OBJECT:
        shorter = max(1, round(height * WIDEST_OBJECT / width))
        layers = resized(layers[None], (shorter, WIDEST_OBJECT))[0]
    soft = np.asarray(Image.fromarray(layers[3].numpy()).filter(_SOFT_EDGE))
    return layers[:3], torch.from_numpy(soft.astype(np.float32)) / 255


def with_object(
    part: Tensor, opacity: Tensor, background: Tensor, generator: torch.Generator
) -> tuple[Tensor, Box]:
    """A background as high as the object and twice as wide, with the object left or right on it.

    Args:
        part: the object, uint8, shape (3, height, width).
        opacity: in [0, 1], shape (height, width).
        background: uint8, shape (3, any, any); enlarged only if it is too small.
        generator: of the random numbers.

    Returns:
        The canvas, uint8, shape (3, height, 2 * width), and where the object is.
    """
    height, width = part.shape[1:]
    canvas = _covering(background, (height, 2 * width), generator)
    offset = uniform(0, int(_LARGEST_OFFSET * 2 * width), generator)
    left = pick((offset, width - offset), generator)
    place = Box(top=0, left=left, height=height, width=width)
    lay(part, canvas, place, opacity=opacity)
    return canvas, place


def trigger_box(place: Box, extent: Size, size: Size, generator: torch.Generator) -> Box:
    """A random place around the middle of what an object leaves free.

    An eighth of the image's width is kept between the trigger and both sides of the free part, and
    a quarter of its height above and below. Where that leaves no choice the trigger is centred.

    Args:
        place: of the object, at the left or right side of the image.
        extent: height and width of the trigger.
        size: height and width of the image.
        generator: of the random numbers.

    Raises:
        InputError: the trigger does not fit into the free part.
    """
    height, width = size
    free = (place.right, width) if place.left < width - place.right else (0, place.left)
    if extent[0] > height or extent[1] > free[1] - free[0]:
        raise InputError(
            f"a trigger of {extent[0]}x{extent[1]} pixels does not fit beside the object, which "
            f"leaves {height}x{free[1] - free[0]} of an image of {height}x{width}; take a smaller "
            "trigger or larger images"
        )
    return Box(
        top=central((0, height), height / 4, extent[0], generator),
        left=central(free, width / 8, extent[1], generator),
        height=extent[0],
        width=extent[1],
    )


def _covering(background: Tensor, size: Size, generator: torch.Generator) -> Tensor:
    """A copy of the bottom rows of a background that has at least `size`, at a random column."""
    height, width = background.shape[1:]
    scale = max(1.0, size[0] / height, size[1] / width)
    large = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    background = resized(background[None], large)[0]
    left = uniform(0, large[1] - size[1], generator)
    return background[:, large[0] - size[0] :, left : left + size[1]].clone()


def _check_masks(masks: Tensor, objects: Tensor) -> None:
    expected = (len(objects), *objects.shape[2:])
    if tuple(masks.shape) != expected:
        raise InputError(f"masks must be of shape {expected}, not {tuple(masks.shape)}")
    empty = (~(masks != 0).flatten(start_dim=1).any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise InputError(f"the masks {empty} (counted from 0) show no object: all of them is 0")
