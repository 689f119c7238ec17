"""Statistics of a benchmark: means over seeds, paired comparisons, and ranks over scenarios.

Nothing here knows what a defence is: numbers in, numbers out, the same ones for the same input.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mimic.errors import InputError

Key = TypeVar("Key")

CONFIDENCE = 0.95
EXACT_UP_TO = 16
"""Differences up to which all sign patterns are enumerated: 65,536 of them."""
SIGN_DRAWS = 19_999
RESAMPLES = 9_999
_TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, and how far it may be off.

    Attributes:
        mean: of the values.
        low, high: ends of a 95 % interval; None where one value or no method gives none.
        count: how many values there were.
    """

    mean: float
    low: float | None
    high: float | None
    count: int


def t_interval(values: Sequence[float]) -> Estimate:
    """Mean and Student's 95 % interval, right for independent values of one normal distribution.

    Args:
        values: one or more, such as one per seed; a single one has no interval.

    Raises:
        InputError: there are no values.
    """
    sample = _sample(values)
    mean, count = float(sample.mean()), sample.size
    if count < 2:
        return Estimate(mean=mean, low=None, high=None, count=count)
    from scipy.special import stdtrit

    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2) * sample.std(ddof=1) / math.sqrt(count))
    return Estimate(mean=mean, low=mean - half, high=mean + half, count=count)


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """Mean and percentile bootstrap 95 % interval.

    It is too narrow where values are few: five of them cover 95 % only in name.

    Args:
        values: one or more, independent of each other, see `independent_units`; a single one has no
            interval.
        seed: of the resampling.

    Raises:
        InputError: there are no values.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    sample = _sample(values)
    mean, count = float(sample.mean()), sample.size
    if count < 2:
        return Estimate(mean=mean, low=None, high=None, count=count)
    drawn = np.random.default_rng(seed).integers(0, count, size=(RESAMPLES, count))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(sample[drawn].mean(axis=1), [tail, 1 - tail])
    return Estimate(mean=mean, low=float(low), high=float(high), count=count)


def paired_differences(
    values: Mapping[Key, float], reference: Mapping[Key, float]
) -> dict[Key, float]:
    """`values` minus `reference` where both were measured, in the order of `values`."""
    return {key: value - reference[key] for key, value in values.items() if key in reference}


def independent_units(blocks: Sequence[Sequence[float]]) -> list[float]:
    """The mean of each block, or the values themselves where there is only one block.

    Values of one block, such as the seeds of a scenario, share something, such as the attacked
    encoder, so that many of them say less than their number. What values of different blocks share,
    such as the clean images of a seed, makes no difference between the units: no test or interval
    over these knows of it.

    Args:
        blocks: one or more, none empty.
    """
    return [float(_sample(block).mean()) for block in blocks] if len(blocks) > 1 else [*blocks[0]]


def sign_flip_p(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p-value of a paired permutation test for a mean difference of zero.

    If both members of a pair are exchangeable, each difference is as likely with the other sign.
    The value is the share of sign patterns whose mean is at least as far from zero as the one seen:
    of all patterns up to 16 differences, else of random ones and the one seen. `smallest_p` says
    how small it can get.

    Args:
        differences: one or more, independent of each other, see `independent_units`.
        seed: of the random patterns.

    Returns:
        In (0, 1].

    Raises:
        InputError: there are no pairs.

    Source: Fisher, "The Design of Experiments", 1935, section 21; Phipson & Smyth, "Permutation
        p-values should never be zero", 2010, for the random patterns.
    """
    sample = _sample(differences)
    # Sums that differ by rounding alone are ties, and ties count.
    seen = abs(float(sample.sum())) - _TIE * float(np.abs(sample).sum())
    if sample.size <= EXACT_UP_TO:
        return float(np.mean(np.abs(_signed_sums(sample)) >= seen))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(SIGN_DRAWS, sample.size))
    return (1 + int((np.abs(signs @ sample) >= seen).sum())) / (1 + SIGN_DRAWS)


def smallest_p(count: int) -> float:
    """The smallest value that `sign_flip_p` can give for this many differences."""
    return 2.0 ** (1 - count) if count <= EXACT_UP_TO else 1 / (1 + SIGN_DRAWS)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """P-values corrected for being several, in the order given; each is at most 1.

    Rejecting what is at most 5 % afterwards, the chance of one false rejection or more is at most
    5 %, however the tests depend on each other.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    corrected: dict[Key, float] = {}
    highest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[key]))
        corrected[key] = highest
    return {key: corrected[key] for key in p_values}


def ranks(values: Mapping[Key, float], *, higher_is_better: bool) -> dict[Key, float]:
    """Ranks from 1, the best; equal values share the mean of their ranks."""
    sign = -1.0 if higher_is_better else 1.0
    scores = {key: sign * value for key, value in values.items()}
    return {
        key: sum(other < score for other in scores.values())
        + (1 + sum(other == score for other in scores.values())) / 2
        for key, score in scores.items()
    }


def mean_ranks(
    blocks: Sequence[Mapping[Key, float]], *, higher_is_better: bool
) -> dict[Key, float]:
    """Mean rank over blocks, such as scenarios, of all that were measured in every block.

    What misses a block is left out before anything is ranked: a rank among few says less than one
    among many, so that a mean over both would say nothing.

    Args:
        blocks: values by name.
        higher_is_better: whether the highest value has rank 1.
    """
    everywhere = [key for key in (blocks[0] if blocks else ()) if all(key in b for b in blocks)]
    found = [
        ranks({key: block[key] for key in everywhere}, higher_is_better=higher_is_better)
        for block in blocks
    ]
    return {key: sum(block[key] for block in found) / len(found) for key in everywhere}


def _signed_sums(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum under each of the 2^n patterns of signs."""
    sums = np.zeros(1)
    for value in sample:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _sample(values: Sequence[float]) -> NDArray[np.float64]:
    if len(values) == 0:
        raise InputError("there are no values to summarise; give one or more")
    return np.asarray(values, dtype=np.float64)
