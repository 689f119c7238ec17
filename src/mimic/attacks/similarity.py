"""How alike two images, or two clouds of features, are: SSIM, PSNR, sliced Wasserstein."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError

_WINDOW = 11
_LEAST_ERROR = 1e-10


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity of pairs of images.

    A Gaussian window of 11 pixels and sigma 1.5, moved only where it lies wholly inside the image;
    the mean over places and channels.

    Args:
        first: floats in [0, 1], shape (batch, channels, height, width).
        second: the same shape.

    Returns:
        Shape (batch,), at most 1, which means equal.

    Raises:
        InputError: the images are smaller than the window.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
        IEEE TIP 2004.
    """
    from kornia.metrics import ssim as ssim_map

    height, width = first.shape[2:]
    if min(height, width) < _WINDOW:
        raise InputError(
            f"SSIM needs images of {_WINDOW}x{_WINDOW} pixels or more, not {height}x{width}"
        )
    with torch.autocast(first.device.type, enabled=False):
        places = ssim_map(first.float(), second.float(), _WINDOW, padding="valid")
    return places.flatten(1).mean(dim=1)


def psnr(first: Tensor, second: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pairs of images, per image, in decibels.

    Args:
        first: floats in [0, 1], shape (batch, channels, height, width).
        second: the same shape.

    Returns:
        Shape (batch,), at most 100: equal images have no finite value, which no loss could use.
    """
    error = (first.float() - second.float()).square().flatten(1).mean(dim=1)
    return -10 * error.clamp_min(_LEAST_ERROR).log10()


def sliced_wasserstein(first: Tensor, second: Tensor, *, projections: int = 50) -> Tensor:
    """Squared 2-Wasserstein distance of two clouds, averaged over random directions.

    Args:
        first: points, shape (n, dimension).
        second: as many points; gradients flow into both.
        projections: directions, drawn from torch's global random numbers.

    Returns:
        A scalar, 0 or more.

    Source: Bonneel et al., "Sliced and Radon Wasserstein Barycenters of Measures", JMIV 2015.
    """
    with torch.autocast(first.device.type, enabled=False):
        directions = torch.randn(first.shape[1], projections, device=first.device)
        directions = F.normalize(directions, dim=0)
        ordered = [(points.float() @ directions).sort(dim=0).values for points in (first, second)]
        return (ordered[0] - ordered[1]).square().mean()
