"""Settings of the demo: small enough for two CPU cores, large enough for the story to be true."""

from dataclasses import dataclass

from torch import Tensor

from mimic.attacks import BadEncoder, parse_trigger
from mimic.attacks.triggers import Trigger
from mimic.defenses import Mimic
from mimic.errors import InputError
from mimic.pretraining.simclr import SimClr
from mimic.training import mix_seed

_CLEAN, _SUSPICIOUS, _PURIFIED, _SCRATCH, _SUBSET = range(5)


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What the demo does; chosen beforehand, none of it by looking at test labels.

    Attributes:
        architecture: of all encoders.
        pretrain_epochs: of the clean encoder, on all training images.
        attack_epochs: of BadEncoder.
        purify_epochs: of the student.
        scratch_epochs: of the control, on the same images as the student.
        clean_images: how many unlabelled images the defender holds. 5 % of the training images, the
            share of the paper, would be 70: too few to train anything with batch normalisation.
        trigger: spelling of what the attacker stamps on images.
        target: class that the trigger should lead to.
        probe: head behind accuracy and attack success rate.

    Raises:
        InputError: there are too few clean images.
    """

    architecture: str = "resnet10:width=16"
    pretrain_epochs: int = 60
    attack_epochs: int = 30
    purify_epochs: int = 100
    scratch_epochs: int = 100
    clean_images: int = 400
    trigger: str = "patch:4@11,11:white"
    target: int = 3
    probe: str = "linear"

    def __post_init__(self) -> None:
        if self.clean_images < 16:
            raise InputError(f"the demo needs 16 clean images or more, not {self.clean_images}")

    def stamp(self) -> Trigger:
        """The trigger itself."""
        return parse_trigger(self.trigger)

    def pretraining(self, seed: int) -> SimClr:
        """How the clean encoder comes about."""
        return self._simclr(self.pretrain_epochs, batch=256, seed=mix_seed(seed, _CLEAN))

    def control(self, seed: int) -> SimClr:
        """The same recipe on the defender's few images, from other random weights."""
        return self._simclr(self.scratch_epochs, batch=200, seed=mix_seed(seed, _SCRATCH))

    def attack(self, references: Tensor, seed: int) -> BadEncoder:
        """BadEncoder, with fewer epochs and a larger rate than on photographs."""
        return BadEncoder(
            references=references,
            trigger=self.stamp(),
            utility_weight=2.0,
            epochs=self.attack_epochs,
            learning_rate=0.05,
            seed=mix_seed(seed, _SUSPICIOUS),
        )

    def defense(self, seed: int) -> Mimic:
        """The default defence, made for few and small images.

        Its batch leaves no clean image out, its rate fits few steps, and more views are occluded:
        digits are strokes, which a trigger resembles.
        """
        return Mimic(
            epochs=self.purify_epochs,
            batch_size=100,
            learning_rate=2e-3,
            searched_share=0.25,
            random_share=0.25,
            seed=mix_seed(seed, _PURIFIED),
        )

    def subset_seed(self, seed: int) -> int:
        """Decides which clean images the defender holds."""
        return mix_seed(seed, _SUBSET)

    def _simclr(self, epochs: int, *, batch: int, seed: int) -> SimClr:
        # Digits are strokes: a view that shows less than a fifth of one shows nothing.
        return SimClr(epochs=epochs, batch_size=batch, learning_rate=2e-3, min_scale=0.2, seed=seed)
