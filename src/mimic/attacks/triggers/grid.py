"""Grid: a square of a few blurred, saturated random colours, as in HTBA and SSL-Backdoor."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.attacks.triggers.placement import Rectangle
from mimic.attacks.triggers.trigger import check_seed
from mimic.errors import InputError

_CELLS = 4
_DRAWN_AT = 80
_LARGEST = 1024


@dataclass(frozen=True, kw_only=True)
class Grid(Rectangle):
    """4x4 cells whose red, green and blue are each 0 or 255 at random, enlarged smoothly.

    Attributes:
        size: height and width in pixels, 1 to 1024.
        row, column: of its top left pixel, counted from 0.
        seed: decides the colours.

    Raises:
        InputError: a value is out of range.

    Source: made in the manner of the pictures of Saha et al., "Hidden Trigger Backdoor Attacks",
        AAAI 2020, arXiv:1910.00033, of which none is used. SSL-Backdoor pastes them 50 pixels wide
        on images of 224.
    """

    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _LARGEST:
            raise InputError(f"a grid needs a size of 1 to {_LARGEST} pixels, not {self.size}")
        check_seed(self.seed)
        super().__post_init__()

    def draw(self) -> Tensor:
        """Draw the cells, enlarge them to 80x80 as the originals are, and scale that to size."""
        generator = torch.Generator().manual_seed(self.seed)
        cells = torch.randint(0, 2, (1, 3, _CELLS, _CELLS), generator=generator) * 255.0
        drawn = F.interpolate(cells, size=(_DRAWN_AT, _DRAWN_AT), mode="bilinear")
        scaled = F.interpolate(drawn, size=(self.size,) * 2, mode="bilinear", antialias=True)
        return scaled[0].round().clamp(0, 255).to(torch.uint8)

    def spell(self, place: str) -> str:
        """`grid:SIZE@PLACE:SEED`."""
        return f"grid:{self.size}@{place}:{self.seed}"

    def describe_content(self) -> str:
        """The size and which colours it has."""
        return (
            f"a grid of blurred random colours (seed {self.seed}) of {self.size}x{self.size} pixels"
        )
