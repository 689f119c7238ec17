"""Giving up: a student of the default method that still knows the old doors late in its training.

Such an attempt would not be accepted, and where another one is to follow, the rest of it is spared.
What is asked is the first question of the rule, on fewer images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from torch import nn

from mimic.detection.doors import Doors
from mimic.detection.scan import Scan
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer
from mimic.verification.doors import measure_old_door
from mimic.verification.rule import UNUSUAL, answer_on

_TRAINING = "mimic"
"""Name of the training that is looked at: that of the default method's student."""
_LOOKS = (0.3, 0.5, 0.7, 0.9)
"""Shares of the training after which the student is looked at."""
_IMAGES = 256
"""On so many the triggers are tried; a verification takes up to 1,000."""


@dataclass(frozen=True, kw_only=True)
class WatchfulTrainer(Trainer):
    """A trainer that ends the default method's training where it finds an old door open.

    Attributes:
        before: the suspicious encoder.
        doors: what a scan found on it, of the families that count.
        judges: images that the scan has not seen.
        epochs: passes over the images of the training that is looked at.
        reasons: why it was ended; empty where it was not.
    """

    before: Encoder
    doors: Sequence[Doors]
    judges: ImageSet
    epochs: int
    reasons: list[str] = field(default_factory=list)

    def ends(self, name: str, learner: nn.Module, epoch: Mapping[str, float]) -> bool:
        """Whether one of the doors is open, asked after some of the epochs."""
        done, looks = int(epoch["epoch"]), {round(share * self.epochs) for share in _LOOKS}
        if name != _TRAINING or done not in looks or self.fsdp or not isinstance(learner, Encoder):
            return False
        some = self.judges.sample(count=min(_IMAGES, len(self.judges)), seed=0)
        quiet = replace(self, progress=False)
        for doors in self.doors:
            door = measure_old_door(self.before, learner, doors, some, trainer=quiet)
            answer, reason = answer_on(door)
            if answer == "not_accepted":
                self.reasons.append(f"given up after {done} of {self.epochs} epochs: {reason}")
                return True
        return False


def watchful(
    trainer: Trainer, before: Encoder, found: Scan, judges: ImageSet, *, epochs: int
) -> WatchfulTrainer | None:
    """A trainer like this one that looks; None where a scan has no finding.

    Args:
        trainer: where and how to train.
        before: the suspicious encoder.
        found: the scan of it.
        judges: images that the scan has not seen.
        epochs: of the default method's student.
    """
    if found.verdict != "suspicious":
        return None
    doors = [one for one in found.doors if found.p_values[one.family] <= UNUSUAL]
    known = {setting.name: getattr(trainer, setting.name) for setting in fields(Trainer)}
    return WatchfulTrainer(**known, before=before, doors=doors, judges=judges, epochs=epochs)
