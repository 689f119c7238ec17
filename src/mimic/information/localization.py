"""Localization: what is known about where benign knowledge lies, stage by stage."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mimic.errors import RunError
from mimic.information.estimate import MutualInformation

_NOTHING = 1e-8


@dataclass(frozen=True, kw_only=True)
class StageInformation:
    """Mutual information between the map of a stage and the feature.

    Attributes:
        name: of the stage, as in `Encoder.stage_names`.
        nats: the raw estimate; may be below zero.
        standard_error: of `nats`.
        weight: the stage's share of all stages' information, in [0, 1].
    """

    name: str
    nats: float
    standard_error: float
    weight: float


@dataclass(frozen=True, kw_only=True)
class Localization:
    """Where an encoder's knowledge lies.

    Attributes:
        stages: in the order of execution; their weights sum to 1.
        estimator: name of the estimator.
        images: number of images that were looked at.
        seconds: wall-clock time, encoding included.
    """

    stages: tuple[StageInformation, ...]
    estimator: str
    images: int
    seconds: float

    @classmethod
    def from_estimates(
        cls, estimates: Mapping[str, MutualInformation], *, images: int, seconds: float
    ) -> "Localization":
        """Weigh the stages of `estimates` (one entry or more, all of the same estimator).

        Raises:
            RunError: an estimate is not finite.
        """
        weights = shares([found.nats for found in estimates.values()])
        stages = tuple(
            StageInformation(
                name=name, nats=found.nats, standard_error=found.standard_error, weight=weight
            )
            for (name, found), weight in zip(estimates.items(), weights, strict=True)
        )
        estimator = next(iter(estimates.values())).estimator
        return cls(stages=stages, estimator=estimator, images=images, seconds=seconds)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each stage by name; they sum to 1."""
        return {stage.name: stage.weight for stage in self.stages}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `mutual_information` is in nats."""
        stages = [
            {
                "name": stage.name,
                "mutual_information": stage.nats,
                "standard_error": stage.standard_error,
                "weight": stage.weight,
            }
            for stage in self.stages
        ]
        return asdict(self) | {"stages": stages}


def shares(nats: list[float]) -> list[float]:
    """Each value's share of the sum, values below zero counted as zero.

    Where nothing is left to share (a sum of 1e-8 nats or less) all shares are equal.

    Raises:
        RunError: a value is NaN or infinite.
    """
    positive = [max(value, 0.0) for value in nats]
    total = sum(positive)
    if not abs(total) < float("inf") or any(value != value for value in nats):
        raise RunError(
            f"the mutual information of a stage is not finite ({nats}); "
            "use the estimator 'infonce', which is bounded"
        )
    if total <= _NOTHING:
        return [1 / len(nats)] * len(nats)
    return [value / total for value in positive]
