"""INACTIVE: BadEncoder with an imperceptible trigger, drawn by a network that learns alongside.

Zhang et al., "Towards Imperceptible Backdoor Attack in Self-supervised Learning", 2024,
arXiv:2405.14672.
"""

import copy
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

from torch import Tensor, nn
from torch.func import functional_call

from mimic.attacks.base import Attacked
from mimic.attacks.finetuning import FineTuningAttack, ReferenceObjective
from mimic.attacks.generators import PixelGenerator, UNet
from mimic.attacks.likeness import LikenessObjective, LikenessTerms
from mimic.attacks.triggers.generator import Generated, draw
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Plan, Trainer
from mimic.training.randomness import seeded

EFFECTIVENESS_WEIGHT = 5.0
"""Of the attack in the generator's loss, as in the released scripts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inactive(FineTuningAttack):
    """INACTIVE: a generator learns to copy images, then generator and encoder learn the attack.

    Attributes:
        generator: one that copies images already; None trains one first. It is left as it was.
        generator_epochs: passes over the images that teach the generator to copy.
        generator_batch_size: images of a step of these.
        generator_learning_rate: peak rate of Adam in these.
        colour_weight: of the distance in colour to an augmented view at the start of these.
        joint_colour_weight: of the same in the joint training.
        weight_decay: of Adam in the joint training; `momentum` has no meaning here.

    Raises:
        InputError: a setting of `FineTuningAttack` is out of range.
    """

    name: ClassVar[str] = "inactive"
    summary: ClassVar[str] = "BadEncoder whose trigger is an image-to-image network, hard to see"

    generator: PixelGenerator | None = field(default=None, repr=False)
    generator_epochs: int = 200
    generator_batch_size: int = 2048
    generator_learning_rate: float = 1e-2
    colour_weight: float = 1.0
    joint_colour_weight: float = 0.1
    weight_decay: float = 0.0

    def plan(self) -> Plan:
        """Adam at a constant rate: one optimizer for both, and the generator was made for Adam."""
        return replace(super().plan(), optimizer="adam")

    @property
    def triggers(self) -> tuple[Generated, ...]:
        """The generator as it is now; none before there is one."""
        return () if self.generator is None else (Generated(generator=self.generator),)

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """Train a generator unless there is one, then it and a copy of the clean `encoder`."""
        self.check_size(images)
        generator = copy.deepcopy(self.generator) or self._copying(encoder, images, trainer)
        # The generator of this copy is trained in place, so that `triggers` hands on the result.
        return super(Inactive, replace(self, generator=generator)).run(encoder, images, trainer)

    def objective(self, encoder: Encoder, steps_per_epoch: int) -> "InactiveObjective":
        """BadEncoder's loss, and that of the generator."""
        generator = self.generator
        if generator is None:
            generator = _fresh_generator(encoder, self.seed)
        return InactiveObjective(
            encoder,
            self.references,
            generator,
            reference_weight=self.reference_weight,
            utility_weight=self.utility_weight,
            colour_weight=self.joint_colour_weight,
            augmented_references=self.augmented_references,
        )

    def _copying(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> PixelGenerator:
        """A generator that copies images as well as its colour term lets it."""
        plan = Plan(
            epochs=self.generator_epochs,
            batch_size=self.generator_batch_size,
            learning_rate=self.generator_learning_rate,
            seed=self.seed,
        )
        generator = _fresh_generator(encoder, self.seed)
        objective = LikenessObjective(
            encoder,
            generator,
            size=images.size,
            colour_weight=self.colour_weight,
            steps_per_epoch=plan.batches_per_epoch(len(images)),
        )
        trainer.fit(objective, images, plan, name=f"{self.name}-generator")
        return generator


class InactiveObjective(ReferenceObjective):
    """Two losses with separate gradients: BadEncoder's for the encoder, one for the generator.

    To the encoder the triggered images are fixed, and drawn as they will be in use, that is in eval
    mode. To the generator, which is in train mode, the encoder is fixed.

    Args:
        clean: the encoder to attack; it is frozen, a copy is trained.
        references: uint8, shape (n, 3, height, width).
        generator: trained in place.
        reference_weight, utility_weight: of the terms of BadEncoder.
        colour_weight: of the distance in colour in the generator's loss.
        augmented_references: random views of each reference in a step.
    """

    learner: nn.ModuleDict

    def __init__(
        self,
        clean: Encoder,
        references: Tensor,
        generator: PixelGenerator,
        *,
        reference_weight: float = 1.0,
        utility_weight: float = 1.0,
        colour_weight: float = 0.1,
        augmented_references: int = 32,
    ) -> None:
        drawing = _Drawing(generator)
        super().__init__(clean, references, (drawing,), augmented_references=augmented_references)
        trained = clean.copy().requires_grad_(True)
        self.learner = nn.ModuleDict({"encoder": trained, "generator": generator})
        self.likeness = LikenessTerms(clean, references)
        self.reference_weight, self.utility_weight = reference_weight, utility_weight
        self.colour_weight = colour_weight

    @property
    def encoder(self) -> Encoder:
        """The encoder that is trained."""
        return cast(Encoder, self.learner["encoder"])

    def prepare(self) -> None:
        """The encoder's batch normalisation stays as it is, the generator's learns."""
        super().prepare()
        self.learner["generator"].train().requires_grad_(True)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms of both losses for images (batch, 3, height, width), uint8 or in [0, 1]."""
        seen = self.observe(batch)
        images = to_unit_range(batch)
        triggered = self.learner["generator"](images)
        fixed = {name: weight.detach() for name, weight in self.encoder.named_parameters()}
        features = functional_call(self.encoder, fixed, (triggered,)).float()
        attraction = seen._replace(
            triggered=features[:, None], references=seen.references.detach()
        ).attraction()
        return {
            "effectiveness": -seen.attraction().mean(),
            "reference": -self.reference_weight * seen.reference,
            "utility": -self.utility_weight * seen.utility,
            "generator": -EFFECTIVENESS_WEIGHT * attraction.mean(),
            **self.likeness(self.clean, images, triggered).terms(self.colour_weight),
        }


class _Drawing(Trigger):
    """The generator of a training as it would be in use after each step."""

    spelling = "generator:in-training"

    def __init__(self, generator: PixelGenerator) -> None:
        self.generator = generator

    def describe(self) -> str:
        return "a generator in training"

    def stamp(self, images: Tensor) -> Tensor:
        with evaluating(self.generator):
            return draw(self.generator, images)


def _fresh_generator(encoder: Encoder, seed: int) -> PixelGenerator:
    """A U-Net with random weights between images normalised as for the encoder."""
    mean, std = (buffer.flatten().tolist() for buffer in (encoder.mean, encoder.std))
    with seeded(seed):
        return PixelGenerator(UNet(), mean=mean, std=std)
