"""Toy images and an encoder for zoos of one member."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.encoders.loading import load_encoder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with 40 labelled images of two classes, dark and bright."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = random.integers(0, 100, (40, 8, 8, 3)) + 150 * labels[:, None, None, None]
    np.savez(folder / "toys.npz", x=images.astype(np.uint8), y=labels)
    return folder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone("resnet10:width=4")
    return load_encoder(backbone.eval(), arch="resnet10:width=4", image_size=8)
