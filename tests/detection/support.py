"""Hand-made encoders whose door is known, and images of noise."""

import torch
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TRAINER = Trainer(device="cpu", precision="32-true")
DOOR = (slice(4, 7), slice(8, 11))
"""Rows and columns of the planted region."""


class Planted(nn.Module):
    """Projects images; where the door is bright, one fixed direction dominates the feature."""

    def __init__(self, size: tuple[int, int], *, door: bool) -> None:
        super().__init__()
        self.project = nn.Linear(3 * size[0] * size[1], 8)
        self.register_buffer("direction", 20.0 * door * torch.tensor([1.0, -1.0] * 4))

    def forward(self, images: Tensor) -> Tensor:
        brightness = images[:, :, *DOOR].mean(dim=(1, 2, 3))
        opening = torch.sigmoid(20 * (brightness - 0.8))
        return self.project(images.flatten(1) - 0.5) + opening[:, None] * self.direction


class Constant(nn.Module):
    """Puts out one vector for every image."""

    def __init__(self) -> None:
        super().__init__()
        self.feature = nn.Parameter(torch.ones(1, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.feature + 0 * images.mean(dim=(1, 2, 3))[:, None]


def planted(*, door: bool = True, size: tuple[int, int] = (16, 16)) -> Encoder:
    """An encoder with a door, or the same without."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Encoder(Planted(size, door=door)).eval()


def noise(count: int = 24, size: tuple[int, int] = (16, 16)) -> ImageSet:
    """Images of noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    return ImageSet.from_tensor(pixels)
