"""Families of triggers that are searched by gradients: patterns, and masks as in DECREE."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from mimic.detection.decree import Decree, decree, published_for
from mimic.detection.doors import CONTROLS, Doors, decibels, judges_of, patches_of, stamps_of
from mimic.detection.gain import over_usual
from mimic.detection.gathering import forgetting, gather
from mimic.detection.patches import Box
from mimic.detection.pattern import Pattern
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import mean_cosine
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.training.randomness import seeded

RESTARTS = 12
PATTERN_BUDGET = 0.05
"""Root mean square change of pixels in [0, 1]: a PSNR of 26 dB."""
_AT_ONCE = 512 * 32 * 32
"""Pixels that pass through the encoder together, which bounds the memory."""
_BATCH = 32
_AHEAD = 0.05
"""A restart is in a door of its own where it takes that much more than the median away."""
_MASK_STEPS = 600
"""However few images there are: what clean encoders give was measured with as many."""
_OUTSIDE = 0.1
"""Share of a mask that may lie beyond each side of its place."""
_LEFT_APART = 0.02
"""Share of one minus the mean cosine of images that a mask may leave; DECREE leaves 0.01 of 1."""


def search_mask(encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer) -> Doors:
    """The smallest mask and pattern that make all images look alike; see `smallest_mask`.

    A single feature that all triggered images have is reached through a far smaller mask than any
    encoder yields to. Natural are random squares of its area.
    """
    found = smallest_mask(encoder, images, seed=seed, trainer=trainer)
    share = 1.0 if found.pl1 is None else found.pl1
    stamp, judges = found.triggers.stamp(0), judges_of(images, seed)
    with seeded(seed):
        controls = stamps_of(patches_of(torch.full((2,), math.sqrt(share)), CONTROLS))
    reached = forgetting(encoder, judges, [stamp, *controls], trainer=trainer).tolist()
    return Doors(
        family="mask",
        gain=1 / share,
        forgotten=tuple(reached[:1]),
        natural=tuple(reached[1:]),
        stamps=(stamp,),
        naturals=tuple(controls),
        description=f"a mask over {100 * share:.0f} % of the image",
    )


def smallest_mask(
    encoder: Encoder, images: ImageSet, *, seed: int, trainer: Trainer, name: str = "scan-mask"
) -> Decree:
    """The search of DECREE with other settings.

    Unlike DECREE, this asks how much more alike images become than they are: an encoder may put all
    of them into a narrow cone. And batches of 32 images in place of 128 take a quarter of the time,
    and tell small encoders apart as well.

    Source: Feng et al., "Detecting Backdoors in Pre-trained Encoders", CVPR 2023, arXiv:2303.15180;
    see `mimic.detection.decree`.
    """
    apart = 1 - float(mean_cosine(extract_features(encoder, images, trainer=trainer).double()))
    settings = replace(
        published_for(images.size),
        batch_size=_BATCH,
        epochs=math.ceil(_MASK_STEPS / max(1, len(images) // _BATCH)),
        success=1 - _LEFT_APART * apart,
    )
    return decree(encoder, images, seed=seed, settings=settings, name=name, trainer=trainer)


def place_of(mask: Tensor) -> Box:
    """Where most of a mask lies.

    Args:
        mask: in [0, 1], shape (1, height, width).

    Returns:
        The rows and the columns that hold the mask but for a tenth of it on each side; all of the
        image where the mask is 0 everywhere.
    """
    if not bool(mask.any()):
        return 0.0, 0.0, 1.0, 1.0
    top, bottom = _ends(mask.sum(dim=(0, 2)))
    left, right = _ends(mask.sum(dim=(0, 1)))
    return top, left, bottom, right


def _ends(profile: Tensor) -> tuple[float, float]:
    reached = profile.cumsum(dim=0) / profile.sum()
    first, last = (int((reached < edge).sum()) for edge in (_OUTSIDE, 1 - _OUTSIDE))
    return first / len(profile), (last + 1) / len(profile)


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
        description=f"a pattern at a PSNR of {decibels(PATTERN_BUDGET):.0f} dB",
    )
