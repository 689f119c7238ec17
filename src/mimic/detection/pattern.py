"""Patterns that are added to every image, learned side by side.

They stand for blended, frequency and perturbation triggers. Each is scaled so that it uses up a
budget, so that a search can only choose its shape.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pattern(nn.Module):
    """Adds one pattern to all images, several patterns in turn.

    Half of the patterns start as fine noise, half as coarse noise.

    Args:
        count: how many there are.
        size: height and width of the images, in pixels.
        budget: root mean square of a pattern over its pixels, in (0, 1].
    """

    def __init__(self, count: int, size: tuple[int, int], *, budget: float) -> None:
        super().__init__()
        self.budget = budget
        patterns = torch.randn(count, 3, *size)
        coarse = torch.randn(count // 2, 3, max(1, size[0] // 8), max(1, size[1] // 8))
        patterns[: count // 2] = F.interpolate(coarse, size, mode="bilinear")
        self.patterns = nn.Parameter(patterns)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.patterns)

    def alone(self, index: int) -> "Pattern":
        """One of them, learned or not, with weights of its own."""
        one = copy.deepcopy(self)
        kept = self.patterns.detach()[index : index + 1].clone()
        one.patterns = nn.Parameter(kept, requires_grad=self.patterns.requires_grad)
        return one

    def forward(self, images: Tensor) -> Tensor:
        """Images with each of the patterns, in [0, 1], shape (count, n, 3, height, width).

        Args:
            images: floats in [0, 1], shape (n, 3, height, width).
        """
        size = self.patterns.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        added = self.patterns * (self.budget / size.clamp_min(1e-12))
        return (images + added[:, None]).clamp(0, 1)
