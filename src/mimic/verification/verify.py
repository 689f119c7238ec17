"""Verify: did a purification work? Answered without labels and without knowing the trigger."""

import time
from dataclasses import dataclass, replace
from typing import Any

from mimic.detection.scan import FEWEST_IMAGES, Scan, scan
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.verification.doors import OldDoor, measure_old_door
from mimic.verification.rule import Decision, decide
from mimic.verification.utility import Utility, measure_utility

_MOST_IMAGES = 2000


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The decision and every number behind it.

    Attributes:
        decision: verdict and reasons.
        scan_before: of the old encoder.
        scan_after: of the new one.
        old_doors: by family, what the triggers found on the old encoder do to the new one.
        utility: what the new encoder keeps.
        seconds: the time it took.
    """

    decision: Decision
    scan_before: Scan
    scan_after: Scan
    old_doors: tuple[OldDoor, ...]
    utility: Utility
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.decision.verdict,
            "reasons": list(self.decision.reasons),
            "thresholds": self.decision.thresholds,
            "old_doors": [door.as_dict() for door in self.old_doors],
            "scan_before": self.scan_before.as_dict(),
            "scan_after": self.scan_after.as_dict(),
            "utility": self.utility.as_dict(),
            "seconds": self.seconds,
        }


def verify(
    before: Encoder,
    after: Encoder,
    images: ImageSet,
    *,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Verification:
    """Decide whether a purification is to be accepted.

    Args:
        before: the suspicious encoder.
        after: the purified one.
        images: clean, unlabelled images, 128 or more; one half is searched with, the other half
            judges. No more than 2,000 are used.
        seed: of the searches and of the split.
        trainer: the environment; None picks the best device of this machine, with progress.

    Raises:
        InputError: there are too few images, they do not fit one of the encoders, or the encoders
            expect images of different sizes.
    """
    if len(images) < 2 * FEWEST_IMAGES:
        raise InputError(
            f"a verification needs {2 * FEWEST_IMAGES} clean images or more, not {len(images)}: "
            "one half to search with, one half to judge by"
        )
    if None not in (sizes := (before.image_size, after.image_size)) and sizes[0] != sizes[1]:
        raise InputError(
            f"the encoders expect images of {before.image_size} and {after.image_size} pixels; "
            "a trigger can be tried on both only where the sizes are the same"
        )
    started = time.monotonic()
    trainer = trainer or Trainer(progress=True)
    quiet = replace(trainer, progress=False)
    some = images.sample(count=min(len(images), _MOST_IMAGES), seed=seed).unlabelled()
    half = len(some) // 2
    searched, judges = some.subset(range(half)), some.subset(range(half, len(some)))
    scan_before = scan(before, searched, seed=seed, trainer=trainer)
    scan_after = scan(after, searched, seed=seed, trainer=trainer)
    old_doors = tuple(
        measure_old_door(before, after, doors, judges, trainer=quiet) for doors in scan_before.doors
    )
    utility = measure_utility(
        before, after, judges, seed=seed, trainer=replace(quiet, precision="32-true")
    )
    return Verification(
        decision=decide(scan_before, scan_after, old_doors, utility),
        scan_before=scan_before,
        scan_after=scan_after,
        old_doors=old_doors,
        utility=utility,
        seconds=time.monotonic() - started,
    )
