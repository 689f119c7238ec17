"""Plans that several defences share."""

from typing import Protocol

from mimic.training import Plan


class Steady(Protocol):
    """Settings of a defence that trains at one rate."""

    @property
    def epochs(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def seed(self) -> int: ...


def steady_adam(settings: Steady) -> Plan:
    """Adam at a constant rate with a weight decay of 1e-6, as in the released code of MIMIC."""
    return Plan(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=1e-6,
        schedule="constant",
        seed=settings.seed,
    )
