"""What an attacker stamps on images, as values that can be spelled on a command line."""

from mimic.attacks.triggers.colour_filter import FILTERS, ColourFilter
from mimic.attacks.triggers.frequency import Frequency
from mimic.attacks.triggers.generator import Generated, load_generator, save_generator
from mimic.attacks.triggers.grid import Grid
from mimic.attacks.triggers.parse import TRIGGERS, TriggerKind, parse_trigger
from mimic.attacks.triggers.patch import Patch
from mimic.attacks.triggers.pattern import Pattern
from mimic.attacks.triggers.picture import Blend, Sticker
from mimic.attacks.triggers.placement import Rectangle, Scattered
from mimic.attacks.triggers.trigger import Trigger
from mimic.attacks.triggers.warp import Warp

__all__ = [
    "FILTERS",
    "TRIGGERS",
    "Blend",
    "ColourFilter",
    "Frequency",
    "Generated",
    "Grid",
    "Patch",
    "Pattern",
    "Rectangle",
    "Scattered",
    "Sticker",
    "Trigger",
    "TriggerKind",
    "Warp",
    "load_generator",
    "parse_trigger",
    "save_generator",
]
