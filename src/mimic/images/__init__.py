"""With what we purify: image sources, and the sets of images they give."""

from mimic.images.imageset import ImageSet
from mimic.images.named import DATASETS
from mimic.images.source import open_images

__all__ = ["DATASETS", "ImageSet", "open_images"]
