"""Defense: from a suspicious encoder and clean unlabelled images to a purified encoder."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

from mimic.defenses.changes import Change
from mimic.encoders.checks import check_images, check_student, check_successor
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.information.localization import Localization
from mimic.training import History, Trainer


@dataclass(frozen=True, kw_only=True)
class Purification:
    """What a defence gives back.

    Attributes:
        encoder: the purified encoder, in eval mode on the CPU.
        history: of the training; empty where nothing is trained.
        localization: where benign knowledge lies, for defences that look.
        changes: what the student had to see past, for defences that search for it.
        same_architecture: False where a student of another architecture was asked for.
    """

    encoder: Encoder
    history: History
    localization: Localization | None = None
    changes: tuple[Change, ...] = ()
    same_architecture: bool = True


@dataclass(frozen=True, kw_only=True)
class Defense(ABC):
    """Settings of a defence are its fields; the algorithm is `run`.

    Attributes:
        trains: False for methods that train nothing, so that a number of epochs means nothing.
        epochs: passes over the clean images.
        seed: decides everything random.
    """

    trains: ClassVar[bool] = True

    epochs: int = 100
    seed: int = 0

    @abstractmethod
    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Purify `suspect`, a private copy that may be changed."""

    @final
    def __call__(self, suspect: Encoder, images: ImageSet, *, trainer: Trainer) -> Purification:
        """Purify an encoder with clean, unlabelled images.

        Args:
            suspect: the suspicious encoder; bit-identical afterwards.
            images: clean images; labels are never looked at.
            trainer: where and how to train.

        Raises:
            InputError: the images do not fit the encoder or are too few.
            RunError: the training failed or the result cannot stand in for the suspect.
        """
        check_images(suspect, images)
        working = suspect.copy().cpu().eval()
        result = self.run(working, images.unlabelled(), trainer)
        purified = result.encoder.cpu().eval()
        if result.same_architecture:
            check_successor(suspect, purified)
            pairs = zip(purified.parameters(), suspect.parameters(), strict=True)
            for parameter, original in pairs:
                parameter.requires_grad_(original.requires_grad)
        else:
            check_student(suspect, purified, images.size)
        return replace(result, encoder=purified)

    def with_settings(self, *, epochs: int | None = None, seed: int | None = None) -> Self:
        """The same defence with another number of epochs or another seed.

        Raises:
            InputError: epochs are given to a method that trains nothing.
        """
        if epochs is not None and epochs > 0 and not self.trains:
            raise InputError("this method trains nothing; leave the number of epochs out")
        changes = {"epochs": epochs, "seed": seed}
        return replace(self, **{k: v for k, v in changes.items() if v is not None})
