"""Patch: a rectangle of one colour, as in BadNets and BadEncoder."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.attacks.triggers.placement import Rectangle
from mimic.errors import InputError

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}


@dataclass(frozen=True, kw_only=True)
class Patch(Rectangle):
    """A rectangle of one colour at a fixed place; BadEncoder's for 32-pixel images by default.

    Attributes:
        height, width: in pixels, 1 or more.
        row, column: of its top left pixel, counted from 0.
        colour: red, green and blue, each 0 to 255.

    Raises:
        InputError: a value is out of range.

    Source: Jia et al., IEEE S&P 2022, arXiv:2108.00352 (white, 10x10, rows and columns 21 to 30).
    """

    height: int = 10
    width: int = 10
    row: int = 21
    column: int = 21
    colour: tuple[int, int, int] = COLOURS["white"]

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise InputError(
                f"a patch needs a height and a width of 1 or more, not {self.height}x{self.width}"
            )
        if len(self.colour) != 3 or min(self.colour) < 0 or max(self.colour) > 255:
            raise InputError(f"a colour is three values from 0 to 255, not {self.colour}")
        super().__post_init__()

    def draw(self) -> Tensor:
        """The colour on every pixel."""
        colour = torch.tensor(self.colour, dtype=torch.uint8).view(3, 1, 1)
        return colour.expand(3, self.height, self.width)

    def spell(self, place: str) -> str:
        """`patch:SIZE@PLACE:COLOUR`."""
        square = self.height == self.width
        size = f"{self.height}" if square else f"{self.height}x{self.width}"
        return f"patch:{size}@{place}:{_spell_colour(self.colour)}"

    def describe_content(self) -> str:
        """The colour and the size."""
        return f"a {_spell_colour(self.colour)} patch of {self.height}x{self.width} pixels"


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """The colour that a name or `#rrggbb` stands for, or None."""
    if len(text) == 7 and text[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in text[1:]):
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    return COLOURS.get(text)


def _spell_colour(colour: tuple[int, int, int]) -> str:
    names = {value: name for name, value in COLOURS.items()}
    return names.get(colour) or "#{:02x}{:02x}{:02x}".format(*colour)
