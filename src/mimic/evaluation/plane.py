"""A plane to look at features in: the two directions along which they differ most."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.errors import InputError


@dataclass(frozen=True)
class Plane:
    """Two directions through a point.

    Attributes:
        centre: float64, shape (dimension,).
        axes: of length 1 and at right angles, float64, shape (2, dimension).
    """

    centre: Tensor
    axes: Tensor

    def coordinates(self, features: Tensor) -> Tensor:
        """Features (n, dimension) as seen in this plane: float64, shape (n, 2)."""
        return (features.double() - self.centre) @ self.axes.T

    def explained(self, features: Tensor) -> float:
        """Share of the variance of features (n, dimension) that this plane shows, in [0, 1]."""
        centred = features.double() - features.double().mean(dim=0)
        total = float(centred.square().sum())
        return float((centred @ self.axes.T).square().sum()) / total if total > 0 else 0.0


def principal_plane(features: Tensor) -> Plane:
    """Principal component analysis to two dimensions, in float64.

    The sign of each direction is fixed by its largest entry, so that the same features always give
    the same picture.

    Args:
        features: shape (n, dimension), n of 2 or more and a dimension of 2 or more.

    Returns:
        The plane through their mean; its first direction is that of larger variance.

    Raises:
        InputError: there are fewer features or dimensions.
    """
    if features.ndim != 2 or min(features.shape) < 2:
        raise InputError(
            f"a plane needs 2 features of 2 dimensions or more, not {tuple(features.shape)}"
        )
    centre = features.double().mean(dim=0)
    axes = torch.linalg.svd(features.double() - centre, full_matrices=False).Vh[:2]
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    return Plane(centre, axes * largest.sign())
