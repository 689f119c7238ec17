"""Is an encoder backdoored, and what opens the door? Searches that need no labels."""

from mimic.detection.colours import ColourMaps
from mimic.detection.patches import Patches
from mimic.detection.search import (
    Found,
    search_colours,
    search_marks,
    search_patches,
    search_waves,
)
from mimic.detection.waves import Waves

__all__ = [
    "ColourMaps",
    "Found",
    "Patches",
    "Waves",
    "search_colours",
    "search_marks",
    "search_patches",
    "search_waves",
]
