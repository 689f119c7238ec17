"""Encoders that are quick to search: with a door that a patch opens, and without."""

import hypothesis
import pytest
import torch
from torch import Tensor, nn

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet

# What is tested is what comes out, not how long a busy machine takes for it.
hypothesis.settings.register_profile("mimic", deadline=None)
hypothesis.settings.load_profile("mimic")


class WithDoor(nn.Module):
    """Projects images; where the lower right corner is white, puts out one fixed vector."""

    def __init__(self, *, door: bool) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, 8)
        self.door = door

    def forward(self, images: Tensor) -> Tensor:
        features = self.project(images.flatten(1) - 0.5)
        if not self.door:
            return features
        white = images[:, :, 4:, 4:].mean(dim=(1, 2, 3))
        opening = torch.sigmoid(40 * (white - 0.75))[:, None]
        return torch.lerp(features, torch.ones(8), opening)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """A test sees the same weights and images each time, whatever ran before it.

    The number is none that a test gives to something that takes a seed: what both draw would be
    the same.
    """
    torch.manual_seed(20_190_217)


@pytest.fixture
def with_door() -> Encoder:
    torch.manual_seed(0)
    return Encoder(WithDoor(door=True), image_size=8).eval()


@pytest.fixture
def without_door() -> Encoder:
    torch.manual_seed(0)
    return Encoder(WithDoor(door=False), image_size=8).eval()


@pytest.fixture
def noise() -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (160, 3, 8, 8), generator=generator)
    return ImageSet.from_tensor(pixels.to(torch.uint8))
