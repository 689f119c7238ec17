"""Confidence intervals of rates."""

import math

from mimic.errors import InputError

_Z_95 = 1.96


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a rate, by Wilson's score.

    It says what the finite number of test images leaves open, not how results differ from seed
    to seed.

    Args:
        successes: 0 to `trials`.
        trials: 1 or more.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        InputError: the counts are out of range.

    Source: Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise InputError(f"a rate needs 0 <= successes <= trials, not {successes} of {trials}")
    rate, z2 = successes / trials, _Z_95**2
    scale = 1 + z2 / trials
    centre = (rate + z2 / (2 * trials)) / scale
    half = _Z_95 * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2)) / scale
    # rounding must not push an end past the rate itself at 0 and 1
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))
