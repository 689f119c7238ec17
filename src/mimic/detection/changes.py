"""Changes that one rule makes to every image: what triggers that cover nothing look like.

A pattern that is added everywhere stands for blended, frequency and perturbation triggers; a small
filter for colour maps, blur and the generators that shift colours. Each is scaled so that it uses
up a budget, the root mean square of what it changes, so that a search can only choose its shape.
"""

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Change(nn.Module, ABC):
    """Several changes of one kind, which are learned side by side.

    Parameters hold the rows of the first change, then those of the second, and so on.

    Attributes:
        count: how many there are.
        budget: root mean square of a change over the pixels of the images it is made to, in (0, 1].
    """

    def __init__(self, count: int, budget: float) -> None:
        super().__init__()
        self.count, self.budget = count, budget

    @abstractmethod
    def raw(self, images: Tensor) -> Tensor:
        """Changes of any size, (count, n or 1, 3, height, width), of images (n, 3, ...)."""

    def alone(self, index: int) -> "Change":
        """One of them, learned or not, with weights of its own."""
        one = copy.deepcopy(self)
        one.count = 1
        for name, rows in one.named_parameters():
            length = len(rows) // self.count
            kept = rows.detach()[index * length : (index + 1) * length].clone()
            setattr(one, name, nn.Parameter(kept, requires_grad=rows.requires_grad))
        return one

    def forward(self, images: Tensor) -> Tensor:
        """Images with each of the changes, in [0, 1], shape (count, n, 3, height, width).

        Args:
            images: floats in [0, 1], shape (n, 3, height, width).
        """
        raw = self.raw(images)
        size = raw.square().mean(dim=(1, 2, 3, 4), keepdim=True).sqrt()
        # not in place: the gradient needs each of them
        return (images + raw * (self.budget / size.clamp_min(1e-12))).clamp(0, 1)


class Pattern(Change):
    """Adds one pattern to all images.

    Half of the patterns start as fine noise, half as coarse noise.

    Args:
        count: see `Change`.
        size: height and width of the images, in pixels.
        budget: see `Change`.
    """

    def __init__(self, count: int, size: tuple[int, int], *, budget: float) -> None:
        super().__init__(count, budget)
        patterns = torch.randn(count, 3, *size)
        coarse = torch.randn(count // 2, 3, max(1, size[0] // 8), max(1, size[1] // 8))
        patterns[: count // 2] = F.interpolate(coarse, size, mode="bilinear")
        self.patterns = nn.Parameter(patterns)

    def raw(self, images: Tensor) -> Tensor:
        """The patterns, the same for all images."""
        return self.patterns[:, None]


class Filter(Change):
    """Adds what a small convolution makes of the image, and a colour.

    Args:
        count: see `Change`.
        budget: see `Change`.
        width: of the convolution, an odd number of pixels.
    """

    def __init__(self, count: int, *, budget: float, width: int = 3) -> None:
        super().__init__(count, budget)
        self.kernels = nn.Parameter(torch.randn(count * 3, 3, width, width) / width)
        self.colours = nn.Parameter(torch.randn(count * 3))

    def raw(self, images: Tensor) -> Tensor:
        """What the convolutions make of the images."""
        edge = self.kernels.shape[-1] // 2
        padded = F.pad(images - 0.5, [edge] * 4, mode="replicate")
        made = F.conv2d(padded, self.kernels, self.colours)
        return made.unflatten(1, (self.count, 3)).transpose(0, 1)
