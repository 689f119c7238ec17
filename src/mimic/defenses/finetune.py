"""Fine-tuning: continue contrastive training of the suspicious encoder on the clean images.

With the clone loss between two different views as an anchor (equal views would have zero gradient
at the start), so that a few images do not pull the encoder away from what it knows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.defenses.plans import steady_adam
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.pretraining.simclr import SimClrObjective
from mimic.training import Trainer
from mimic.training.randomness import seeded


class FineTuneObjective(SimClrObjective, divisible=True, blockwise=True):
    """NT-Xent plus the clone loss between one view of the student and the other of the teacher."""

    def __init__(
        self, student: Encoder, teacher: Encoder, size: tuple[int, int], *, clone_weight: float
    ) -> None:
        super().__init__(student, size)
        self.teacher = teacher.requires_grad_(False)
        self.clone_weight = clone_weight

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student over both views."""
        images = to_unit_range(batch)
        views = self.augment(torch.cat([images, images]))
        features = self.encoder(views)
        with torch.no_grad():
            wanted = self.teacher(views.roll(len(images), 0))
        terms = self.contrast(features)
        return terms | {"clone": self.clone_weight * clone_loss(features, wanted)}


@dataclass(frozen=True, kw_only=True)
class FineTune(Defense):
    """Fine-tune all weights of the suspicious encoder without labels.

    Attributes:
        batch_size: images of a step; each contributes two views.
        learning_rate: of Adam.
        clone_weight: of the anchor to the suspicious encoder.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-4
    clone_weight: float = 1.0

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts as a copy of the suspect."""
        student = suspect.copy().requires_grad_(True)
        with seeded(self.seed):
            objective = FineTuneObjective(
                student, suspect, images.size, clone_weight=self.clone_weight
            )
        plan = steady_adam(self)
        history = trainer.fit(objective, images, plan, name="finetune")
        return Purification(encoder=student, history=history)
