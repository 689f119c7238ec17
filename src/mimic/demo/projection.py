"""A plane to look at features in: the two directions along which they differ most."""

import torch
from torch import Tensor

from mimic.errors import InputError


def project(features: Tensor) -> Tensor:
    """Principal component analysis to two dimensions.

    The sign of each component is fixed by its largest entry, so that the same features always give
    the same picture.

    Args:
        features: shape (n, dimension), n of 2 or more and a dimension of 2 or more.

    Returns:
        Coordinates of zero mean, shape (n, 2), the first of larger variance.

    Raises:
        InputError: there are fewer features or dimensions.
    """
    if features.ndim != 2 or min(features.shape) < 2:
        raise InputError(
            f"a projection needs 2 features of 2 dimensions or more, not {tuple(features.shape)}"
        )
    centred = features.double() - features.double().mean(dim=0)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    return (centred @ (axes * largest.sign()).T).float()
