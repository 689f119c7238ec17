"""Scan: does an encoder carry a backdoor? Without labels, and without knowing any trigger.

Triggers are looked for that take away what tells images apart, or that move images to where no
image lies. Any encoder yields to some degree, so what counts is by how much more this one yields
than encoders without a backdoor do.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mimic.detection.calibration import (
    Calibration,
    check_count,
    score_of,
    shipped_calibration,
)
from mimic.detection.displacement import displaced
from mimic.detection.doors import Doors
from mimic.detection.families import FAMILIES
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.evaluation.similarity import mean_cosine
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

FALSE_POSITIVE_RATE = 0.05
"""An encoder is called suspicious where its p-value is at most this."""
FEWEST_IMAGES = 64
_MOST_IMAGES = 640


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a scan says.

    Attributes:
        verdict: "suspicious" where the p-value is at most 0.05, "clean" otherwise; clean means
            that nothing was found, not that nothing is there.
        score: how far the gain of the most unusual family exceeds that of clean encoders, in
            standard deviations.
        p_value: share of clean encoders of this kind that would score as high, in (0, 1].
        doors: what was found, one for each family.
        p_values: of each family, by its own gain alone.
        cosine_before: mean cosine between features of different images.
        cosine_after: the same with the best trigger of each family, by family.
        displaced: by how many standard deviations it moves features, by family; see
            `mimic.detection.displacement`.
        images_used: how many images were looked at.
        calibration: what the encoder was compared with.
        seconds: the time it took.
        clean_scores: of the encoders that it was compared with, each compared with the others.
    """

    verdict: Literal["clean", "suspicious"]
    score: float
    p_value: float
    doors: tuple[Doors, ...]
    p_values: dict[str, float]
    cosine_before: float
    cosine_after: dict[str, float]
    displaced: dict[str, float]
    images_used: int
    calibration: str
    seconds: float
    clean_scores: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "score": self.score,
            "p_value": self.p_value,
            "false_positive_rate": FALSE_POSITIVE_RATE,
            "triggers": [
                {
                    "family": doors.family,
                    "description": doors.description,
                    "p_value": self.p_values[doors.family],
                    "gain": doors.gain,
                    "forgotten": list(doors.forgotten),
                    "cosine_before": self.cosine_before,
                    "cosine_after": self.cosine_after[doors.family],
                    "displaced": self.displaced[doors.family],
                }
                for doors in self.doors
            ],
            "images_used": self.images_used,
            "calibration": self.calibration,
            "seconds": self.seconds,
        }


def scan(
    encoder: Encoder,
    images: ImageSet,
    *,
    seed: int = 0,
    calibration: Calibration | None = None,
    trainer: Trainer | None = None,
) -> Scan:
    """Look for a backdoor in an encoder.

    Args:
        encoder: any; left as it is.
        images: clean, unlabelled images, 64 or more; no more than 640 of them are used.
        seed: of the searches.
        calibration: what clean encoders give; None takes those that come with mimic.
        trainer: the environment; None picks the best device of this machine, with progress.

    Raises:
        InputError: there are too few images, or they do not fit the encoder.
    """
    started = time.monotonic()
    trainer = trainer or Trainer(progress=True)
    calibration = calibration or shipped_calibration()
    some = _looked_at(images, seed)
    doors = _searched(encoder, some, seed, trainer)
    deviations = calibration.deviations({found.family: found.gain for found in doors})
    score = score_of(deviations)
    p_value = calibration.p_value(score)
    plain = extract_features(encoder, some, trainer=trainer)
    changed = {
        found.family: extract_features(encoder, some, trigger=found.stamps[0], trainer=trainer)
        for found in doors
    }
    return Scan(
        verdict="suspicious" if p_value <= FALSE_POSITIVE_RATE else "clean",
        score=score,
        p_value=p_value,
        doors=doors,
        p_values={family: calibration.tail(deviation) for family, deviation in deviations.items()},
        cosine_before=float(mean_cosine(plain.double())),
        cosine_after={name: float(mean_cosine(one.double())) for name, one in changed.items()},
        displaced={name: float(displaced(one, plain)) for name, one in changed.items()},
        images_used=len(some),
        calibration=calibration.description,
        seconds=time.monotonic() - started,
        clean_scores=calibration.scores(),
    )


def calibrate(
    encoders: Sequence[Encoder],
    images: ImageSet,
    *,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Calibration:
    """Look for triggers in clean encoders, to compare others of their kind with them.

    Args:
        encoders: three or more that are known to be clean; the closer their architecture, their
            method and their training to those of what will be scanned, the better.
        images: those of the scans to come.
        seed: of the searches.
        trainer: the environment; None picks the best device of this machine, with progress.

    Raises:
        InputError: there are fewer than three encoders, or too few images.
    """
    trainer = trainer or Trainer(progress=True)
    some = _looked_at(images, seed)
    check_count(len(encoders))
    found = [_searched(encoder, some, seed, trainer) for encoder in encoders]
    gains = [{doors.family: doors.gain for doors in one} for one in found]
    values = {family: tuple(one[family] for one in gains) for family in FAMILIES}
    return Calibration(kind="given as references", values=values)


def _looked_at(images: ImageSet, seed: int) -> ImageSet:
    if len(images) < FEWEST_IMAGES:
        raise InputError(
            f"a scan needs {FEWEST_IMAGES} clean images or more, not {len(images)}: fewer do not "
            "tell whether a trigger makes images look alike"
        )
    return images.sample(count=min(len(images), _MOST_IMAGES), seed=seed).unlabelled()


def _searched(encoder: Encoder, images: ImageSet, seed: int, trainer: Trainer) -> tuple[Doors, ...]:
    return tuple(
        search(encoder, images, seed=seed, trainer=trainer) for search in FAMILIES.values()
    )
