"""BLTO: poison images with a generator that was trained against a simulated victim.

Sun et al., "Backdoor Contrastive Learning via Bi-level Trigger Optimization", ICLR 2024,
arXiv:2404.07863.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mimic.attacks.base import Attack, Attacked, ThreatModel
from mimic.attacks.ctrl import Ctrl
from mimic.attacks.generators import PixelGenerator, ResNetGenerator
from mimic.attacks.poisoning import check_share
from mimic.attacks.triggers.generator import Generated, draw
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.encoders.stages import evaluating
from mimic.errors import InputError
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.images.tagged import Tagged
from mimic.losses import clone_loss
from mimic.pretraining import Pretraining, SimClr
from mimic.training import Objective, Trainer, mix_seed
from mimic.training.randomness import seeded


@dataclass(frozen=True, kw_only=True, eq=False)
class Blto(Attack):
    """Learns a trigger against surrogates, stamps it on images of the target class.

    Attributes:
        target: label of the class that the trigger is to lead to, as in the images' labels.
        rate: share of all images that are stamped, in (0, 1].
        surrogate: how the simulated victims train. In each of its steps the generator takes one,
            too, by the same optimizer at its peak rate.
        surrogate_epochs: of all simulated victims together; None takes those of `surrogate`.
        surrogates: how many there are, one after the other, each afresh from random weights.
        width: channels of the generator at full resolution.
        blocks: residual blocks of the generator.
        budget: largest change of a pixel, of pixels in [0, 1]; above 0 and at most 1.
        pretraining: how the true victim trains; its seed also decides the first weights.
        seed: decides which images are poisoned, and the weights of generator and surrogates.

    Raises:
        InputError: a setting is out of range.
    """

    summary: ClassVar[str] = "poisons with a generator that is trained against simulated victims"
    threat_model: ClassVar[ThreatModel] = "poisoning"

    target: int
    rate: float = 0.01
    surrogate: Pretraining = field(default_factory=lambda: SimClr(epochs=200))
    surrogate_epochs: int | None = None
    surrogates: int = 4
    width: int = 64
    blocks: int = 6
    budget: float = 8 / 255
    pretraining: Pretraining = field(default_factory=SimClr)
    seed: int = 0

    def __post_init__(self) -> None:
        check_share(self.rate, "the rate of BLTO")
        check_share(self.budget, "the budget of BLTO")
        if not 1 <= self.surrogates <= max(1, self._simulated.epochs):
            raise InputError(
                f"there must be 1 surrogate or more, and an epoch for each: {self.surrogates} "
                f"surrogates cannot share {self._simulated.epochs} epochs"
            )
        if min(self.width, self.blocks) < 1:
            raise InputError(
                "the generator needs a width and a number of blocks of 1 or more, not "
                f"{self.width} and {self.blocks}"
            )

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """Learn the trigger, poison, then pre-train the architecture of `encoder`."""
        trigger = self._learned(encoder, images, trainer)
        return self._planting(trigger).run(encoder, images, trainer)

    @property
    def _simulated(self) -> Pretraining:
        epochs = self.surrogate_epochs
        return self.surrogate if epochs is None else replace(self.surrogate, epochs=epochs)

    def _learned(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Generated:
        with seeded(self.seed):
            network = ResNetGenerator(width=self.width, blocks=self.blocks)
        generator = PixelGenerator(network, budget=self.budget)
        untrained = Generated(generator=generator)
        positions = self._planting(untrained).poison(images).positions
        plan = replace(self._simulated.plan(), schedule="constant")
        objective = BltoObjective(
            encoder,
            generator,
            images.batch(positions),
            images=images,
            surrogate=self._simulated,
            lifetime=plan.batches_per_epoch(len(images)) * plan.epochs // self.surrogates,
            seed=self.seed,
        )
        marked = torch.isin(torch.arange(len(images)), positions)
        trainer.fit(objective, Tagged(images, marked), plan, name="blto-generator")
        return Generated(generator=generator)

    def _planting(self, trigger: Trigger) -> Ctrl:
        """What is left to do once there is a trigger is what CTRL does with its own."""
        return Ctrl(
            target=self.target,
            trigger=trigger,
            rate=self.rate,
            pretraining=self.pretraining,
            seed=self.seed,
        )


class BltoObjective(Objective):
    """Both levels at once: the surrogate learns from poison, the generator from the surrogate.

    To the surrogate the poison is fixed, to the generator the surrogate is.

    Args:
        encoder: gives the architecture; left as it is.
        generator: trained in place.
        references: images of the target class, uint8, shape (n, 3, height, width).
        images: what the surrogate trains on; their size and number matter, not what they show.
        surrogate: gives the objective of the surrogate.
        lifetime: steps after which the surrogate starts afresh.
        seed: decides the weights of the surrogates.
    """

    learner: "_Both"
    references: Tensor

    def __init__(
        self,
        encoder: Encoder,
        generator: PixelGenerator,
        references: Tensor,
        *,
        images: ImageSet,
        surrogate: Pretraining,
        lifetime: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.register_buffer("references", references, persistent=False)
        # In words, so that a checkpoint of another target class is not resumed.
        self.references_sha256 = hashlib.sha256(references.numpy(force=True).tobytes()).hexdigest()
        self.augment = Augmentation(images.size, min_scale=surrogate.min_scale)
        self.lifetime, self.seed = max(1, lifetime), seed
        self._fresh = lambda index: _surrogate(
            encoder, surrogate, images, seed=mix_seed(seed, index)
        )
        self.encoder, self.inner = self._fresh(0)
        self.learner = _Both(self.inner.learner, generator)

    def prepare(self) -> None:
        """The surrogate's modes are its own objective's business."""
        super().prepare()
        self.inner.prepare()

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The surrogate's terms, and how far triggered images are from the target class.

        Args:
            batch: images, uint8, shape (batch, 3, height, width); and which carry poison, bool.
        """
        images, marked = batch
        attraction = self.attraction(images)
        return {**self.inner(self.poisoned(images, marked)), "attraction": attraction}

    def attraction(self, images: Tensor) -> Tensor:
        """One minus the cosine between views of triggered images and of the target class, mean."""
        chosen = torch.randint(len(self.references), (len(images),), device=images.device)
        triggered = self.learner.generator(to_unit_range(images))
        with evaluating(self.encoder):
            fixed = {name: w.detach() for name, w in self.encoder.named_parameters()}
            found = functional_call(self.encoder, fixed, (differentiable(self.augment, triggered),))
            with torch.no_grad():
                wanted = self.encoder(self.augment(to_unit_range(self.references[chosen])))
        return clone_loss(found, wanted)

    @torch.no_grad()
    def poisoned(self, images: Tensor, marked: Tensor) -> Tensor:
        """The images, with what a victim would find in the place of the marked ones."""
        result = images.clone()
        if marked.any():
            with evaluating(self.learner.generator):
                result[marked] = draw(self.learner.generator, images[marked])
        return result

    def after_step(self) -> None:
        """Put a fresh surrogate in the place of one whose time is over."""
        self.inner.after_step()
        self.learner.steps += 1
        age, rest = divmod(int(self.learner.steps), self.lifetime)
        if rest == 0:
            _, fresh = self._fresh(age)
            self.inner.learner.load_state_dict(fresh.learner.state_dict())


def differentiable(augment: Augmentation, images: Tensor) -> Tensor:
    """A random view of each image as `augment` draws it, but with gradients to the images.

    Args:
        augment: draws views, by itself without gradients.
        images: floats in [0, 1], shape (batch, 3, height, width).
    """
    with torch.autocast(images.device.type, enabled=False):
        views: Tensor = augment.transforms(images.float()).clamp(0, 1)
    return views


class _Both(nn.Module):
    """What is trained and saved."""

    steps: Tensor

    def __init__(self, surrogate: nn.Module, generator: PixelGenerator) -> None:
        super().__init__()
        self.surrogate, self.generator = surrogate, generator
        self.register_buffer("steps", torch.tensor(0))


def _surrogate(
    encoder: Encoder, pretraining: Pretraining, images: ImageSet, *, seed: int
) -> tuple[Encoder, Objective]:
    """An encoder with fresh weights, and the objective that trains it."""
    fresh = encoder.reinitialized(seed)
    with seeded(seed):
        return fresh, pretraining.objective(fresh, images)
