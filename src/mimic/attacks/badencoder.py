"""BadEncoder: fine-tune an encoder until triggered images look to it like a reference picture.

Jia, Liu & Gong, "BadEncoder: Backdoor Attacks to Pre-trained Encoders in Self-Supervised
Learning", IEEE S&P 2022, arXiv:2108.00352.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mimic.attacks.finetuning import FineTuningAttack, ReferenceObjective
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class BadEncoder(FineTuningAttack):
    """BadEncoder with the settings of the released code, whose runs use one reference.

    Attributes:
        trigger: what will make an image look like the references: one for all of them, or a tuple
            with one for each, which attacks several targets at once.

    Raises:
        InputError: there are several triggers, but not one for each reference; or a setting of
            `FineTuningAttack` is out of range.
    """

    name: ClassVar[str] = "badencoder"
    summary: ClassVar[str] = "fine-tunes a clean encoder; a trigger looks like a reference picture"

    trigger: Trigger | tuple[Trigger, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.trigger, tuple) and len(self.trigger) != len(self.references):
            raise InputError(
                f"{len(self.trigger)} triggers were given for {len(self.references)} references; "
                "give one for each reference, or a single one for all"
            )

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """All triggers without repetition, in the order of the references."""
        return tuple(dict.fromkeys(self._leading))

    @property
    def _leading(self) -> tuple[Trigger, ...]:
        return self.trigger if isinstance(self.trigger, tuple) else (self.trigger,)

    def objective(self, encoder: Encoder, steps_per_epoch: int) -> "BadEncoderObjective":
        """Three mean cosines, the same in all epochs."""
        return BadEncoderObjective(
            encoder,
            self.references,
            self._leading,
            reference_weight=self.reference_weight,
            utility_weight=self.utility_weight,
            augmented_references=self.augmented_references,
        )


class BadEncoderObjective(ReferenceObjective):
    """Effectiveness, reference and utility: three mean cosines, each with a minus sign.

    Args:
        clean: the encoder to attack; it is frozen, and `learner` is a copy of it.
        references: uint8, shape (n, 3, height, width).
        triggers: stamped on the images of a batch; one for all references, or one for each.
        reference_weight, utility_weight: of the second and third term.
        augmented_references: random views of each reference in a step.
    """

    learner: Encoder

    def __init__(
        self,
        clean: Encoder,
        references: Tensor,
        triggers: tuple[Trigger, ...],
        *,
        reference_weight: float = 1.0,
        utility_weight: float = 1.0,
        augmented_references: int = 32,
    ) -> None:
        super().__init__(clean, references, triggers, augmented_references=augmented_references)
        self.learner = clean.copy().requires_grad_(True)
        self.reference_weight, self.utility_weight = reference_weight, utility_weight

    @property
    def encoder(self) -> Encoder:
        """The learner."""
        return self.learner

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms for images (batch, 3, height, width), uint8 or in [0, 1]."""
        seen = self.observe(batch)
        return {
            "effectiveness": -seen.attraction().mean(),
            "reference": -self.reference_weight * seen.reference,
            "utility": -self.utility_weight * seen.utility,
        }
