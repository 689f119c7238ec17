"""Verify: did a purification work? Answered without labels and without knowing the trigger."""

import time
from dataclasses import dataclass, replace
from typing import Any

from mimic.defenses.base import Defense
from mimic.detection.calibration import Calibration
from mimic.detection.scan import FEWEST_IMAGES, Scan, scan
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.verification.canary import Canary, measure_canary
from mimic.verification.doors import OldDoor, measure_old_door
from mimic.verification.rule import Decision, Evidence, decide
from mimic.verification.utility import Utility, measure_utility

FEWEST = 2 * FEWEST_IMAGES
"""Images: one half to search with, one half to judge by."""
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
        canary: what the same purification does to a door that is known, or None.
        images: where the images come from.
        images_used: how many of them were looked at.
        seen: whether the purification was made with them.
        seconds: the time it took.
    """

    decision: Decision
    scan_before: Scan
    scan_after: Scan
    old_doors: tuple[OldDoor, ...]
    utility: Utility
    canary: Canary | None
    images: str
    images_used: int
    seen: bool
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
            "canary": None if self.canary is None else self.canary.as_dict(),
            "images": self.images,
            "images_used": self.images_used,
            "seen": self.seen,
            "seconds": self.seconds,
        }


def verify(
    before: Encoder,
    after: Encoder,
    images: ImageSet,
    *,
    seen: bool = False,
    canary: Defense | None = None,
    calibration: Calibration | None = None,
    scan_before: Scan | None = None,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Verification:
    """Decide whether a purification is to be accepted.

    Args:
        before: the suspicious encoder.
        after: the purified one.
        images: clean, unlabelled images, 128 or more; one half is searched with, the other half
            judges. No more than 2,000 are used.
        seen: whether the purification was made with these images; the reasons say so then.
        canary: the defence that gave `after`, with its settings, to run it on a backdoor of our
            own as well; see `measure_canary`. Takes about as long as the purification did.
        calibration: what clean encoders give; None takes those that come with mimic.
        scan_before: of an earlier verification with the same old encoder, images and seed, which
            saves half of the time.
        seed: of the searches, of the split and of the canary.
        trainer: the environment; no checkpoints are kept. None picks the best device of this
            machine, with progress.

    Raises:
        InputError: there are too few images, they do not fit one of the encoders, or the encoders
            expect images of different sizes.
        RunError: a search or the canary failed.
    """
    _check(before, after, images)
    started = time.monotonic()
    trainer = replace(trainer or Trainer(progress=True), folder=None, resume=False)
    quiet = replace(trainer, progress=False)
    some = chosen_images(images, seed=seed)
    searched, judges = halves(some)
    scan_before = scan_before or scan(
        before, searched, seed=seed, calibration=calibration, trainer=trainer
    )
    scan_after = scan(after, searched, seed=seed, calibration=calibration, trainer=trainer)
    old_doors = tuple(
        measure_old_door(before, after, doors, judges, trainer=quiet) for doors in scan_before.doors
    )
    utility = measure_utility(
        before, after, judges, seed=seed, trainer=replace(quiet, precision="32-true")
    )
    known = None
    if canary is not None:
        known = measure_canary(before, canary, some, seed=seed, trainer=trainer)
    evidence = _evidence(scan_before, scan_after, old_doors, utility)
    return Verification(
        decision=decide(evidence, canary=known, seen=seen),
        scan_before=scan_before,
        scan_after=scan_after,
        old_doors=old_doors,
        utility=utility,
        canary=known,
        images=images.name,
        images_used=len(some),
        seen=seen,
        seconds=time.monotonic() - started,
    )


def chosen_images(images: ImageSet, *, seed: int) -> ImageSet:
    """The images that a verification looks at, at most 2,000 of those that it is given."""
    chosen = seed_of("judge", seed)
    return images.sample(count=min(len(images), _MOST_IMAGES), seed=chosen).unlabelled()


def halves(chosen: ImageSet) -> tuple[ImageSet, ImageSet]:
    """What a verification searches with, and what it judges by; they have no image in common."""
    half = len(chosen) // 2
    return chosen.subset(range(half)), chosen.subset(range(half, len(chosen)))


def _evidence(
    before: Scan, after: Scan, old_doors: tuple[OldDoor, ...], utility: Utility
) -> Evidence:
    return Evidence(
        suspicious_before=before.verdict == "suspicious",
        p_values_before=before.p_values,
        doors=old_doors,
        suspicious_after=after.verdict == "suspicious",
        score_after=after.score,
        p_value_after=after.p_value,
        mutual_neighbours=utility.mutual_neighbours.value,
    )


def _check(before: Encoder, after: Encoder, images: ImageSet) -> None:
    if len(images) < FEWEST:
        raise InputError(
            f"a verification needs {FEWEST} clean images or more, not {len(images)}: "
            "one half to search with, one half to judge by"
        )
    if None not in (sizes := (before.image_size, after.image_size)) and sizes[0] != sizes[1]:
        raise InputError(
            f"the encoders expect images of {before.image_size} and {after.image_size} pixels; "
            "a trigger can be tried on both only where the sizes are the same"
        )
