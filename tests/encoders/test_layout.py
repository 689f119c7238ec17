import subprocess
import sys

import pytest
from torch import nn

from mimic.encoders.architectures import build_backbone
from mimic.encoders.layout import allows_channels_last


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        (nn.Conv2d(8, 16, 1, stride=2), False),
        (nn.Conv2d(15, 16, 1, stride=(1, 2)), False),
        (nn.Conv2d(16, 32, 1, stride=2), True),
        (nn.Conv2d(8, 16, 1), True),
        (nn.Conv2d(3, 8, 3, stride=2), True),
        (nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Conv2d(8, 16, 1, stride=2))), False),
    ],
    ids=str,
)
def test_narrow_strided_convolutions_of_one_pixel_are_found(module, allowed):
    assert allows_channels_last(module) == allowed


@pytest.mark.parametrize(("width", "allowed"), [(15, False), (16, True)])
def test_a_resnet_asks_for_it_only_where_its_shortcuts_are_wide_enough(width, allowed):
    assert build_backbone(f"resnet10:width={width}").channels_last == allowed


TRAINING = """
import torch
from mimic.encoders.architectures import build_backbone
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.pretraining import SimClr
from mimic.training import Trainer

torch.manual_seed(0)
encoder = Encoder(build_backbone("resnet10:width=4"), architecture="resnet10:width=4")
images = ImageSet.from_tensor(torch.randint(0, 256, (40, 3, 64, 64), dtype=torch.uint8), name="x")
trainer = Trainer(device="cpu", precision="32-true", progress=False)
SimClr(epochs=4, batch_size=8)(encoder, images, trainer=trainer)
"""


def test_training_a_narrow_network_damages_no_memory():
    # In a process of its own: without the guard it dies, or does not end.
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
