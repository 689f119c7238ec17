"""Patches: rectangles with a coarse texture, as a population that can be drawn, laid and varied."""

from dataclasses import dataclass

import torch
from torch import Tensor

GRID = 4
"""A texture is a grid of this many by this many colours."""
SMALLEST, LARGEST = 0.08, 0.5
"""Limits of a patch's height and width, as shares of the image's."""
Box = tuple[float, float, float, float]
"""Top, left, bottom and right as shares of the image's sides."""


@dataclass(frozen=True)
class Patches:
    """Opaque patches that do not depend on the image they are laid on.

    Attributes:
        boxes: top, left, height and width as shares of the image's sides, shape (n, 4).
        textures: colours in [0, 1], shape (n, 3, GRID, GRID); equal colours make a plain patch.
    """

    boxes: Tensor
    textures: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: Tensor) -> "Patches":
        return Patches(self.boxes[chosen], self.textures[chosen])

    @property
    def costs(self) -> Tensor:
        """Share of the image that each patch covers, shape (n,)."""
        return self.boxes[:, 2:].prod(dim=1)

    def lay(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Lay patch i over image i.

        Args:
            images: floats in [0, 1], shape (n, 3, height, width); left as they are.

        Returns:
            Images of the same shape, and masks (n, 1, height, width), 1 where an image is covered.
        """
        rows, inside_rows = self._cells(images.shape[2], axis=0)
        columns, inside_columns = self._cells(images.shape[3], axis=1)
        cells = rows[:, :, None] * GRID + columns[:, None, :]
        flat = cells.flatten(1)[:, None].expand(-1, 3, -1)
        fillings = self.textures.flatten(2).gather(2, flat).view(images.shape).to(images)
        mask = (inside_rows[:, None, :, None] & inside_columns[:, None, None, :]).to(images)
        return torch.lerp(images, fillings, mask), mask

    def _cells(self, length: int, *, axis: int) -> tuple[Tensor, Tensor]:
        """Which texture cell each pixel along an axis falls into, and whether it is covered."""
        centres = (torch.arange(length) + 0.5) / length
        place = (centres - self.boxes[:, axis, None]) / self.boxes[:, axis + 2, None]
        return (place * GRID).long().clamp(0, GRID - 1), (place >= 0) & (place < 1)

    def varied(self, *, shift: float = 0.04, colour: float = 0.3) -> "Patches":
        """Neighbours: boxes moved and resized a little, half of the textures recoloured.

        Args:
            shift: standard deviation of the change of a box, as a share of the image's side.
            colour: standard deviation of the change of a colour in [0, 1].
        """
        boxes = self.boxes + torch.randn_like(self.boxes) * shift
        sides = boxes[:, 2:].clamp(SMALLEST, LARGEST)
        corners = _inside(boxes[:, :2], sides)
        changed = (torch.rand(len(self), 1, 1, 1) < 0.5) * colour
        textures = self.textures + torch.randn_like(self.textures) * changed
        return Patches(torch.cat([corners, sides], dim=1), textures.clamp(0, 1))

    def joined(self, other: "Patches") -> "Patches":
        """Both populations as one."""
        return Patches(
            torch.cat([self.boxes, other.boxes]), torch.cat([self.textures, other.textures])
        )


def _inside(corners: Tensor, sides: Tensor) -> Tensor:
    """The corners, moved until boxes with these sides lie in the image."""
    return torch.minimum(corners.clamp_min(0), 1 - sides)


def random_patches(count: int, around: Box | None = None) -> Patches:
    """Patches at random places: plain in any colour, in a primary one, black or white, or a grid.

    Random numbers come from torch's global generator.

    Args:
        count: how many.
        around: where their centres lie, as far as patches fit into the image; None is anywhere.
    """
    sides = torch.empty(count, 2).uniform_(SMALLEST, LARGEST)
    places = torch.rand(count, 2)
    if around is None:
        corners = places * (1 - sides)
    else:
        first, last = torch.tensor(around).chunk(2)
        centres = torch.lerp(first, last, places)
        corners = _inside(centres - sides / 2, sides)
    shape = (count, 3, GRID, GRID)
    kinds = torch.stack(
        [
            torch.rand(count, 3, 1, 1).expand(shape),
            torch.rand(count, 3, 1, 1).round().expand(shape),
            torch.rand(count, 1, 1, 1).round().expand(shape),
            torch.rand(shape).round(),
        ]
    )
    textures = kinds[torch.randint(len(kinds), (count,)), torch.arange(count)]
    return Patches(torch.cat([corners, sides], dim=1), textures)
