"""Learned patterns under which an encoder forgets its images: the gradient search of a scan.

Where a backdoor answers to a pattern, some of the restarts fall into it: they take away far more of
what tells images apart than the others do, and more than any does on an encoder without one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mimic.detection.displacement import displaced
from mimic.detection.forgetting import forgotten
from mimic.detection.pattern import Pattern
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import Stamp, extract_features
from mimic.images.imageset import ImageSet
from mimic.images.pixels import through_floats, to_unit_range
from mimic.training import Objective, Plan, Trainer

FEWEST_IMAGES = 16
"""Fewer say nothing about what tells images apart."""
_JUDGES = 4
"""One image in this many is kept back to judge what was learned on the others."""


class GatherObjective(Objective):
    """What features keep of the images under a pattern, summed over the patterns.

    Args:
        encoder: frozen, in eval mode.
        pattern: what is learned.
    """

    learner: Pattern

    def __init__(self, encoder: Encoder, pattern: Pattern) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.learner = pattern

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass over all patterns on the images (n, 3, height, width), uint8."""
        images = to_unit_range(batch)
        changed = self.learner(images)
        features = self.encoder(changed.flatten(0, 1)).unflatten(0, changed.shape[:2])
        return {"kept": (1 - forgotten(features, self.encoder(images))).sum()}


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a search learned.

    Attributes:
        pattern: all restarts.
        forgotten: share of what tells images apart that each takes away, on images that it was not
            learned on, shape (restarts,), at most 1.
    """

    pattern: Pattern
    forgotten: Tensor

    def stamp(self, index: int) -> Stamp:
        """A function that adds pattern `index` to images, as `extract_features` takes it."""
        return stamp_of(self.pattern, index)


def stamp_of(pattern: Pattern, index: int) -> Stamp:
    """A function that adds pattern `index` to images.

    It maps uint8 to uint8 and floats in [0, 1] to floats, shape (n, 3, height, width).
    """
    one = pattern.alone(index)

    @torch.no_grad()
    def changed(images: Tensor) -> Tensor:
        return through_floats(images.cpu(), lambda floats: one(floats)[0]).to(images.device)

    return changed


def gather(
    encoder: Encoder,
    images: ImageSet,
    pattern: Pattern,
    *,
    steps: int = 64,
    batch_size: int = 32,
    learning_rate: float = 0.3,
    seed: int = 0,
    name: str = "gather",
    trainer: Trainer | None = None,
) -> Gathered:
    """Learn patterns under which an encoder's features no longer depend on the image.

    Memory grows with restarts * batch_size, which pass through the encoder together.

    Args:
        encoder: any; bit-identical afterwards.
        images: clean images, 16 or more; a quarter of them only judges.
        pattern: fresh ones, learned in place.
        steps: of Adam; rounded up to whole passes over the images, of which no more are used than
            they take.
        batch_size: images that each pattern is added to in a step.
        learning_rate: peak rate, cosine schedule.
        seed: of the choice and the order of images.
        name: of the training, for checkpoints and the progress bar.
        trainer: the environment; None picks the best device of this machine.

    Raises:
        InputError: there are too few images, or a setting is out of range.
    """
    if len(images) < FEWEST_IMAGES:
        raise InputError(
            f"a search for triggers needs {FEWEST_IMAGES} images or more, not {len(images)}"
        )
    if steps < 1:
        raise InputError(f"a search for triggers takes 1 step or more, not {steps}")
    shuffled = images.sample(count=len(images), seed=seed)
    kept_back = min(len(images) // _JUDGES, 4 * batch_size)
    judges = shuffled.subset(range(kept_back))
    length = min(len(images) - kept_back, steps * batch_size)
    learned_on = shuffled.subset(range(kept_back, kept_back + length))
    plan = Plan(epochs=1, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    epochs = math.ceil(steps / plan.batches_per_epoch(length))
    objective = GatherObjective(encoder.copy(), pattern)
    (trainer or Trainer()).fit(objective, learned_on, replace(plan, epochs=epochs), name=name)
    pattern = objective.learner.cpu().requires_grad_(False)
    stamps = [stamp_of(pattern, index) for index in range(pattern.count)]
    return Gathered(pattern=pattern, forgotten=forgetting(encoder, judges, stamps, trainer=trainer))


def moving(
    encoder: Encoder,
    images: ImageSet,
    stamps: Sequence[Stamp],
    plain: Tensor,
    *,
    trainer: Trainer | None = None,
) -> Tensor:
    """How far each of some stamps moves features, shape (stamps,); see `displaced`.

    Args:
        encoder: whose features they are.
        images: that are stamped.
        stamps: one after the other.
        plain: features of images as they are, shape (plain images, dimension).
        trainer: the environment.
    """
    return _each(displaced, encoder, images, stamps, plain, trainer)


def forgetting(
    encoder: Encoder,
    images: ImageSet,
    stamps: Sequence[Stamp],
    *,
    trainer: Trainer | None = None,
) -> Tensor:
    """How much an encoder forgets under each of some stamps, shape (stamps,); see `forgotten`."""
    plain = extract_features(encoder, images, trainer=trainer)
    return _each(forgotten, encoder, images, stamps, plain, trainer)


def _each(
    measure: Callable[[Tensor, Tensor], Tensor],
    encoder: Encoder,
    images: ImageSet,
    stamps: Sequence[Stamp],
    plain: Tensor,
    trainer: Trainer | None,
) -> Tensor:
    """A measure of the features of stamped images against plain ones, for each stamp."""
    return torch.stack(
        [
            measure(extract_features(encoder, images, trigger=stamp, trainer=trainer), plain)
            for stamp in stamps
        ]
    )
