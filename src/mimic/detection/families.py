"""Families of triggers that a scan looks for: the best of each, and random ones to compare with."""

from collections.abc import Callable

import torch
from torch import Tensor

from mimic.detection.by_gradient import search_mask, search_pattern
from mimic.detection.colours import ColourMaps, random_colour_maps
from mimic.detection.doors import (
    COMPARED,
    CONTROLS,
    KEPT,
    Doors,
    decibels,
    judges_of,
    patches_of,
    stamps_of,
)
from mimic.detection.gain import over_strong, over_usual
from mimic.detection.gathering import forgetting, moving
from mimic.detection.patches import Patches
from mimic.detection.search import (
    DISPLACEMENT,
    P,
    search_colours,
    search_marks,
    search_patches,
    search_waves,
)
from mimic.detection.waves import Waves, random_waves
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.training.randomness import seeded


def search_patch(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Opaque rectangles; see `search_patches`."""
    found = search_patches(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    return judged_patches(found, encoder, images, seed=seed, trainer=trainer)


def judged_patches(
    found: Patches, encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer
) -> Doors:
    """What a search found; natural are random patches of the same height and width as the best."""
    return _judged(
        "patch",
        found,
        lambda best: patches_of(best.boxes[0, 2:], COMPARED),
        gain=over_strong,
        described=lambda cost: f"a patch over {100 * cost:.0f} % of the image",
        encoder=encoder,
        images=images,
        seed=seed,
        trainer=trainer,
    )


def search_colour(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Affine maps of colours; see `search_colours`."""
    found = search_colours(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    return judged_colours(found, encoder, images, seed=seed, trainer=trainer)


def judged_colours(
    found: ColourMaps, encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer
) -> Doors:
    """What a search found; natural are random maps that change as much as the best."""

    def alike(best: ColourMaps) -> ColourMaps:
        drawn = random_colour_maps(COMPARED, best.moments)
        return drawn.scaled(best.costs.expand(COMPARED))

    return _judged(
        "colour",
        found,
        alike,
        gain=over_strong,
        described=lambda cost: f"a change of colours at a PSNR of {decibels(cost):.0f} dB",
        encoder=encoder,
        images=images,
        seed=seed,
        trainer=trainer,
    )


def search_wave(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Faint gratings over the whole image; see `search_waves`."""
    found = search_waves(encoder, images, keep=KEPT, seed=seed, trainer=trainer).candidates
    return judged_waves(found, encoder, images, seed=seed, trainer=trainer)


def judged_waves(
    found: Waves, encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer
) -> Doors:
    """What a search found; natural are random waves that change as much as the best."""
    return _judged(
        "wave",
        found,
        lambda best: random_waves(COMPARED).scaled(best.costs.expand(COMPARED)),
        gain=over_usual,
        described=lambda cost: f"waves at a PSNR of {decibels(cost):.0f} dB",
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
    judges = judges_of(images, seed)
    stamps = stamps_of(found)
    natural = extract_features(encoder, images, trainer=trainer)
    moved = moving(encoder, judges, stamps, natural, trainer=trainer)
    order = (moved / DISPLACEMENT - found.costs).argsort(descending=True).tolist()
    best = found[torch.tensor(order[:1])]
    with seeded(seed):
        controls = stamps_of(patches_of(best.boxes[0, 2:], CONTROLS))
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


FAMILIES: dict[str, Callable[..., Doors]] = {
    "patch": search_patch,
    "mask": search_mask,
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
    judges = judges_of(images, seed)
    stamps = stamps_of(found)
    reached = forgetting(encoder, judges, stamps, trainer=trainer)
    order = (reached - found.costs).argsort(descending=True)
    with seeded(seed):
        controls = stamps_of(alike(found[order[:1]]))
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
