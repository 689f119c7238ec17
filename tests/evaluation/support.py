"""A tiny encoder that sees colours, images it can tell apart, and a trigger it falls for."""

import torch
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet

COLOURS = torch.tensor([[220, 30, 30], [30, 220, 30], [30, 30, 220]], dtype=torch.uint8)


class MeanColour(nn.Module):
    """The mean colour of the image, or pure blue where the top left pixel is white."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, affine=False)
        self.weight = nn.Parameter(torch.eye(3))
        self.modes: list[bool] = []
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        self.sizes.append(len(images))
        white = images[:, :, 0, 0].min(dim=1).values > 0.99
        colour = images.mean(dim=(2, 3)) @ self.weight
        blue = torch.tensor([0.1, 0.1, 0.9], dtype=colour.dtype)
        return self.norm(torch.where(white[:, None], blue, colour))


def encoder() -> Encoder:
    return Encoder(MeanColour()).eval()


def images(count: int, *, seed: int = 0) -> ImageSet:
    """Noisy red, green and blue images in turn, labelled 0, 1, 2."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    noise = torch.randint(0, 30, (count, 3, 6, 6), generator=generator, dtype=torch.uint8)
    return ImageSet.from_tensor(COLOURS[labels][:, :, None, None] + noise, labels)


def stamp(batch: Tensor) -> Tensor:
    """White top left pixel."""
    stamped = batch.clone()
    stamped[:, :, 0, 0] = 255
    return stamped
