"""MIMIC as published: contrastive, attention and clone losses between a teacher and a student.

Han et al., "Mutual Information Guided Backdoor Mitigation for Pre-trained Encoders", IEEE TIFS
2025, arXiv:2406.03508. Two readings: what the released code does (`published`: mutual information
is measured on the random student) and what the paper says (`described`: on the teacher). Kept for
comparison; the default of mimic is `mimic.defenses.mimic`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.defenses.plans import steady_adam
from mimic.encoders.encoder import Encoder
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.information.localize import localize
from mimic.information.published import published_localize
from mimic.losses.attention import attention_loss
from mimic.losses.clone import clone_loss
from mimic.pretraining.simclr import SimClrObjective
from mimic.seeds import seed_of
from mimic.training import Trainer
from mimic.training.randomness import seeded


def affine_weights(shares: Mapping[str, float]) -> dict[str, float]:
    """Weights of the released code, 1000 + 10000 * share; they sum to 14000 for four stages."""
    return {name: 1000 + 10000 * share for name, share in shares.items()}


class PublishedObjective(SimClrObjective, divisible=True, blockwise=True):
    """NT-Xent on both views; attention and clone losses on the first view.

    Args:
        student: what is trained, with a fresh projection head.
        teacher: frozen.
        size: height and width of the images, in pixels.
        weights: of the attention loss, by stage.
        clone_weight: of the clone loss.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        weights: Mapping[str, float],
        clone_weight: float,
    ) -> None:
        super().__init__(student, size)
        self.teacher = teacher.requires_grad_(False)
        self.weights = dict(weights)
        self.clone_weight = clone_weight

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student over both views; the teacher sees the first one."""
        images = to_unit_range(batch)
        views = self.augment(torch.cat([images, images]))
        first = slice(0, len(images))
        names = list(self.weights)
        features, maps = self.encoder.forward_stages(views, names)
        with torch.no_grad():
            wanted, wanted_maps = self.teacher.forward_stages(views[first], names)
        attention = sum(
            weight * attention_loss(maps[name][first], wanted_maps[name])
            for name, weight in self.weights.items()
        )
        return self.contrast(features) | {
            "attention": torch.as_tensor(attention),
            "clone": self.clone_weight * clone_loss(features[first], wanted),
        }


@dataclass(frozen=True, kw_only=True)
class PublishedMimic(Defense):
    """The published loss with weights from mutual information.

    Attributes:
        measured_on: whose stages the mutual information is measured on: the random "student"
            (released code) or the "teacher" (paper).
        information_epochs: of the critic, where the released procedure is followed.
        batch_size: images of a step; each contributes two views.
        learning_rate: of Adam, constant.
        clone_weight: of the clone loss.
    """

    epochs: int = 1000
    measured_on: Literal["student", "teacher"] = "student"
    information_epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    clone_weight: float = 1.0

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """Measure, weigh, distil."""
        student = suspect.reinitialized(seed_of("student", self.seed))
        if self.measured_on == "student":
            found = published_localize(
                student, images, epochs=self.information_epochs, seed=self.seed, trainer=trainer
            )
        else:
            found = localize(suspect, images, seed=self.seed, trainer=trainer)
        with seeded(self.seed):
            objective = PublishedObjective(
                student,
                suspect,
                images.size,
                weights=affine_weights(found.weights),
                clone_weight=self.clone_weight,
            )
        plan = steady_adam(self)
        history = trainer.fit(objective, images, plan, name="published")
        return Purification(encoder=student, history=history, localization=found)
