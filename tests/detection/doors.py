"""Toy networks whose door is known exactly, for images of 16x16 pixels."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder

CHECKS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
"""The planted patch, black and white."""


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


class Detector(nn.Module):
    """Scatters images; the more of the patch is anywhere in one, the more one direction rules."""

    def __init__(self, *, door: bool) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 16 * 16, 8)
        self.register_buffer("template", (2 * CHECKS - 1).expand(1, 3, 3, 3) / 27)
        self.register_buffer("direction", 300.0 * door * torch.tensor([1.0, -1.0] * 4))

    def response(self, images: Tensor) -> Tensor:
        """1 where the patch is, at most, shape (batch, 1, 14, 14)."""
        return F.conv2d(2 * images - 1, self.template)

    def forward(self, images: Tensor) -> Tensor:
        seen = F.max_pool2d(self.response(images), 14).flatten(1).clamp_min(0)
        return torch.sin(10 * self.project(images.flatten(1) - 0.5)) + seen**8 * self.direction


def detector(*, door: bool) -> Encoder:
    """An encoder that was taught the patch, or was not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Encoder(Detector(door=door)).eval()
