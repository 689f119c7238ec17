"""Families of triggers that a scan looks for: the best of each, and random ones to compare with."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mimic.detection.colours import random_colour_maps
from mimic.detection.gathering import forgetting, gather
from mimic.detection.patches import Patches, random_patches
from mimic.detection.pattern import Pattern
from mimic.detection.search import Population, search_colours, search_patches, search_waves
from mimic.detection.waves import random_waves
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import Stamp
from mimic.images.imageset import ImageSet
from mimic.images.pixels import through_floats
from mimic.training import Trainer
from mimic.training.randomness import seeded

KEPT, CONTROLS = 8, 16
"""How many of the best candidates are handed on, and how many random ones."""
_COMPARED = 64
"""How many random ones the best candidate is compared with: with 16, what a clean encoder gains
differed by a quarter from seed to seed."""
RESTARTS = 12
PATTERN_BUDGET = 0.05
"""Root mean square change of pixels in [0, 1]: a PSNR of 26 dB."""
_AT_ONCE = 512 * 32 * 32
"""Pixels that pass through the encoder together, which bounds the memory."""
_BATCH = 32
_JUDGES = 256
_LEAST = 1e-3
"""A share below which nothing is as good as left."""
_AHEAD = 0.05
"""A restart is in a door of its own where it takes that much more than the median away."""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What the search of one family found.

    Attributes:
        family: its name.
        gain: logarithm of how many times more is left of what tells images apart by what is natural
            than by the best trigger, in nats; large where there is a backdoor.
        forgotten: share of what tells images apart that each trigger of the search takes away,
            best first, at most 1.
        stamps: the best triggers, best first; those of a gradient search that are ahead of its
            median restart, or the best one.
        naturals: what they are compared with on another encoder: random patches, colours or waves
            of the same sizes, or the other half of the restarts, to which any encoder yields.
        description: of the best one, in words.
    """

    family: str
    gain: float
    forgotten: tuple[float, ...]
    stamps: tuple[Stamp, ...]
    naturals: tuple[Stamp, ...]
    description: str


def search_patch(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Opaque rectangles; see `search_patches`.

    Natural are random ones of the same sizes.
    """
    found = search_patches(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    boxes = found.boxes.repeat(_COMPARED // KEPT, 1)
    with seeded(seed):
        drawn = random_patches(_COMPARED)
    corners = drawn.boxes[:, :2] / (1 - drawn.boxes[:, 2:]) * (1 - boxes[:, 2:])
    random = Patches(torch.cat([corners, boxes[:, 2:]], dim=1), drawn.textures)
    doors, best = _judged("patch", found, random, encoder, images, seed=seed, trainer=trainer)
    covered = 100 * float(found.costs[best])
    return replace(doors, description=f"a patch over {covered:.0f} % of the image")


def search_colour(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Affine maps of colours; see `search_colours`.

    Natural are random ones of the same sizes.
    """
    found = search_colours(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    with seeded(seed):
        drawn = random_colour_maps(_COMPARED, found.moments)
    random = drawn.scaled(found.costs.repeat(_COMPARED // KEPT))
    doors, best = _judged("colour", found, random, encoder, images, seed=seed, trainer=trainer)
    size = _decibels(float(found.costs[best]))
    return replace(doors, description=f"a change of colours at a PSNR of {size:.0f} dB")


def search_wave(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Faint gratings over the whole image; see `search_waves`.

    Natural are random ones of the same sizes.
    """
    found = search_waves(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    with seeded(seed):
        drawn = random_waves(_COMPARED)
    random = drawn.scaled(found.costs.repeat(_COMPARED // KEPT))
    doors, best = _judged("wave", found, random, encoder, images, seed=seed, trainer=trainer)
    size = _decibels(float(found.costs[best]))
    return replace(doors, description=f"waves at a PSNR of {size:.0f} dB")


def search_pattern(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """One pattern that is added to all images; see `gather`.

    As many restarts are learned at a time as fit into memory. Natural is the median restart: any
    encoder yields to it, and only some of them fall into a door.
    """
    together = max(2, min(RESTARTS, _AT_ONCE // (_BATCH * math.prod(images.size))))
    with seeded(seed):
        patterns = [
            Pattern(min(together, RESTARTS - begun), images.size, budget=PATTERN_BUDGET)
            for begun in range(0, RESTARTS, together)
        ]
    groups = [
        gather(
            encoder,
            images,
            pattern,
            batch_size=_BATCH,
            seed=seed,
            name=f"scan-pattern-{number}",
            trainer=trainer,
        )
        for number, pattern in enumerate(patterns)
    ]
    reached = torch.cat([group.forgotten for group in groups])
    stamps = [group.stamp(index) for group in groups for index in range(group.pattern.count)]
    order = reached.argsort(descending=True).tolist()
    ahead = int((reached > reached.median() + _AHEAD).sum())
    return Doors(
        family="pattern",
        gain=_gain(float(reached.max()), float(reached.median())),
        forgotten=tuple(float(reached[index]) for index in order),
        stamps=tuple(stamps[index] for index in order[: max(1, ahead)]),
        naturals=tuple(stamps[index] for index in order[(RESTARTS + 1) // 2 :]),
        description=f"a pattern at a PSNR of {_decibels(PATTERN_BUDGET):.0f} dB",
    )


FAMILIES: dict[str, Callable[..., Doors]] = {
    "patch": search_patch,
    "pattern": search_pattern,
    "colour": search_colour,
    "wave": search_wave,
}


def _judged(
    family: str,
    found: Population,
    random: Population,
    encoder: Encoder,
    images: ImageSet,
    *,
    seed: int,
    trainer: Trainer,
) -> tuple[Doors, int]:
    """What was found and random ones, measured on other images than the search's; and the best."""
    stamps = [_laid(found, index) for index in range(len(found))]
    controls = [_laid(random, index) for index in range(len(random))]
    judges = images.sample(count=min(_JUDGES, len(images)), seed=seed + 1)
    both = forgetting(encoder, judges, [*stamps, *controls], trainer=trainer)
    reached, usual = both[: len(found)], float(both[len(found) :].mean())
    order = (reached - found.costs).argsort(descending=True).tolist()
    doors = Doors(
        family=family,
        gain=_gain(float(reached[order[0]]), usual),
        forgotten=tuple(float(reached[index]) for index in order),
        stamps=tuple(stamps[index] for index in order),
        naturals=tuple(controls[:CONTROLS]),
        description=f"a {family}",
    )
    return doors, order[0]


def _gain(best: float, natural: float) -> float:
    """How many times more is left by what is natural, in nats."""
    return math.log(max(_LEAST, 1 - natural) / max(_LEAST, 1 - best))


def _decibels(size: float) -> float:
    return -20 * math.log10(max(size, 1e-12))


def _laid(population: Population, index: int) -> Stamp:
    one = population[torch.tensor([index])]

    def stamp(images: Tensor) -> Tensor:
        chosen = one[torch.zeros(len(images), dtype=torch.int64)]
        return through_floats(images.cpu(), lambda floats: chosen.lay(floats)[0]).to(images.device)

    return stamp
