"""Choosing a setting without labels: how much of the suspect is left, on images held out.

The mean cosine between features before and after takes the place of the accuracy that supervised
methods look at. It says how much of the suspect's behaviour on clean images is kept, nothing about
the backdoor.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import paired_cosine
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

T = TypeVar("T")


def hold_out(images: ImageSet, *, share: float = 0.2, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """Split images at random: those to learn from and those to judge by.

    Args:
        images: at least two.
        share: of the images to judge by, in (0, 1); at least one image, and all but one at most.
        seed: of the split.

    Raises:
        InputError: there are fewer than two images, or the share is out of range.
    """
    if len(images) < 2:
        raise InputError("holding images out takes at least two of them; give more images")
    if not 0 < share < 1:
        raise InputError(f"the share of images held out must be above 0 and below 1, not {share}")
    count = min(len(images) - 1, max(1, round(share * len(images))))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images.subset(order[count:]), images.subset(order[:count])


def similarity(first: Encoder, second: Encoder, images: ImageSet, trainer: Trainer) -> float:
    """Mean cosine between the features that two encoders give to the same images, in [-1, 1]."""
    before = extract_features(first, images, trainer=trainer)
    after = extract_features(second, images, trainer=trainer)
    return paired_cosine(before, after)


def check_tolerance(tolerance: float) -> None:
    """Refuse a budget that no mean cosine can keep or break.

    Raises:
        InputError: it is not in [0, 2].
    """
    if not 0 <= tolerance <= 2:
        raise InputError(
            f"the tolerance says how far the mean cosine may fall below 1, so it must be 0 to 2, "
            f"not {tolerance}"
        )


def strongest_within(
    candidates: Sequence[T],
    build: Callable[[T], Encoder],
    suspect: Encoder,
    images: ImageSet,
    *,
    tolerance: float,
    trainer: Trainer,
) -> T | None:
    """The last of some settings that keeps the suspect's features.

    Args:
        candidates: settings, the mildest first.
        build: makes the encoder of a setting.
        suspect: what its features are compared with.
        images: held out.
        tolerance: how far the mean cosine may fall below 1, in [0, 2].
        trainer: the environment.

    Returns:
        The last candidate before the first one that goes too far; None if the mildest does.

    Raises:
        InputError: the tolerance is out of range.
    """
    check_tolerance(tolerance)
    before = extract_features(suspect, images, trainer=trainer)
    chosen = None
    for candidate in candidates:
        after = extract_features(build(candidate), images, trainer=trainer)
        if paired_cosine(before, after) < 1 - tolerance:
            break
        chosen = candidate
    return chosen
