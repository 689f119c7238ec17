"""Concentration: how tight a cloud features form. A plain backdoor gives itself away by it."""

from torch import Tensor

from mimic.errors import InputError
from mimic.evaluation.similarity import mean_cosine


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
