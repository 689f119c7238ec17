"""Families of triggers that a scan looks for: the best of each, and random ones to compare with."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mimic.detection.changes import Change, Filter, Pattern
from mimic.detection.gathering import concentrations, gather
from mimic.detection.patches import Patches, random_patches
from mimic.detection.search import search_patches
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import Stamp
from mimic.images.imageset import ImageSet
from mimic.images.pixels import through_floats
from mimic.training import Trainer
from mimic.training.randomness import seeded

KEPT, CONTROLS = 8, 16
"""How many of the best patches are handed on, and how many random changes there are."""
RESTARTS = {"pattern": 12, "filter": 8}
BUDGETS = {"pattern": 0.05, "filter": 0.1}
"""Root mean square changes of pixels in [0, 1]: 26 and 20 dB of PSNR."""
_AT_ONCE = 512 * 32 * 32
"""Pixels that pass through the encoder together, which bounds the memory."""
_BATCH = 32
_JUDGES = 128
_LEAST = 1e-3
"""A share of the spread below which images are as good as alike."""
_AHEAD = 0.05
"""A restart is in a door of its own where it takes that much more than the median away."""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What the search of one family found.

    Attributes:
        family: its name.
        gain: logarithm of how many times more spread is left by what is natural than by the best
            trigger, in nats; large where there is a backdoor.
        concentrations: share of the features' spread that each trigger of the search takes away,
            best first, at most 1.
        stamps: the best triggers, best first; those of a gradient search that are ahead of its
            median restart, or the best one.
        naturals: what they are compared with on another encoder: random patches of the same sizes,
            or the other half of the restarts, to which any encoder yields.
        description: of the best one, in words.
    """

    family: str
    gain: float
    concentrations: tuple[float, ...]
    stamps: tuple[Stamp, ...]
    naturals: tuple[Stamp, ...]
    description: str


def search_patch(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """Opaque rectangles; see `search_patches`.

    Natural are random ones of the same sizes.
    """
    found = search_patches(encoder, images, keep=KEPT, seed=seed, trainer=trainer).patches
    boxes = found.boxes.repeat(CONTROLS // KEPT, 1)
    with seeded(seed):
        drawn = random_patches(CONTROLS)
    corners = drawn.boxes[:, :2] / (1 - drawn.boxes[:, 2:]) * (1 - boxes[:, 2:])
    random = Patches(torch.cat([corners, boxes[:, 2:]], dim=1), drawn.textures)
    stamps = [_laid(found, index) for index in range(KEPT)]
    controls = [_laid(random, index) for index in range(CONTROLS)]
    judges = images.sample(count=min(_JUDGES, len(images)), seed=seed + 1)
    both = concentrations(encoder, judges, [*stamps, *controls], trainer=trainer)
    reached, usual = both[:KEPT], float(both[KEPT:].mean())
    order = (reached - found.areas).argsort(descending=True).tolist()
    best = order[0]
    return Doors(
        family="patch",
        gain=_gain(float(reached[best]), usual),
        concentrations=tuple(float(reached[index]) for index in order),
        stamps=tuple(stamps[index] for index in order),
        naturals=tuple(controls),
        description=f"a patch over {100 * float(found.areas[best]):.0f} % of the image",
    )


def search_pattern(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """One pattern that is added to all images; see `gather`."""
    make = partial(Pattern, size=images.size, budget=BUDGETS["pattern"])
    return _searched("pattern", make, encoder, images, seed=seed, trainer=trainer)


def search_filter(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """What a small convolution makes of each image, and a colour; see `gather`."""
    make = partial(Filter, budget=BUDGETS["filter"])
    return _searched("filter", make, encoder, images, seed=seed, trainer=trainer)


FAMILIES: dict[str, Callable[..., Doors]] = {
    "patch": search_patch,
    "pattern": search_pattern,
    "filter": search_filter,
}


def _searched(
    family: str,
    make: Callable[[int], Change],
    encoder: Encoder,
    images: ImageSet,
    *,
    seed: int,
    trainer: Trainer,
) -> Doors:
    """All restarts, as many at a time as fit.

    Natural is the median restart: any encoder yields to it, and only some of them fall into a door.
    """
    restarts = RESTARTS[family]
    together = max(2, min(restarts, _AT_ONCE // (_BATCH * math.prod(images.size))))
    with seeded(seed):
        changes = [make(min(together, restarts - i)) for i in range(0, restarts, together)]
    groups = [
        gather(
            encoder,
            images,
            change,
            batch_size=_BATCH,
            seed=seed,
            name=f"scan-{family}-{number}",
            trainer=trainer,
        )
        for number, change in enumerate(changes)
    ]
    reached = torch.cat([group.concentration for group in groups])
    stamps = [group.stamp(index) for group in groups for index in range(group.change.count)]
    order = reached.argsort(descending=True).tolist()
    ahead = int((reached > reached.median() + _AHEAD).sum())
    return Doors(
        family=family,
        gain=_gain(float(reached.max()), float(reached.median())),
        concentrations=tuple(float(reached[index]) for index in order),
        stamps=tuple(stamps[index] for index in order[: max(1, ahead)]),
        naturals=tuple(stamps[index] for index in order[(restarts + 1) // 2 :]),
        description=f"a {family} at a PSNR of {-20 * math.log10(BUDGETS[family]):.0f} dB",
    )


def _gain(best: float, natural: float) -> float:
    """How much more spread is left by what is natural, in nats."""
    return math.log(max(_LEAST, 1 - natural) / max(_LEAST, 1 - best))


def _laid(patches: Patches, index: int) -> Stamp:
    one = patches[torch.tensor([index])]

    def stamp(images: Tensor) -> Tensor:
        chosen = one[torch.zeros(len(images), dtype=torch.int64)]
        return through_floats(images.cpu(), lambda floats: chosen.lay(floats)[0]).to(images.device)

    return stamp
