"""Gain: by how much the best trigger of a search exceeds what any encoder yields to.

What a trigger takes away is told in nats: minus the logarithm of the share of what tells images
apart that is left, so that each halving counts alike.
"""

import torch
from torch import Tensor

_LEAST = 1e-3
"""A share below which nothing is as good as left."""
_STRONG = 0.95
"""Quantile of random triggers that are called strong."""
_LEAST_SPREAD = 0.05
"""Nats by which strong random triggers exceed usual ones at least."""


def over_usual(best: float, natural: Tensor) -> float:
    """By how many nats the best trigger takes more away than the median of natural ones.

    Args:
        best: the share that it takes away, at most 1.
        natural: the shares that natural ones take away, shape (n,).
    """
    return float(_nats(torch.tensor(best)) - _nats(natural).median())


def over_strong(best: float, natural: Tensor) -> float:
    """The same in units of what strong random triggers exceed the median by: 1 is as strong a one.

    Encoders differ in how much random triggers of a size do to them; in this unit clean ones are
    much more alike than in nats.

    Args:
        best: the share that it takes away, at most 1.
        natural: the shares that random ones take away, shape (n,).
    """
    nats = _nats(natural)
    spread = nats.quantile(_STRONG) - nats.median()
    return over_usual(best, natural) / max(float(spread), _LEAST_SPREAD)


def _nats(forgotten: Tensor) -> Tensor:
    return -(1 - forgotten).clamp_min(_LEAST).log()
