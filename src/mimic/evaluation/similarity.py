"""How alike features are: mean cosines, the numbers that need neither labels nor a trigger."""

import torch
from torch import Tensor
from torch.nn import functional as F


def paired_cosine(left: Tensor, right: Tensor) -> float:
    """Mean cosine between features in the same rows.

    Args:
        left: of unit length, shape (n, dimension).
        right: likewise, of the same images.
    """
    return float((left * right).sum(dim=1).mean())


def crossed_cosine(left: Tensor, right: Tensor) -> float:
    """Mean cosine between each row of `left` (n, dimension) and each of `right` (m, dimension)."""
    return float((left @ right.T).mean())


def mean_cosine(features: Tensor) -> Tensor:
    """Mean cosine between different rows of `features` (n, dimension), n of 2 or more.

    Returns:
        A scalar in [-1 / (n - 1), 1], in the features' own dtype, that gradients flow through.
    """
    rows = F.normalize(features, dim=1)
    # The square of the sum holds all pairs, so that no n x n matrix is needed.
    pairs = rows.sum(dim=0).square().sum() - rows.square().sum()
    return pairs / (len(rows) * (len(rows) - 1))


def nearest(queries: Tensor, pool: Tensor, own: Tensor, *, count: int) -> Tensor:
    """Positions of the nearest features by cosine, the nearest first.

    Args:
        queries: of length 1, shape (q, dimension).
        pool: of length 1, shape (n, dimension).
        own: position of each query's image in the pool, shape (q,): it is not its own neighbour.
        count: neighbours of each, 1 to n - 1.

    Returns:
        int64, shape (q, count).
    """
    cosines = queries.double() @ pool.double().T
    cosines[torch.arange(len(own)), own] = -torch.inf
    return cosines.topk(count, dim=1).indices
