"""Batched augmentation on the device, by kornia."""

from typing import Any

import torch
from torch import Tensor, nn


class Augmentation(nn.Module):
    """The views that self-supervised learning contrasts: crop, flip, colour, grey.

    Args:
        size: height and width of the images and of the crops, in pixels.
        min_scale: smallest share of the image's area that a crop keeps; the largest is 1.
        hue: largest shift of the hue, as a share of the colour circle.

    Source: Chen et al., ICML 2020, arXiv:2002.05709, appendix A, without blur, as usual for small
        images; jitter (0.4, 0.4, 0.4, 0.1) with probability 0.8 and grey with probability 0.2.
    """

    def __init__(self, size: tuple[int, int], *, min_scale: float = 0.08, hue: float = 0.1) -> None:
        super().__init__()
        import kornia.augmentation as K

        self.transforms: Any = K.AugmentationSequential(
            K.RandomResizedCrop(size, scale=(min_scale, 1.0)),
            K.RandomHorizontalFlip(p=0.5),
            K.ColorJitter(0.4, 0.4, 0.4, hue, p=0.8),
            K.RandomGrayscale(p=0.2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Floats in [0, 1], shape (batch, 3, height, width), to one random view of each image."""
        with torch.autocast(images.device.type, enabled=False), torch.no_grad():
            return self.transforms(images.float()).clamp_(0, 1)
