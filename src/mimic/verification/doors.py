"""The old door: do triggers that were found on the old encoder still work on the new one?

A trigger is judged by the share of what tells images apart that it takes away, and a mark by how
far it moves features. Any encoder yields to any change to a degree, so it is compared with changes
of the same kind and size that nobody made for a door: random patches, colours and waves, or the
results of the same search that lead nowhere special.
"""

from dataclasses import asdict, dataclass
from typing import Any

from mimic.detection.doors import Doors
from mimic.detection.gathering import forgetting, moving
from mimic.detection.search import DISPLACEMENT
from mimic.encoders.encoder import Encoder
from mimic.evaluation.features import extract_features
from mimic.images.imageset import ImageSet
from mimic.training import Trainer


@dataclass(frozen=True, kw_only=True)
class OldDoor:
    """One family of triggers, before and after.

    Attributes:
        family: of the triggers.
        description: of the best one, in words.
        before: mean share of what tells images apart that they take away on the old encoder, at
            most 1. Of marks the mean displacement in units of `DISPLACEMENT` standard deviations,
            likewise at most 1, and so are the next three.
        natural_before: the same of the changes they are compared with.
        after: on the new encoder.
        natural_after: likewise.
    """

    family: str
    description: str
    before: float
    natural_before: float
    after: float
    natural_after: float

    @property
    def opened(self) -> float:
        """By how much they exceed what is natural on the old encoder."""
        return self.before - self.natural_before

    @property
    def residue(self) -> float:
        """By how much they exceed what is natural on the new encoder: 0 where it is closed."""
        return self.after - self.natural_after

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"opened": self.opened, "residue": self.residue}


def measure_old_door(
    before: Encoder, after: Encoder, doors: Doors, images: ImageSet, *, trainer: Trainer
) -> OldDoor:
    """Try the triggers of one family on both encoders.

    Args:
        before: the encoder that they were found on.
        after: the new one, which takes images of the same size.
        doors: what was found.
        images: clean images that the search did not see.
        trainer: the environment.
    """

    def means(encoder: Encoder) -> tuple[float, float]:
        both = (*doors.stamps, *doors.naturals)
        if doors.family == "mark":
            plain = extract_features(encoder, images, trainer=trainer)
            moved = moving(encoder, images, both, plain, trainer=trainer)
            reached = (moved / DISPLACEMENT).clamp_max(1)
        else:
            reached = forgetting(encoder, images, both, trainer=trainer)
        found = len(doors.stamps)
        return float(reached[:found].mean()), float(reached[found:].mean())

    opened, natural_before = means(before)
    left, natural_after = means(after)
    return OldDoor(
        family=doors.family,
        description=doors.description,
        before=opened,
        natural_before=natural_before,
        after=left,
        natural_after=natural_after,
    )
