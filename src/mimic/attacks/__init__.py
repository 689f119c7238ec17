"""Attacks on encoders, to test defences against: one file each, one row in `ATTACKS`."""

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.base import Attack, Attacked
from mimic.attacks.references import load_references
from mimic.attacks.triggers import TRIGGERS, Trigger, parse_trigger

ATTACKS: dict[str, type[Attack]] = {
    "badencoder": BadEncoder,
}
"""Attacks by the name that `mimic attack` takes; each class has its one-line `summary`."""

__all__ = [
    "ATTACKS",
    "TRIGGERS",
    "Attack",
    "Attacked",
    "BadEncoder",
    "Trigger",
    "load_references",
    "parse_trigger",
]
