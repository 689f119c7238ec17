"""Is an encoder backdoored, and what opens the door? Searches that need no labels."""

from mimic.detection.colours import ColourMaps
from mimic.detection.patches import Patches
from mimic.detection.search import Found, search_colours, search_patches

__all__ = ["ColourMaps", "Found", "Patches", "search_colours", "search_patches"]
