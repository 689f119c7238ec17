"""Calibration: what a scan finds on encoders that carry no backdoor, and how unusual a finding is.

The p-value is conformal: the rank of a score among those of the clean encoders. Where the scanned
encoder is of their kind and clean, it is below p in at most a share p of cases, whatever the
distribution of the scores is.

Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005.
"""

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_FILE = "calibration.json"
LEAST = 0.02
"""Smaller gains, in nats, are as good as none."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What scans find on clean encoders.

    Attributes:
        kind: of the encoders, in words.
        values: by family, the gain of each encoder, in the same order.
    """

    kind: str
    values: Mapping[str, tuple[float, ...]]

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
            gains: of a scan, by family.
            leave_out: one of the clean encoders that does not count.
        """
        found = {}
        for family, values in self.values.items():
            kept = [_log(value) for index, value in enumerate(values) if index != leave_out]
            scale = max(statistics.stdev(kept), 1e-6)
            found[family] = (_log(gains[family]) - statistics.fmean(kept)) / scale
        return found

    def p_value(self, score: float) -> float:
        """Share of clean encoders, this one counted as one of them, that score as high or higher.

        Each clean one is scored by the means and deviations of all others.
        """
        return (1 + sum(other >= score for other in self.scores())) / (self.count + 1)

    def scores(self) -> tuple[float, ...]:
        """Scores of the clean encoders themselves."""
        gains = [{f: values[i] for f, values in self.values.items()} for i in range(self.count)]
        return tuple(
            score_of(self.deviations(own, leave_out=index)) for index, own in enumerate(gains)
        )


def score_of(deviations: Mapping[str, float]) -> float:
    """One number for all families: the length of what exceeds the mean, 0 or more."""
    return math.hypot(*(max(0.0, deviation) for deviation in deviations.values()))


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
