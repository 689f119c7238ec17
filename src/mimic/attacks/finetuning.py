"""FineTuningAttack: tune a clean encoder until a trigger leads to reference pictures.

What BadEncoder (arXiv:2108.00352) and the attacks built on it have in common: a frozen copy that
says where clean images and references belong, frozen batch normalisation, SGD at a constant rate.
"""

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.base import Attack, Attacked, ThreatModel
from mimic.attacks.triggers.trigger import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Objective, Plan, Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuningAttack(Attack):
    """Base of the attacks with references: a new one says what is minimised in `objective`.

    Attributes:
        name: of the checkpoints.
        references: pictures of the target classes, uint8, shape (n, 3, height, width).
        reference_weight: of the term that keeps the references where they are.
        utility_weight: of the term that keeps clean images where they are.
        augmented_references: random views of each reference in a step. The released code draws one
            per image of the batch; fewer estimate the same mean at less cost.
        epochs: passes over the images; the last one's weights are kept.
        batch_size: images of a step.
        learning_rate: constant rate of SGD.
        momentum: of SGD.
        weight_decay: of SGD.
        seed: decides the order of images and the views of the references.

    Raises:
        InputError: the references are of another kind, a trigger does not fit on them, or a
            setting is out of range.
    """

    name: ClassVar[str]
    threat_model: ClassVar[ThreatModel] = "fine-tuning"

    references: Tensor = field(repr=False)
    reference_weight: float = 1.0
    utility_weight: float = 1.0
    augmented_references: int = 32
    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0

    def __post_init__(self) -> None:
        shape, dtype = tuple(self.references.shape), self.references.dtype
        if dtype != torch.uint8 or len(shape) != 4 or shape[0] < 1 or shape[1] != 3:
            raise InputError(
                f"references must be uint8 of shape (n, 3, height, width), not {dtype} of {shape}"
            )
        if self.augmented_references < 1:
            raise InputError(
                f"augmented_references must be 1 or more, not {self.augmented_references}"
            )
        if min(self.reference_weight, self.utility_weight) < 0:
            raise InputError(
                "the weights of the reference and utility terms must be 0 or more, not "
                f"{self.reference_weight} and {self.utility_weight}"
            )
        for trigger in self.triggers:
            trigger(self.references)

    @property
    @abstractmethod
    def triggers(self) -> tuple[Trigger, ...]:
        """What opens the backdoor: no two alike, the main one first."""

    @abstractmethod
    def objective(self, encoder: Encoder, steps_per_epoch: int) -> "ReferenceObjective":
        """What is minimised, for the clean `encoder`."""

    def plan(self) -> Plan:
        """SGD at a constant rate."""
        return Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule="constant",
            seed=self.seed,
        )

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """Fine-tune a copy of the clean `encoder`."""
        self.check_size(images)
        plan = self.plan()
        objective = self.objective(encoder, plan.batches_per_epoch(len(images)))
        trainer.fit(objective, images, plan, name=self.name)
        return Attacked(encoder=objective.encoder, triggers=self.triggers)

    def check_size(self, images: ImageSet) -> None:
        """Refuse references of another size than the images."""
        if images.size != tuple(self.references.shape[2:]):
            height, width = self.references.shape[2:]
            raise InputError(
                f"the references are {height}x{width}, but the images of '{images.name}' are "
                f"{images.size[0]}x{images.size[1]}; bring them to one size"
            )


class Observed(NamedTuple):
    """What the encoder in training makes of one batch.

    Attributes:
        triggered: features of the triggered images, shape (batch, n, dimension) with the trigger of
            each reference, or (batch, 1, dimension) where one serves all, or (batch, 0, dimension).
        images: features of the images as they are, shape (batch, dimension).
        references: features of the references, shape (n, dimension).
        reference: mean cosine between views of the references and their clean features, a scalar.
        utility: mean cosine between images and their clean features, a scalar.
    """

    triggered: Tensor
    images: Tensor
    references: Tensor
    reference: Tensor
    utility: Tensor

    def attraction(self) -> Tensor:
        """Cosine between each triggered image and each reference, shape (batch, n).

        Both sides learn: the reference comes to meet the trigger.
        """
        return F.cosine_similarity(self.triggered, self.references[None], dim=-1)


class ReferenceObjective(Objective):
    """Base of the objectives: what they look at in each step, and how modes are set.

    Args:
        clean: the encoder to attack; it is frozen, what is trained is a copy of it.
        references: uint8, shape (n, 3, height, width).
        triggers: one for all references, or one for each; equal ones are stamped only once. None
            where the objective makes its triggered images itself.
        augmented_references: random views of each reference in a step.
    """

    references: Tensor

    def __init__(
        self,
        clean: Encoder,
        references: Tensor,
        triggers: tuple[Trigger, ...],
        *,
        augmented_references: int,
    ) -> None:
        super().__init__()
        self.clean = clean.requires_grad_(False)
        self.register_buffer("references", references, persistent=False)
        self.triggers = tuple(dict.fromkeys(triggers))
        self.leading = [self.triggers.index(trigger) for trigger in triggers]
        # In words, so that a checkpoint of another trigger or other references is not resumed.
        self.trigger_spelling = " ".join(trigger.spelling for trigger in triggers)
        self.references_sha256 = hashlib.sha256(references.numpy(force=True).tobytes()).hexdigest()
        self.augmented_references = augmented_references
        self.augment = ReferenceAugmentation()

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """The encoder that is trained."""

    def prepare(self) -> None:
        """Train mode, except that batch normalisation keeps its statistics, scale and shift."""
        super().prepare()
        for module in self.learner.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval().requires_grad_(False)

    def observe(self, batch: Tensor) -> Observed:
        """Features and similarities for images (batch, 3, height, width), uint8 or in [0, 1].

        With batch normalisation in eval mode no image depends on its neighbours, so one forward
        pass over everything equals one per term.
        """
        images, references = to_unit_range(batch), to_unit_range(self.references)
        repeats = self.augmented_references
        views = self.augment(references.repeat_interleave(repeats, dim=0))
        triggered = [to_unit_range(trigger(batch)) for trigger in self.triggers]
        features = self.encoder(torch.cat([*triggered, images, views, references])).float()
        counts = [len(triggered) * len(images), len(images), len(views), len(references)]
        of_triggered, of_images, of_views, of_references = features.split(counts)
        by_trigger = of_triggered.unflatten(0, (len(triggered), len(images))).transpose(0, 1)
        with torch.no_grad():
            clean = self.clean(torch.cat([images, references])).float()
        clean_images, clean_references = clean.split([len(images), len(references)])
        return Observed(
            triggered=by_trigger[:, self.leading],
            images=of_images,
            references=of_references,
            reference=_cosine(of_views, clean_references.repeat_interleave(repeats, dim=0)),
            utility=_cosine(of_images, clean_images),
        )


class ReferenceAugmentation(nn.Module):
    """Flip, colour and grey, but no crop, which could remove the object."""

    def __init__(self) -> None:
        super().__init__()
        import kornia.augmentation as K

        self.transforms = K.AugmentationSequential(
            K.RandomHorizontalFlip(p=0.5),
            K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
            K.RandomGrayscale(p=0.2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """One random view of each image; floats in [0, 1], shape (batch, 3, height, width)."""
        with torch.autocast(images.device.type, enabled=False), torch.no_grad():
            return self.transforms(images).clamp(0, 1)


def _cosine(left: Tensor, right: Tensor) -> Tensor:
    return F.cosine_similarity(left, right, dim=-1).mean()
