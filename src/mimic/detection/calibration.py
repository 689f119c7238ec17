"""Calibration: what a scan finds on encoders that carry no backdoor, and how unusual a finding is.

The logarithm of the gain of a family is taken to be normal among clean encoders of a kind. How
unusual one more value is, given a few of them, is told by Student's t, as in the prediction
interval of a single observation; families are corrected by Bonferroni. A rank among the clean
encoders assumes less, but is never rarer than one in their number: three could show nothing.

Whitmore, "Prediction Limits for a Univariate Normal Observation", The American Statistician 1986.
"""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mimic.errors import InputError

_FILE = "calibration.json"
FEWEST = 3
"""Clean encoders that a calibration needs."""
LEAST = 0.02
"""Smaller gains, in nats, are as good as none."""
LEAST_SPREAD = 0.1
"""Encoders do not differ by less: the standard deviation of log gains from seed to seed."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What scans find on clean encoders.

    Attributes:
        kind: of the encoders, in words.
        values: by family, the gain of each encoder, in the same order.

    Raises:
        InputError: there are fewer than three encoders.
    """

    kind: str
    values: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        check_count(self.count)

    @property
    def count(self) -> int:
        """How many encoders there are."""
        return min(map(len, self.values.values()))

    @property
    def description(self) -> str:
        """How many encoders of which kind, for people."""
        return f"{self.count} clean encoders: {self.kind}"

    def deviations(
        self, gains: Mapping[str, float], *, leave_out: int | None = None
    ) -> dict[str, float]:
        """By how many standard deviations the logarithm of each gain exceeds its mean.

        Mean and deviation are those of clean encoders. Gains are skewed: a few clean encoders have
        several times as much as most.

        Args:
            gains: of a scan, by family; the families that are asked about.
            leave_out: one of the clean encoders that does not count.
        """
        found = {}
        for family, gain in gains.items():
            values = self.values[family]
            kept = [_log(value) for index, value in enumerate(values) if index != leave_out]
            scale = max(statistics.stdev(kept), LEAST_SPREAD)
            found[family] = (_log(gain) - statistics.fmean(kept)) / scale
        return found

    def p_value(self, score: float) -> float:
        """How often a clean encoder of this kind would score as high or higher, in (0, 1]."""
        return min(1.0, len(self.values) * self.tail(score))

    def tail(self, deviation: float) -> float:
        """How often one family of a clean encoder would exceed its mean by as much or more."""
        from scipy.stats import t

        spread = math.sqrt(1 + 1 / self.count)  # the mean itself is known from `count` values only
        return float(t.sf(deviation / spread, self.count - 1))

    def scores(self) -> tuple[float, ...]:
        """Scores of the clean encoders themselves, each by the others' means and deviations."""
        gains = [{f: values[i] for f, values in self.values.items()} for i in range(self.count)]
        return tuple(
            score_of(self.deviations(own, leave_out=index)) for index, own in enumerate(gains)
        )


def check_count(encoders: int) -> None:
    """Refuse fewer clean encoders than tell how far such encoders differ.

    Raises:
        InputError: there are fewer than three.
    """
    if encoders < FEWEST:
        raise InputError(
            f"{encoders} clean encoders do not tell how far such encoders differ; a scan has to be "
            f"compared with {FEWEST} or more"
        )


def score_of(deviations: Mapping[str, float]) -> float:
    """One number for all families: the largest deviation, 0 or more."""
    return max(0.0, *deviations.values())


def _log(gain: float) -> float:
    return math.log(max(gain, LEAST))


@cache
def shipped_calibration() -> Calibration:
    """The one that comes with mimic; `benchmarks/bank.py` made it."""
    text = resources.files("mimic.detection").joinpath(_FILE).read_text(encoding="utf-8")
    said = json.loads(text)
    return Calibration(
        kind=said["kind"],
        values={family: tuple(values) for family, values in said["values"].items()},
    )
