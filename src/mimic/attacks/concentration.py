"""Concentration: how tight a cloud features form. A plain backdoor gives itself away by it."""

from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError


def concentration(features: Tensor) -> float:
    """Mean cosine between different features: 1 where all point in one direction.

    Args:
        features: shape (n, dimension), n of 2 or more, on any device.

    Returns:
        In [-1 / (n - 1), 1], computed in float64.

    Raises:
        InputError: there are fewer than two features.
    """
    if features.ndim != 2 or len(features) < 2:
        raise InputError(
            "concentration needs two or more features (n, dimension), "
            f"not a tensor of shape {tuple(features.shape)}"
        )
    return mean_cosine(features.detach().cpu().double()).item()


def mean_cosine(features: Tensor) -> Tensor:
    """As `concentration`, but a scalar that gradients flow through, in the features' own dtype."""
    rows = F.normalize(features, dim=1)
    # The square of the sum holds all pairs, so that no n x n matrix is needed.
    pairs = rows.sum(dim=0).square().sum() - rows.square().sum()
    return pairs / (len(rows) * (len(rows) - 1))
