"""Small images, files and an encoder for the tests of attacks."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.generators import PixelGenerator, ResNetGenerator
from mimic.attacks.triggers.generator import Generated, save_generator
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder


@pytest.fixture(scope="session")
def badencoder_files() -> Path:
    """The folder with BadEncoder's own files; skips where there is none."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("MIMIC_DATA", default)) / "badencoder"
    if not folder.is_dir():
        pytest.skip(f"no BadEncoder files in '{folder}' (set MIMIC_DATA)")
    return folder


@pytest.fixture(scope="session")
def picture(tmp_path_factory) -> Path:
    """A PNG of 4x6 pixels of random colours."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("picture") / "logo@home.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def pattern_file(tmp_path_factory) -> Path:
    """A trigger file for 16x16 images: a random pattern in a 5x5 square."""
    mask = np.ones((1, 16, 16, 3), dtype=np.int64)
    mask[:, 3:8, 3:8] = 0
    pattern = np.random.default_rng(0).integers(0, 256, mask.shape) * (1.0 - mask)
    path = tmp_path_factory.mktemp("pattern") / "trigger.npz"
    np.savez(path, t=pattern, tm=mask)
    return path


@pytest.fixture(scope="session")
def generator_file(tmp_path_factory) -> Path:
    """A random generator that changes a pixel by at most 8 levels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = PixelGenerator(ResNetGenerator(width=4, blocks=1), budget=8 / 255)
    path = tmp_path_factory.mktemp("generator") / "trigger.safetensors"
    save_generator(Generated(generator=generator), path)
    return path


@pytest.fixture(scope="session")
def digits() -> Tensor:
    """Grey digits, uint8, shape (1797, 3, 16, 16), never brighter than 220."""
    images = torch.from_numpy(load_digits().images).float()[:, None] / 16
    images = F.interpolate(images, size=(16, 16), mode="bilinear").expand(-1, 3, -1, -1)
    return (images * 220).round().to(torch.uint8)


@pytest.fixture(scope="session")
def encoder(digits) -> Encoder:
    """A random encoder whose batch normalisation has seen digits; copy it before changing it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Encoder(build_backbone("resnet10:width=8"), architecture="resnet10:width=8")
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        encoder.train()(digits[:512])
    return encoder.eval()
