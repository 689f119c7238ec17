"""Random occlusions: patches of many kinds, laid over images at random places."""

import torch
from torch import Tensor

KINDS = ("colour", "primary", "extreme", "noise", "picture")


def random_occlusion(
    images: Tensor, *, smallest: float = 0.1, largest: float = 0.45
) -> tuple[Tensor, Tensor]:
    """Lay one random rectangle over each image.

    Height and width are drawn independently between `smallest` and `largest` times the image's, one
    pixel at least. The centre is drawn evenly over the image and what hangs over the border is cut
    off, so that corners, where triggers like to sit, are covered often too. The rectangle is filled
    with a random colour, a primary colour, black or white, noise, or a piece of another image of
    the batch, each equally often. Random numbers come from torch's global generator.

    Args:
        images: floats in [0, 1], shape (batch, 3, height, width); left as they are.
        smallest, largest: side of the uncut rectangle as a share of the image's side, in (0, 1].

    Returns:
        Occluded images of the same shape, and masks (batch, 1, height, width) that are 1 where the
        image is covered and 0 elsewhere.
    """
    mask = _rectangles(images, smallest, largest)
    return torch.lerp(images, _fillings(images), mask), mask


def _rectangles(images: Tensor, smallest: float, largest: float) -> Tensor:
    batch, _, height, width = images.shape
    extents = []
    for length in (height, width):
        side = (torch.empty(batch, 1).uniform_(smallest, largest) * length).clamp_min(1)
        start = (1 - torch.rand(batch, 1)) * length - side / 2
        centres = torch.arange(length) + 0.5
        extents.append((centres >= start) & (centres < start + side))
    rows, columns = extents
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(images)


def _fillings(images: Tensor) -> Tensor:
    """One filling per image, the kinds in random order."""
    batch = len(images)
    kinds = torch.randint(len(KINDS), (batch, 1, 1, 1)).to(images.device)
    flat = torch.rand(batch, 3, 1, 1).to(images)
    primary = torch.randint(2, (batch, 3, 1, 1)).to(images)
    extreme = torch.randint(2, (batch, 1, 1, 1)).to(images)
    shift = [int(torch.randint(1, length, ())) for length in images.shape[2:]]
    filling = images.roll(1, 0).roll(shift, (2, 3))
    filling = torch.where(kinds == KINDS.index("noise"), torch.rand_like(images), filling)
    for name, values in (("colour", flat), ("primary", primary), ("extreme", extreme)):
        filling = torch.where(kinds == KINDS.index(name), values, filling)
    return filling
