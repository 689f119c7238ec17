"""Wilson's interval against published values."""

import pytest

from mimic.errors import InputError
from mimic.evaluation.intervals import wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 100, 0.0, 0.037),
        (0, 1000, 0.0, 0.0038),
        (1000, 10_000, 0.0943, 0.1060),
        (5, 100, 0.0215, 0.1118),
        (98, 100, 0.930, 0.9945),
    ],
)
def test_known_values(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize("trials", [1, 7, 100, 12_345])
def test_the_interval_holds_the_rate(trials):
    for successes in {0, 1, trials // 3, trials}:
        low, high = wilson_interval(successes, trials)
        assert 0 <= low <= successes / trials <= high <= 1


def test_successes_and_failures_mirror_each_other():
    low, high = wilson_interval(13, 50)
    assert wilson_interval(37, 50) == pytest.approx((1 - high, 1 - low))


def test_more_trials_narrow_the_interval():
    widths = [high - low for low, high in (wilson_interval(n // 10, n) for n in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_out_of_range_are_refused(successes, trials):
    with pytest.raises(InputError, match="successes"):
        wilson_interval(successes, trials)
