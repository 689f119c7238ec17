"""Is an encoder backdoored, and what opens the door? Searches that need no labels."""

from mimic.detection.patches import Patches
from mimic.detection.search import FoundPatches, search_patches

__all__ = ["FoundPatches", "Patches", "search_patches"]
