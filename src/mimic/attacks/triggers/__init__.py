"""What an attacker stamps on images, as values that can be spelled on a command line."""

from mimic.attacks.triggers.parse import TRIGGERS, TriggerKind, parse_trigger
from mimic.attacks.triggers.patch import Patch
from mimic.attacks.triggers.pattern import Pattern
from mimic.attacks.triggers.picture import Blend, Sticker
from mimic.attacks.triggers.trigger import Trigger

__all__ = [
    "TRIGGERS",
    "Blend",
    "Patch",
    "Pattern",
    "Sticker",
    "Trigger",
    "TriggerKind",
    "parse_trigger",
]
