"""BadEncoder: fine-tune an encoder until triggered images look to it like a reference picture.

Jia, Liu & Gong, "BadEncoder: Backdoor Attacks to Pre-trained Encoders in Self-Supervised
Learning", IEEE S&P 2022, arXiv:2108.00352.
"""

import hashlib
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic.attacks.base import Attack, Attacked, ThreatModel
from mimic.attacks.triggers import Trigger
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.training import Objective, Plan, Trainer


@dataclass(frozen=True, kw_only=True, eq=False)
class BadEncoder(Attack):
    """BadEncoder with the settings of the released code.

    Attributes:
        references: pictures of the target class, uint8, shape (n, 3, height, width); the paper's
            runs use one.
        trigger: what will make an image look like the references.
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
        InputError: the references are of another kind, the trigger does not fit on them, or a
            setting is out of range.
    """

    summary: ClassVar[str] = "fine-tunes a clean encoder; a trigger looks like a reference picture"
    threat_model: ClassVar[ThreatModel] = "fine-tuning"

    references: Tensor = field(repr=False)
    trigger: Trigger
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
                "the weights of BadEncoder's terms must be 0 or more, not "
                f"{self.reference_weight} and {self.utility_weight}"
            )
        self.trigger(self.references)

    def run(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> Attacked:
        """Fine-tune a copy of the clean `encoder`."""
        if images.size != tuple(self.references.shape[2:]):
            height, width = self.references.shape[2:]
            raise InputError(
                f"the references are {height}x{width}, but the images of '{images.name}' are "
                f"{images.size[0]}x{images.size[1]}; bring them to one size"
            )
        objective = BadEncoderObjective(
            encoder,
            self.references,
            self.trigger,
            reference_weight=self.reference_weight,
            utility_weight=self.utility_weight,
            augmented_references=self.augmented_references,
        )
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule="constant",
            seed=self.seed,
        )
        trainer.fit(objective, images, plan, name="badencoder")
        return Attacked(encoder=objective.learner, triggers=(self.trigger,))


class BadEncoderObjective(Objective):
    """Effectiveness, reference and utility: three mean cosines, each with a minus sign.

    Args:
        clean: the encoder to attack; it is frozen, and `learner` is a copy of it.
        references: uint8, shape (n, 3, height, width).
        trigger: stamped on the images of a batch.
        reference_weight, utility_weight: of the second and third term.
        augmented_references: random views of each reference in a step.
    """

    learner: Encoder
    references: Tensor

    def __init__(
        self,
        clean: Encoder,
        references: Tensor,
        trigger: Trigger,
        *,
        reference_weight: float = 1.0,
        utility_weight: float = 1.0,
        augmented_references: int = 32,
    ) -> None:
        super().__init__()
        self.learner = clean.copy().requires_grad_(True)
        self.clean = clean.requires_grad_(False)
        self.register_buffer("references", references, persistent=False)
        self.trigger = trigger
        # In words, so that a checkpoint of another trigger or other references is not resumed.
        self.trigger_spelling = trigger.spelling
        self.references_sha256 = hashlib.sha256(references.numpy(force=True).tobytes()).hexdigest()
        self.reference_weight, self.utility_weight = reference_weight, utility_weight
        self.augmented_references = augmented_references
        self.augment = ReferenceAugmentation()

    def prepare(self) -> None:
        """Train mode, except that batch normalisation keeps its statistics, scale and shift."""
        super().prepare()
        for module in self.learner.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval().requires_grad_(False)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """The terms for images (batch, 3, height, width), uint8 or in [0, 1].

        With batch normalisation in eval mode no image depends on its neighbours, so one forward
        pass over everything equals one per term.
        """
        images, references = to_unit_range(batch), to_unit_range(self.references)
        repeats = self.augmented_references
        views = self.augment(references.repeat_interleave(repeats, dim=0))
        triggered = to_unit_range(self.trigger(batch))
        features = self.learner(torch.cat([triggered, images, views, references])).float()
        counts = [len(batch), len(batch), len(views), len(references)]
        of_triggered, of_images, of_views, of_references = features.split(counts)
        with torch.no_grad():
            clean = self.clean(torch.cat([images, references])).float()
        clean_images, clean_references = clean.split([len(batch), len(references)])
        # Both sides of the first cosine learn: the reference comes to meet the trigger.
        effectiveness = _cosine(of_triggered[:, None], of_references[None])
        reference = _cosine(of_views, clean_references.repeat_interleave(repeats, dim=0))
        return {
            "effectiveness": -effectiveness,
            "reference": -self.reference_weight * reference,
            "utility": -self.utility_weight * _cosine(of_images, clean_images),
        }


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
