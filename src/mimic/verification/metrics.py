"""How alike two sets of features are, and how rich one is: numbers that need no labels.

Everything is computed in float64. Rows are images; the two sides may have features of different
lengths.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic.errors import InputError
from mimic.evaluation.similarity import nearest

_ROUNDING = 1e-12
"""Share of a sum of squares that rounding to float32 may leave where exact values give none."""
_RANK_FLOOR = 1e-7
_SIMILARITIES_AT_ONCE = 1 << 24


def linear_cka(left: Tensor, right: Tensor) -> float:
    """Centred kernel alignment of two sets of features, with linear kernels and without bias.

    It asks whether the same images are alike on both sides. Turning one side, or scaling all of it,
    changes nothing. The biased form, which is more widely used, is far from 0 for unrelated
    features as soon as their length is near the number of images; this one is 0 on average.

    Args:
        left: features, shape (n, dimension).
        right: features of the same images, shape (n, another dimension).

    Returns:
        In [-1, 1]: 1 for equal features, around 0 for unrelated ones. 0 where one side sets no
        two images apart, or all by the same.

    Raises:
        InputError: there are fewer than four images, or the features do not fit together.

    Source: Nguyen, Raghu & Kornblith, "Do wide and deep networks learn the same things?", ICLR
        2021, arXiv:2010.15327; the estimator HSIC_1 of Song et al., JMLR 13, 2012.
    """
    _check_pair(left, right, least=4)
    left, right = _centred(left), _centred(right)
    left_own, right_own = _dependence(left, left), _dependence(right, right)
    if _is_nothing(left_own, left) or _is_nothing(right_own, right):
        return 0.0
    return _dependence(left, right) / (left_own * right_own) ** 0.5


def mutual_neighbours(left: Tensor, right: Tensor, *, k: int = 10) -> float:
    """Share of each image's k nearest neighbours on one side that are so on the other side too.

    Nearest is what has the largest cosine; an image is no neighbour of itself. Unrelated features
    share k / (n - 1) on average.

    Args:
        left: features, shape (n, dimension).
        right: features of the same images, shape (n, another dimension).
        k: neighbours of an image, 1 to n - 1.

    Returns:
        In [0, 1], the mean over images.

    Raises:
        InputError: k is out of range, or the features do not fit together.

    Source: Huh et al., "The Platonic Representation Hypothesis", ICML 2024, arXiv:2405.07987.
    """
    _check_pair(left, right, least=2)
    count = len(left)
    if not 1 <= k < count:
        raise InputError(
            f"of {count} images each has {count - 1} neighbours, so {k} of them cannot be compared;"
            " give more images"
        )
    left, right = (F.normalize(side.double(), dim=1) for side in (left, right))
    shared = 0
    for rows in torch.arange(count).split(max(1, _SIMILARITIES_AT_ONCE // count)):
        ours, theirs = (nearest(side[rows], side, rows, count=k) for side in (left, right))
        shared += int((ours[:, :, None] == theirs[:, None, :]).sum())
    return shared / (count * k)


def effective_rank(features: Tensor) -> float:
    """In how many directions features spread: the exponential of the entropy of their spectrum.

    The features are not centred. The value cannot exceed the number of images nor the length of
    the features, and it grows with both: compare it on the same images only.

    Args:
        features: shape (n, dimension).

    Returns:
        From 1, where all features lie on one line through 0, to the smaller of n and dimension;
        0 where all features are 0.

    Raises:
        InputError: there are fewer than two images, or a feature is not finite.

    Source: Garrido et al., "RankMe", ICML 2023, arXiv:2210.02885.
    """
    _check(features, least=2)
    values = torch.linalg.svdvals(features.double())
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total + _RANK_FLOOR
    return float(torch.exp(-(shares * shares.log()).sum()))


def _dependence(left: Tensor, right: Tensor) -> float:
    """HSIC_1 of centred features, times n (n - 3).

    The kernel matrices without their diagonals are never built: their rows sum to minus the
    squared lengths, because centred features sum to 0.
    """
    count = len(left)
    ours, theirs = left.square().sum(dim=1), right.square().sum(dim=1)
    pairs = (left.T @ right).square().sum() - ours @ theirs
    sums = ours.sum() * theirs.sum() / ((count - 1) * (count - 2))
    return float(pairs + sums - 2 / (count - 2) * (ours @ theirs))


def _is_nothing(own: float, centred: Tensor) -> bool:
    return own <= _ROUNDING * float(centred.square().sum()) ** 2


def _centred(features: Tensor) -> Tensor:
    features = features.double()
    centred = features - features.mean(dim=0)
    if centred.square().sum() <= _ROUNDING * features.square().sum():
        return torch.zeros_like(centred)
    return centred


def _check_pair(left: Tensor, right: Tensor, *, least: int) -> None:
    for side in (left, right):
        _check(side, least=least)
    if len(left) != len(right):
        raise InputError(
            f"features of {len(left)} and of {len(right)} images cannot be compared; "
            "take both of the same images"
        )


def _check(features: Tensor, *, least: int) -> None:
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(
            f"features have the shape (images, dimension), not {tuple(features.shape)}"
        )
    if len(features) < least:
        raise InputError(f"this takes at least {least} images, not {len(features)}; give more")
    if not bool(features.isfinite().all()):
        raise InputError("features hold NaN or infinity, which nothing can be compared with")
