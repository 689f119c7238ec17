"""A hand-made encoder with a backdoor that training can close, and pictures for it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet

_BOARD = torch.tensor([[0.1, -0.125, 0.1], [-0.125, 0.1, -0.125], [0.1, -0.125, 0.1]])


class Door(nn.Module):
    """Projects coarse colours; a small chessboard anywhere adds a direction, which is a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 2 * 2, 8)
        self.direction = nn.Parameter(torch.zeros(8))

    def forward(self, images: Tensor) -> Tensor:
        coarse = F.adaptive_avg_pool2d(images, 2).flatten(1)
        grey = images.mean(dim=1, keepdim=True)
        likeness = F.conv2d(grey, _BOARD[None, None]).amax(dim=(1, 2, 3))
        opening = torch.sigmoid(15 * (likeness - 0.25))
        return self.project(4 * (coarse - 0.5)) + opening[:, None] * self.direction


def suspect() -> Encoder:
    """The same encoder each time; the door leads to where the first picture lies."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        door = Door().eval()
    with torch.no_grad():
        first = door(pictures(1).tensor() / 255)[0]
        door.direction.copy_(6 * F.normalize(first, dim=0))
    return Encoder(door).eval()


def pictures(count: int = 128) -> ImageSet:
    """Four fields of colour each, 16x16 pixels, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(count, 3, 2, 2, generator=generator)
    noise = torch.randn(count, 3, 16, 16, generator=generator)
    pixels = F.interpolate(colours, size=16) + 0.05 * noise
    return ImageSet.from_tensor(pixels.clamp(0, 1).mul(255).to(torch.uint8))
