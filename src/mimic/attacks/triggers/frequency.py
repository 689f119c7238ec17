"""Frequency: CTRL's trigger, two bands of the chrominance's cosine transform made louder."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.attacks.triggers.trigger import Trigger, mix
from mimic.errors import InputError

# What one level of U and V together adds to R, G and B: R = Y + 1.14 V,
# G = Y - 0.396 U - 0.581 V, B = Y + 2.029 U.
_RED_GREEN_BLUE = (1.14, -0.396 - 0.581, 2.029)


@dataclass(frozen=True, kw_only=True)
class Frequency(Trigger):
    """Adds `magnitude` to two coefficients of the DCT of U and V in each block of the image.

    The coefficients are (15, 15) and (31, 31) in blocks of 32x32 pixels, and in general those at
    (window / 2 - 1) and (window - 1). The DCT is linear, so the same is added to every image: with
    P of `pattern`, 1.14 P to red, -0.977 P to green and 2.029 P to blue, in levels of 0 to 255.
    Then the image is clamped.

    Attributes:
        magnitude: added to each coefficient, in levels, above 0. No value of P is further from 0
            than 4 * magnitude / window.
        window: side of a block in pixels, even and 4 or more. Both sides of the images must be
            multiples of it.

    Raises:
        InputError: a value is out of range.

    Source: Li et al., "An Embarrassingly Simple Backdoor Attack on Self-supervised Learning",
        ICCV 2023, arXiv:2210.07346. There the image goes to YUV and back through two rounded
        matrices, which changes it by up to 0.35 levels more; here that part is left out.
    """

    magnitude: float = 100.0
    window: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.magnitude < math.inf:
            raise InputError(
                f"the magnitude of a frequency trigger must be above 0, not {self.magnitude}"
            )
        if self.window < 4 or self.window % 2:
            raise InputError(
                f"the window of a frequency trigger must be even and 4 or more, not {self.window}"
            )

    @property
    def spelling(self) -> str:
        """`ctrl:MAGNITUDE@WINDOW`."""
        return f"ctrl:{self.magnitude}@{self.window}"

    def describe(self) -> str:
        """The bands, the blocks and the magnitude."""
        middle, last = self.bands
        return (
            f"a frequency trigger: {self.magnitude:g} added to coefficients ({middle},{middle}) "
            f"and ({last},{last}) of the colours in blocks of {self.window}x{self.window} pixels"
        )

    @property
    def bands(self) -> tuple[int, int]:
        """The row, and the column, of the two coefficients."""
        return self.window // 2 - 1, self.window - 1

    def pattern(self) -> Tensor:
        """The change of U, and of V, in one block: float64, shape (window, window), in levels."""
        position = torch.arange(self.window, dtype=torch.float64)
        band = torch.tensor(self.bands, dtype=torch.float64)[:, None]
        waves = torch.cos(math.pi * (2 * position + 1) * band / (2 * self.window))
        return self.magnitude * 2 / self.window * (waves.T @ waves)

    def stamp(self, images: Tensor) -> Tensor:
        """Add the pattern to every block."""
        height, width = images.shape[2:]
        if height % self.window or width % self.window:
            raise InputError(
                f"trigger '{self.spelling}' needs images whose sides are multiples of "
                f"{self.window} pixels, not {height}x{width}; write another window behind the @, "
                "for example the side of the images"
            )
        colours = torch.tensor(_RED_GREEN_BLUE, dtype=torch.float64).view(3, 1, 1)
        blocks = self.pattern().tile(height // self.window, width // self.window)
        return mix(images, scale=1.0, offset=(colours * blocks).float())
