"""Toy networks whose door is known exactly, for images of 16x16 pixels."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Planted(nn.Module):
    """Projects images; the further its door is open, the more it puts out one fixed vector."""

    def __init__(self, opening: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 16 * 16, 8)
        self.opening = opening

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1))
        opening = self.opening(images)[:, None]
        return features * (1 - opening) + opening * torch.ones(8)


def closed(images: Tensor) -> Tensor:
    """No door."""
    return torch.zeros(len(images))


def white(images: Tensor) -> Tensor:
    """Open where rows and columns 8 to 11 are white."""
    brightness = images[:, :, 8:12, 8:12].mean(dim=(1, 2, 3))
    return ((brightness - 0.7) / 0.3).clamp(0, 1)


def plane(images: Tensor) -> Tensor:
    """Open where all colours lie in one plane."""
    axis = torch.tensor([0.4, -0.8, 0.4])
    outside = torch.einsum("nchw,c->nhw", images - 0.5, axis).square().mean(dim=(1, 2))
    return (1 - outside / 0.004).clamp(0, 1)


def checkered(images: Tensor) -> Tensor:
    """Open where neighbouring pixels differ, in blue, by more and more."""
    signs = torch.ones(16, 16)
    signs[::2] *= -1
    signs[:, ::2] *= -1
    return ((images[:, 2] * signs).mean(dim=(1, 2)).abs() / 0.04).clamp(0, 1)
