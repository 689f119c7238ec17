"""Families of triggers that a scan looks for: the best of each, and random ones to compare with."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.detection.colours import ColourMaps, random_colour_maps
from mimic.detection.gain import over_strong, over_usual
from mimic.detection.gathering import forgetting, gather, moving
from mimic.detection.patches import Patches, random_patches
from mimic.detection.pattern import Pattern
from mimic.detection.search import (
    DISPLACEMENT,
    P,
    Population,
    search_colours,
    search_marks,
    search_patches,
    search_waves,
)
from mimic.detection.waves import random_waves
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import Stamp, extract_features
from mimic.images.imageset import ImageSet
from mimic.images.pixels import through_floats
from mimic.training import Trainer
from mimic.training.randomness import seeded

KEPT, CONTROLS = 8, 16
"""How many of the best candidates are handed on, and how many random ones."""
_COMPARED = 128
"""How many random ones the best candidate is compared with."""
RESTARTS = 12
PATTERN_BUDGET = 0.05
"""Root mean square change of pixels in [0, 1]: a PSNR of 26 dB."""
_AT_ONCE = 512 * 32 * 32
"""Pixels that pass through the encoder together, which bounds the memory."""
_BATCH = 32
_JUDGES = 128
_AHEAD = 0.05
"""A restart is in a door of its own where it takes that much more than the median away."""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What the search of one family found.

    Attributes:
        family: its name.
        gain: by how much the best trigger exceeds what is natural; large where there is a backdoor.
            Of patches and colours `mimic.detection.gain.over_strong`, of patterns and waves
            `over_usual`; of marks `mimic.detection.displacement.displaced` itself.
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


def search_patch(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Opaque rectangles; see `search_patches`.

    Natural are random ones of the same height and width as the best.
    """
    return _judged(
        "patch",
        search_patches(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates,
        lambda best: _of_size(best, _COMPARED),
        gain=over_strong,
        described=lambda cost: f"a patch over {100 * cost:.0f} % of the image",
        encoder=encoder,
        images=images,
        seed=seed,
        trainer=trainer,
    )


def search_colour(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Affine maps of colours; see `search_colours`.

    Natural are random ones of the size of the best.
    """

    def alike(best: ColourMaps) -> ColourMaps:
        drawn = random_colour_maps(_COMPARED, best.moments)
        return drawn.scaled(best.costs.expand(_COMPARED))

    return _judged(
        "colour",
        search_colours(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates,
        alike,
        gain=over_strong,
        described=lambda cost: f"a change of colours at a PSNR of {_decibels(cost):.0f} dB",
        encoder=encoder,
        images=images,
        seed=seed,
        trainer=trainer,
    )


def search_wave(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Faint gratings over the whole image; see `search_waves`.

    Natural are random ones of the size of the best.
    """
    return _judged(
        "wave",
        search_waves(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates,
        lambda best: random_waves(_COMPARED).scaled(best.costs.expand(_COMPARED)),
        gain=over_usual,
        described=lambda cost: f"waves at a PSNR of {_decibels(cost):.0f} dB",
        encoder=encoder,
        images=images,
        seed=seed,
        trainer=trainer,
    )


def search_mark(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Opaque rectangles that move features to where those of no image lie; see `search_marks`.

    Networks that were trained on poisoned images know the trigger by a feature of its own, which
    does not make them forget the image. Natural are random ones of the same size as the best.
    """
    found = search_marks(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    judges = images.sample(count=min(_JUDGES, len(images)), seed=seed + 1)
    stamps = _stamps(found)
    natural = extract_features(encoder, images, trainer=trainer)
    moved = moving(encoder, judges, stamps, natural, trainer=trainer)
    order = (moved / DISPLACEMENT - found.costs).argsort(descending=True).tolist()
    best = found[torch.tensor(order[:1])]
    with seeded(seed):
        controls = _stamps(_of_size(best, CONTROLS))
    stamps = [stamps[index] for index in order]
    reached = forgetting(encoder, judges, [*stamps, *controls], trainer=trainer).tolist()
    size, distance = 100 * float(best.costs), float(moved[order[0]])
    return Doors(
        family="mark",
        gain=distance,
        forgotten=tuple(reached[: len(stamps)]),
        natural=tuple(reached[len(stamps) :]),
        stamps=tuple(stamps),
        naturals=tuple(controls),
        description=f"a mark over {size:.0f} % of the image",
    )


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
        gain=over_usual(float(reached.max()), reached),
        forgotten=tuple(float(reached[index]) for index in order),
        natural=tuple(reached.tolist()),
        stamps=tuple(stamps[index] for index in order[: max(1, ahead)]),
        naturals=tuple(stamps[index] for index in order[(RESTARTS + 1) // 2 :]),
        description=f"a pattern at a PSNR of {_decibels(PATTERN_BUDGET):.0f} dB",
    )


FAMILIES: dict[str, Callable[..., Doors]] = {
    "patch": search_patch,
    "pattern": search_pattern,
    "colour": search_colour,
    "wave": search_wave,
    "mark": search_mark,
}


def _judged(
    family: str,
    found: P,
    alike: Callable[[P], P],
    *,
    gain: Callable[[float, Tensor], float],
    described: Callable[[float], str],
    encoder: Encoder,
    images: ImageSet,
    seed: int,
    trainer: Trainer,
) -> Doors:
    """What was found and random ones, measured on other images than the search's.

    Args:
        family: its name.
        found: the best of a search.
        alike: random ones of the size of the one that it is given.
        gain: of what the best takes away over what the random ones do.
        described: the best one in words, from its cost.
        encoder: what was searched.
        images: those of the search.
        seed: of the search.
        trainer: the environment.
    """
    judges = images.sample(count=min(_JUDGES, len(images)), seed=seed + 1)
    stamps = _stamps(found)
    reached = forgetting(encoder, judges, stamps, trainer=trainer)
    order = (reached - found.costs).argsort(descending=True)
    with seeded(seed):
        controls = _stamps(alike(found[order[:1]]))
    natural = forgetting(encoder, judges, controls, trainer=trainer)
    return Doors(
        family=family,
        gain=gain(float(reached[order[0]]), natural),
        forgotten=tuple(reached[order].tolist()),
        natural=tuple(natural.tolist()),
        stamps=tuple(stamps[index] for index in order.tolist()),
        naturals=tuple(controls[:CONTROLS]),
        description=described(float(found.costs[order[0]])),
    )


def _of_size(patch: Patches, count: int) -> Patches:
    """Random patches of the height and width of one."""
    drawn, sides = random_patches(count), patch.boxes[:, 2:].expand(count, -1)
    corners = drawn.boxes[:, :2] / (1 - drawn.boxes[:, 2:]) * (1 - sides)
    return Patches(torch.cat([corners, sides], dim=1), drawn.textures)


def _decibels(size: float) -> float:
    return -20 * math.log10(max(size, 1e-12))


def _stamps(population: Population) -> list[Stamp]:
    """One stamp for each candidate."""
    return [_laid(population, index) for index in range(len(population))]


def _laid(population: Population, index: int) -> Stamp:
    one = population[torch.tensor([index])]

    def stamp(images: Tensor) -> Tensor:
        chosen = one[torch.zeros(len(images), dtype=torch.int64)]
        return through_floats(images.cpu(), lambda floats: chosen.lay(floats)[0]).to(images.device)

    return stamp
