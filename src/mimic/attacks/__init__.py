"""Attacks on encoders, to test defences against: one file each, one row in `ATTACKS`."""

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.base import Attack, Attacked, Poisoned
from mimic.attacks.bask_like import BaskLike
from mimic.attacks.blto import Blto
from mimic.attacks.concentration import concentration
from mimic.attacks.corrupt_encoder import CorruptEncoder
from mimic.attacks.ctrl import Ctrl
from mimic.attacks.drupe import Drupe
from mimic.attacks.inactive import Inactive
from mimic.attacks.noisy_alignment import NoisyAlignment
from mimic.attacks.occlusion_aware import OcclusionAware
from mimic.attacks.poisoning import PoisoningAttack, write_poisoned
from mimic.attacks.references import load_references, reference_classes
from mimic.attacks.ssl_backdoor import SslBackdoor
from mimic.attacks.triggers import TRIGGERS, Trigger, parse_trigger

ATTACKS: dict[str, type[Attack]] = {
    "badencoder": BadEncoder,
    "drupe": Drupe,
    "inactive": Inactive,
    "ssl-backdoor": SslBackdoor,
    "ctrl": Ctrl,
    "corrupt-encoder": CorruptEncoder,
    "noisy-alignment": NoisyAlignment,
    "blto": Blto,
    "bask-like": BaskLike,
    "occlusion-aware": OcclusionAware,
}
"""Attacks by the name that `mimic attack` takes; each class has its one-line `summary`."""

__all__ = [
    "ATTACKS",
    "TRIGGERS",
    "Attack",
    "Attacked",
    "BadEncoder",
    "BaskLike",
    "Blto",
    "CorruptEncoder",
    "Ctrl",
    "Drupe",
    "Inactive",
    "NoisyAlignment",
    "OcclusionAware",
    "Poisoned",
    "PoisoningAttack",
    "SslBackdoor",
    "Trigger",
    "concentration",
    "load_references",
    "parse_trigger",
    "reference_classes",
    "write_poisoned",
]
