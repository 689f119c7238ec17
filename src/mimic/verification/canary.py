"""Canary: a backdoor of our own, to see whether a purification takes it out.

What was hidden in an encoder can only be guessed at. What we hide in a copy of it we know: a random
patch that leads to a random one of the clean images, implanted as BadEncoder does
(arXiv:2108.00352). The copy is purified as the encoder itself was, and how far the trigger still
leads is measured.
"""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mimic.attacks.badencoder import BadEncoder
from mimic.attacks.triggers.patch import Patch
from mimic.attacks.triggers.trigger import Trigger
from mimic.defenses.base import Defense
from mimic.encoders.encoder import Encoder
from mimic.errors import NonFiniteLossError
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import crossed_cosine
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

TOOK = 0.5
"""Strength from which on our backdoor counts as implanted."""
SURVIVES = 0.5
"""Share of that strength from which on it counts as not removed."""
_JUDGES = 0.2
"""Share of the images that only judge."""
_STEPS, _BATCH, _RATE = 320, 64, 0.05
_SIDES = (0.2, 0.35)
"""Smallest and largest side of the patch, as a share of the shorter side of the image."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """How far a trigger leads to the reference in one encoder.

    Attributes:
        triggered: mean cosine between triggered images and the reference, in [-1, 1].
        plain: the same of the images without the trigger.
    """

    triggered: float
    plain: float

    @property
    def strength(self) -> float:
        """Share of the way to the reference that the trigger leads, at most 1."""
        return (self.triggered - self.plain) / max(1 - self.plain, 1e-6)


@dataclass(frozen=True, kw_only=True)
class Canary:
    """What became of our own backdoor.

    Attributes:
        trigger: in words.
        untouched: in the encoder without it.
        implanted: in the copy that it was implanted into.
        purified: in that copy, purified; None where the implant failed, so that nothing was.
        images: that the copy was purified with.
        seconds: the time it took.
    """

    trigger: str
    untouched: Pull
    implanted: Pull
    purified: Pull | None
    images: int
    seconds: float

    @property
    def took(self) -> bool:
        """Whether the implant worked, without which nothing is shown."""
        return self.purified is not None

    @property
    def surviving(self) -> float:
        """Share of the implanted strength that is left after the purification; 0 without one."""
        return 0.0 if self.purified is None else self.purified.strength / self.implanted.strength

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"took": self.took, "surviving": self.surviving}


def measure_canary(
    encoder: Encoder, defense: Defense, images: ImageSet, *, seed: int, trainer: Trainer
) -> Canary:
    """Implant a backdoor into a copy of an encoder, purify the copy, and see what is left.

    Args:
        encoder: left as it is.
        defense: what the copy is purified with.
        images: clean images, some dozens or more; four fifths are implanted and purified with, the
            others judge.
        seed: of the trigger, the reference, the split and the implant.
        trainer: the environment.

    Raises:
        InputError: the images do not fit the encoder, or are too few for the defence.
        RunError: the purification failed.
    """
    started = time.monotonic()
    shuffled = images.sample(count=len(images), seed=seed).unlabelled()
    count = round(len(images) * (1 - _JUDGES))
    used, judges = shuffled.subset(range(count)), shuffled.subset(range(count, len(images)))
    generator = torch.Generator().manual_seed(seed)
    reference = used.subset([int(torch.randint(count, (1,), generator=generator))])
    trigger = random_patch(images.size, generator)

    def pull(subject: Encoder) -> Pull:
        wanted = extract_features(subject, reference, trainer=trainer)
        seen, plain = (
            extract_features(subject, judges, trigger=stamp, trainer=trainer)
            for stamp in (trigger, None)
        )
        return Pull(triggered=crossed_cosine(seen, wanted), plain=crossed_cosine(plain, wanted))

    attack = BadEncoder(
        references=reference.tensor(),
        trigger=trigger,
        epochs=math.ceil(_STEPS / max(1, count // _BATCH)),
        batch_size=_BATCH,
        learning_rate=_RATE,
        seed=seed,
    )
    untouched = pull(encoder)
    poisoned = _implanted(attack, encoder, used, trainer)
    implanted, purified = pull(poisoned), None
    if implanted.strength >= TOOK:
        purified = pull(defense(poisoned, used, trainer=trainer).encoder)
    return Canary(
        trigger=trigger.describe(),
        untouched=untouched,
        implanted=implanted,
        purified=purified,
        images=count,
        seconds=time.monotonic() - started,
    )


def random_patch(size: tuple[int, int], generator: torch.Generator) -> Trigger:
    """A square of any colour at any place.

    Args:
        size: height and width of the images, in pixels.
        generator: of the random numbers.
    """

    def drawn(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    smallest, largest = (max(1, round(share * min(size))) for share in _SIDES)
    side = drawn(smallest, largest)
    return Patch(
        height=side,
        width=side,
        row=drawn(0, size[0] - side),
        column=drawn(0, size[1] - side),
        colour=(drawn(0, 255), drawn(0, 255), drawn(0, 255)),
    )


def _implanted(attack: BadEncoder, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Encoder:
    """The attacked copy; the encoder itself where the rate does not suit it."""
    try:
        return attack(encoder, images, trainer=trainer).encoder
    except NonFiniteLossError:
        return encoder
