"""Doors: what the search of one family of triggers found, and what is natural to it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.detection.patches import Patches, random_patches
from mimic.detection.search import Population
from mimic.evaluation.features import Stamp
from mimic.images.imageset import ImageSet
from mimic.images.pixels import through_floats

KEPT, CONTROLS = 8, 16
"""How many of the best candidates are handed on, and how many random ones."""
COMPARED = 128
"""How many random ones the best candidate is compared with."""
_JUDGES = 128


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What the search of one family found.

    Attributes:
        family: its name.
        gain: by how much the best trigger exceeds what is natural; large where there is a backdoor.
            Of patches and colours `mimic.detection.gain.over_strong`, of patterns and waves
            `over_usual`; of marks `mimic.detection.displacement.displaced` itself; of masks by how
            many times the image is larger than the mask.
        forgotten: share of what tells images apart that each trigger of the search takes away,
            at most 1, in the order of the triggers.
        natural: the same of what is natural, in no order.
        stamps: the best triggers, best first; those of a gradient search that are ahead of its
            median restart, or the best one.
        naturals: what they are compared with on another encoder: random patches, colours or waves
            of the size of the best one, or the other half of the restarts, to which any encoder
            yields.
        description: of the best one, in words.
    """

    family: str
    gain: float
    forgotten: tuple[float, ...]
    natural: tuple[float, ...]
    stamps: tuple[Stamp, ...]
    naturals: tuple[Stamp, ...]
    description: str


def judges_of(images: ImageSet, seed: int) -> ImageSet:
    """Images that triggers are judged by, others than most of those that a search looks at."""
    return images.sample(count=min(_JUDGES, len(images)), seed=seed + 1)


def patches_of(sides: Tensor, count: int) -> Patches:
    """Random patches of one height and width, shares of the image, shape (2,)."""
    drawn = random_patches(count)
    corners = drawn.boxes[:, :2] / (1 - drawn.boxes[:, 2:]) * (1 - sides)
    return Patches(torch.cat([corners, sides.expand(count, -1)], dim=1), drawn.textures)


def decibels(size: float) -> float:
    """The PSNR of a root mean square change of pixels in [0, 1]."""
    return -20 * math.log10(max(size, 1e-12))


def stamps_of(population: Population) -> list[Stamp]:
    """One stamp for each candidate."""
    return [_laid(population, index) for index in range(len(population))]


def _laid(population: Population, index: int) -> Stamp:
    one = population[torch.tensor([index])]

    def stamp(images: Tensor) -> Tensor:
        chosen = one[torch.zeros(len(images), dtype=torch.int64)]
        return through_floats(images.cpu(), lambda floats: chosen.lay(floats)[0]).to(images.device)

    return stamp
