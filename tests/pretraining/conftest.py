"""Images for the tests of pre-training."""

import pytest
import torch
from sklearn.datasets import load_digits

from mimic.images.imageset import ImageSet


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    """64 digits of 8x8 pixels."""
    pixels = torch.from_numpy(load_digits().images[:64] / 16 * 255).to(torch.uint8)
    return ImageSet.from_tensor(pixels[:, None].expand(-1, 3, -1, -1).contiguous())
