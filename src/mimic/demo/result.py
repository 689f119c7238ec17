"""What the demo found: four encoders under one protocol, and the rules it was held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic.evaluation.evaluate import Evaluation

WORKING_BACKDOOR = 0.90
ALLOWED_SUCCESS = 0.05
ALLOWED_LOSS = 0.03


@dataclass(frozen=True, kw_only=True)
class DemoEncoder:
    """An encoder of the demo.

    Attributes:
        name: "clean", "suspicious", "purified" or "scratch".
        file: where it was written.
        sha256: of that file.
        evaluation: clean accuracy and attack success rate.
    """

    name: str
    file: Path
    sha256: str
    evaluation: Evaluation

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: name, the keys of `mimic evaluate`, file and sha256."""
        return {
            "name": self.name,
            **self.evaluation.as_dict(),
            "file": str(self.file),
            "sha256": self.sha256,
        }


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo found.

    Attributes:
        encoders: clean, suspicious, purified, scratch.
        checks: rules by sentence, and whether they hold.
        report: the HTML file.
        facts: demo.json, from which the report can be drawn again.
        seed: decides everything random.
        seconds: wall-clock time of this call.
        cpu_seconds: processor time of this call.
        resumed: whether an earlier, interrupted call did a part of the work.
    """

    encoders: tuple[DemoEncoder, ...]
    checks: Mapping[str, bool]
    report: Path
    facts: Path
    seed: int
    seconds: float
    cpu_seconds: float
    resumed: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `mimic demo --json`."""
        return {
            "encoders": [encoder.as_dict() for encoder in self.encoders],
            "checks": dict(self.checks),
            "report": str(self.report),
            "facts": str(self.facts),
            "seed": self.seed,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "resumed": self.resumed,
        }


def check_rules(evaluations: Mapping[str, Evaluation]) -> dict[str, bool]:
    """The rules that the demo was to fulfil, laid down before any run, and whether they hold.

    Args:
        evaluations: of "clean", "suspicious" and "purified", with a trigger.
    """
    accuracy = {name: found.accuracy for name, found in evaluations.items()}
    success = {name: found.attack_success_rate or 0.0 for name, found in evaluations.items()}
    return {
        "the backdoor works: the trigger takes over the suspicious encoder in 90 % of the images "
        "or more": success["suspicious"] >= WORKING_BACKDOOR,
        "it is removed: the trigger succeeds with the purified encoder at most 5 points more often "
        "than with the clean one": success["purified"] - success["clean"] <= ALLOWED_SUCCESS,
        "the knowledge is kept: the purified encoder is at most 3 points less accurate than the "
        "suspicious one": accuracy["suspicious"] - accuracy["purified"] <= ALLOWED_LOSS,
    }
