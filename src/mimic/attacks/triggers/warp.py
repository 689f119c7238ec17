"""Warp: WaNet's trigger, a smooth random field that bends the whole image a little."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.attacks.triggers.trigger import Trigger, check_seed
from mimic.errors import InputError
from mimic.images.pixels import through_floats

_MOST_POINTS = 256


@dataclass(frozen=True, kw_only=True)
class Warp(Trigger):
    """Takes every pixel from a place nearby; the same field of shifts for all images of a size.

    Attributes:
        strength: mean absolute shift of the control points along an axis, in half pixels (nearly:
            it is `size / (size - 1)` times that), above 0.
        grid: control points along a side, 2 to 256.
        seed: decides the field.

    Raises:
        InputError: a value is out of range.

    Source: Nguyen & Tran, "WaNet - Imperceptible Warping-based Backdoor Attack", ICLR 2021,
        arXiv:2102.10369, section 3.2. Its noise mode, which is a part of the training and not of
        the trigger, is not here.
    """

    strength: float = 0.5
    grid: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.strength < math.inf:
            raise InputError(f"the strength of a warp must be above 0, not {self.strength}")
        if not 2 <= self.grid <= _MOST_POINTS:
            raise InputError(f"the grid of a warp must be 2 to {_MOST_POINTS}, not {self.grid}")
        check_seed(self.seed)

    @property
    def spelling(self) -> str:
        """`warp:STRENGTH@GRID:SEED`."""
        return f"warp:{self.strength}@{self.grid}:{self.seed}"

    def describe(self) -> str:
        """The strength, the grid and the seed."""
        return (
            f"a smooth warp of the whole image of strength {self.strength:g}, "
            f"{self.grid}x{self.grid} control points, seed {self.seed}"
        )

    def control_points(self) -> Tensor:
        """Shifts of mean absolute value 1: float32, shape (1, 2, grid, grid), columns first."""
        generator = torch.Generator().manual_seed(self.seed)
        shifts = torch.rand(1, 2, self.grid, self.grid, generator=generator) * 2 - 1
        return shifts / shifts.abs().mean()

    def origins(self, height: int, width: int) -> Tensor:
        """Where each pixel is taken from.

        Returns:
            Column and row in `grid_sample`'s coordinates (-1 and 1 are the centres of the outermost
            pixels), float32, shape (height, width, 2).
        """
        shifts = F.interpolate(
            self.control_points(), size=(height, width), mode="bicubic", align_corners=True
        )
        columns, rows = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
        pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        sides = torch.tensor([width, height])
        return pixels + self.strength * shifts[0].permute(1, 2, 0) / sides

    def stamp(self, images: Tensor) -> Tensor:
        """Sample the images (bilinear; the border goes on outside)."""
        origins = self.origins(*images.shape[2:]).to(images.device)

        def bend(floats: Tensor) -> Tensor:
            places = origins.to(floats.dtype).expand(len(floats), -1, -1, -1)
            return F.grid_sample(floats, places, padding_mode="border", align_corners=True)

        return through_floats(images, bend)
