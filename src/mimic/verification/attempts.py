"""Attempts: purify and verify, and where the verdict is against it, again with stronger settings.

Nothing but the verdict decides, which knows neither labels nor triggers. Where more attempts may
follow, a student of the default method that still knows the old doors late in its training is not
trained to its end.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mimic.defenses import Defense, Mimic, Purification
from mimic.detection.scan import Scan, scan
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError, InterruptedRunError, RunError
from mimic.files import write_json
from mimic.images.imageset import ImageSet
from mimic.training import Trainer, processes
from mimic.verification.giving_up import WatchfulTrainer, watchful
from mimic.verification.rule import Verdict
from mimic.verification.stronger import changes, stronger
from mimic.verification.verify import FEWEST, Verification, chosen_images, halves, verify

_LATER = "'mimic verify BEFORE AFTER --images SRC' decides"


@dataclass(frozen=True, kw_only=True)
class Judges:
    """What purifications are judged by.

    Attributes:
        images: clean and unlabelled.
        seen: whether the purification is made with them too.
        seed: of the verification.
    """

    images: ImageSet
    seen: bool
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A purification and the verdict on it.

    Attributes:
        settings: of the defence, plain values.
        verdict: as `verify` gives it; undecided where it could not be run.
        reasons: for the verdict.
    """

    settings: dict[str, Any]
    verdict: Verdict
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"reasons": list(self.reasons)}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of all attempts.

    Attributes:
        purification: the last one.
        verification: of it; None where it could not be run.
        attempts: all of them, in order.
    """

    purification: Purification
    verification: Verification | None
    attempts: tuple[Attempt, ...]


def purify_and_verify(
    suspect: Encoder,
    images: ImageSet,
    defense: Defense,
    judges: Judges | None,
    *,
    most: int = 1,
    trainer: Trainer,
    tell: Callable[[str], None],
) -> Outcome:
    """Purify until an attempt is not refused, or there have been enough of them.

    With a folder, the trainings of the first attempt have their checkpoints in it, those of a later
    one in `attempt-N` below, and attempts that were refused are written down: a trainer that
    resumes repeats neither.

    Args:
        suspect: the suspicious encoder; left as it is.
        images: what it is purified with.
        defense: with the settings of the first attempt; see `stronger` for the others.
        judges: what the attempts are judged by; None leaves the verdict open.
        most: attempts, 1 or more.
        trainer: where and how to train.
        tell: is told in a sentence what is going on.

    Raises:
        InputError: the images do not fit the encoder, or are too few for the defence; `most` is
            below 1.
        RunError: a training failed.
        InterruptedRunError: Ctrl-C or SIGTERM; where there is a folder, no training is lost.
    """
    if most < 1:
        raise InputError(f"the number of attempts must be 1 or more, not {most}")
    refused: list[Attempt] = []
    scanned = _scan(suspect, judges, trainer, tell) if most > 1 else None
    for number in range(1, most + 1):
        chosen = stronger(defense, number)
        place = _place(trainer, number)
        record = None if place.folder is None else place.folder / f"refused-{number}.json"
        if known := _known(record, chosen) if trainer.resume and number < most else None:
            refused.append(known)
            continue
        if refused:
            tell(f"attempt {number} of at most {most}, with {changes(defense, chosen)}")
        watch = _watchful(place, suspect, chosen, judges, scanned) if number < most else None
        done = chosen(suspect, images, trainer=watch or place)
        if reasons := processes.from_first([] if watch is None else watch.reasons):
            attempt, verification = _given_up(chosen, reasons), None
        else:
            attempt, verification = _judged(suspect, done, chosen, judges, place, scanned, tell)
        attempt = processes.from_first(attempt)  # all go on, or none
        if attempt.verdict != "not_accepted" or number == most:
            break
        tell(f"attempt {number} is not accepted: {attempt.reasons[0]}")
        refused.append(attempt)
        if record is not None and processes.is_first():
            write_json(record, attempt.as_dict())
    return Outcome(purification=done, verification=verification, attempts=(*refused, attempt))


def _place(trainer: Trainer, number: int) -> Trainer:
    if trainer.folder is None or number == 1:
        return trainer
    return replace(trainer, folder=trainer.folder / f"attempt-{number}")


def _scan(
    suspect: Encoder, judges: Judges | None, trainer: Trainer, tell: Callable[[str], None]
) -> Scan | None:
    """Of the old encoder, as every verification needs it; None where it cannot be had."""
    if judges is None or len(judges.images) < FEWEST:
        return None
    tell("searching the old encoder for triggers, so that a student that knows them is given up")
    searched, _ = halves(chosen_images(judges.images, seed=judges.seed))
    alone = replace(trainer, folder=None, resume=False)
    try:
        return scan(suspect, searched, seed=judges.seed, trainer=alone)
    except (InputError, RunError):  # the verification will say so
        return None


def _watchful(
    trainer: Trainer,
    suspect: Encoder,
    defense: Defense,
    judges: Judges | None,
    scanned: Scan | None,
) -> WatchfulTrainer | None:
    """A trainer that gives a hopeless student of the default method up, where doors are known."""
    if judges is None or scanned is None or not isinstance(defense, Mimic):
        return None
    _, held_out = halves(chosen_images(judges.images, seed=judges.seed))
    return watchful(trainer, suspect, scanned, held_out, epochs=defense.epochs)


def _given_up(defense: Defense, reasons: Sequence[str]) -> Attempt:
    return Attempt(settings=asdict(defense), verdict="not_accepted", reasons=tuple(reasons))


def _judged(
    suspect: Encoder,
    done: Purification,
    defense: Defense,
    judges: Judges | None,
    trainer: Trainer,
    scanned: Scan | None,
    tell: Callable[[str], None],
) -> tuple[Attempt, Verification | None]:
    """The verdict, and what is behind it; undecided where it cannot be had."""
    settings = asdict(defense)

    def undecided(reason: str) -> tuple[Attempt, None]:
        return Attempt(settings=settings, verdict="undecided", reasons=(reason,)), None

    if judges is None:
        return undecided(f"nothing was verified: {_LATER}")
    if len(judges.images) < FEWEST:
        return undecided(
            f"{len(judges.images)} images are too few to verify with ({FEWEST} or more are "
            f"needed): with others {_LATER}"
        )
    tell(
        f"purified; verifying with {len(judges.images)} images: searching the old encoder for "
        "triggers, trying them on the new one, searching that"
    )
    try:
        found = verify(
            suspect,
            done.encoder,
            judges.images,
            seen=judges.seen,
            scan_before=scanned,
            seed=judges.seed,
            trainer=trainer,
        )
    except (KeyboardInterrupt, InterruptedRunError) as error:
        kept = trainer.folder is not None
        raise InterruptedRunError(
            "interrupted while verifying; "
            + ("--resume continues without training again" if kept else "nothing was saved")
        ) from error
    except (InputError, RunError) as error:  # hours of training must not be lost for it
        return undecided(f"the verification failed: {error}")
    decision = found.decision
    return Attempt(settings=settings, verdict=decision.verdict, reasons=decision.reasons), found


def _known(record: Path | None, defense: Defense) -> Attempt | None:
    """The attempt with these settings that was refused before the run was interrupted."""
    try:
        said = json.loads((record or Path()).read_text(encoding="utf-8"))
        if said["settings"] != json.loads(json.dumps(asdict(defense))):
            return None
        return Attempt(
            settings=said["settings"], verdict=said["verdict"], reasons=tuple(said["reasons"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
