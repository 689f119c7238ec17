"""Attack: settings plus one method that turns a clean encoder into a backdoored one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final

from torch import Tensor

from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.checks import check_images, check_successor
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.training import Trainer

ThreatModel = Literal["fine-tuning", "poisoning"]


@dataclass(frozen=True, kw_only=True)
class Poisoned:
    """What a victim downloads.

    Attributes:
        images: clean and poisoned ones, without labels.
        positions: which of them carry poison, int64, ascending.
    """

    images: ImageSet
    positions: Tensor


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack gives back.

    Attributes:
        encoder: the backdoored encoder.
        triggers: what opens the backdoor, first the main one; attacks that learn their trigger make
            it, all others hand on the ones they were given.
        poisoned: what the victim trained on, for attacks that poison data.
    """

    encoder: Encoder
    triggers: tuple[Trigger, ...]
    poisoned: Poisoned | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Attack(ABC):
    """Base of all attacks: a new one is a frozen dataclass with `run`, and a row in `ATTACKS`.

    Under "fine-tuning" the attacker holds a clean encoder and unlabelled images and gives away
    another encoder. Under "poisoning" the attacker only plants images: such an attack's `run` takes
    the architecture from `encoder`, the target class from the labels of `images`, and pre-trains
    afresh on the poisoned images. Both look the same from outside.

    Attributes:
        summary: one line for lists.
        threat_model: what the attacker can touch.
    """

    summary: ClassVar[str]
    threat_model: ClassVar[ThreatModel]

    @abstractmethod
    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """The attack itself; `encoder` is a private copy that it may keep, change or give back."""

    @final
    def __call__(self, encoder: Encoder, images: ImageSet, *, trainer: Trainer) -> Attacked:
        """Attack `encoder` with the help of `images`.

        Args:
            encoder: clean; bit-identical afterwards.
            images: what the attacker holds. Poisoning attacks need labels.
            trainer: where and how trainings run.

        Returns:
            A backdoored encoder of the same architecture, in eval mode on the CPU, and its trigger.

        Raises:
            InputError: there are too few images, or the encoder expects another size.
            RunError: the training failed, or the result cannot stand in for the clean encoder.
        """
        check_images(encoder, images)
        result = self.run(encoder.copy().cpu().eval(), images, trainer)
        attacked = result.encoder.cpu().eval()
        check_successor(encoder, attacked)
        for after, before in zip(attacked.parameters(), encoder.parameters(), strict=True):
            after.requires_grad_(before.requires_grad)
        return replace(result, encoder=attacked)
