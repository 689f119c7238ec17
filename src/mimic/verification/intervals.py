"""Confidence intervals of what is computed from many images together: the jackknife by groups.

The bootstrap will not do: it draws some images twice, and a copy is everybody's nearest neighbour.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mimic.errors import InputError

GROUPS = 20
_STUDENT_95 = 2.093  # with GROUPS - 1 degrees of freedom
LEAST_IMAGES = 2 * GROUPS


def jackknife_interval(
    statistic: Callable[[Tensor], float],
    count: int,
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    seed: int = 0,
) -> tuple[float, float, float]:
    """A statistic of all images, and its 95 % interval.

    The images are split at random into 20 groups, and the statistic is computed without each of
    them. The interval says what the finite number of images leaves open, if they are independent
    draws. It is exact for smooth statistics of many images, and else rather too wide than too
    narrow. It is centred at the value: what the number of images shifts on average stays in it.

    Args:
        statistic: takes a mask of the images to use, bool, shape (count,).
        count: number of images.
        bounds: what the statistic can be at least and at most; all is cut there.
        seed: of the groups.

    Returns:
        The value, the lower and the upper end.

    Raises:
        InputError: there are fewer than 40 images.

    Source: Tukey, "Bias and confidence in not quite large samples", 1958; Efron & Stein, "The
        jackknife estimate of variance", Annals of Statistics 9, 1981, on its being too wide.
    """
    if count < LEAST_IMAGES:
        raise InputError(
            f"an interval takes at least {LEAST_IMAGES} images, not {count}; give more"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    groups = order.tensor_split(GROUPS)
    without = [statistic(_all_but(group, count)) for group in groups]
    mean = sum(without) / GROUPS
    # a group of m images moves the statistic as the noise of n does, times m / (n - m)
    squares = [
        (count - len(group)) / len(group) * (value - mean) ** 2
        for group, value in zip(groups, without, strict=True)
    ]
    half = _STUDENT_95 * math.sqrt(sum(squares) / GROUPS)
    value = statistic(torch.ones(count, dtype=torch.bool))
    # the value as well: rounding must not push it past the ends
    value, low, high = (
        min(max(point, bounds[0]), bounds[1]) for point in (value, value - half, value + half)
    )
    return value, low, high


def _all_but(group: Tensor, count: int) -> Tensor:
    kept = torch.ones(count, dtype=torch.bool)
    kept[group] = False
    return kept
