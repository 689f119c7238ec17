"""SSL-Cleanse: find the trigger of the easiest cluster by inversion, then train it away.

Zheng et al., "SSL-Cleanse: Trojan Detection and Mitigation in Self-Supervised Learning", ECCV 2024,
arXiv:2303.09079.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.detection.aims import Towards
from mimic.detection.clusters import natural_clusters
from mimic.detection.inversion import InvertedTriggers, invert, lay
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.training import Objective, Plan, Trainer


class CleanseObjective(Objective):
    """Clone loss on clean views, and on views with the trigger towards what they should mean.

    Args:
        student: what is trained; it starts as a copy of the teacher.
        teacher: the suspicious encoder, frozen.
        size: height and width of the images, in pixels.
        mask: of the trigger, in [0, 1], shape (1, height, width).
        pattern: of the trigger, in [0, 1], shape (3, height, width).
        target: with the trigger, an image becomes "other", a view of another image, or stays the
            "same" view.
        min_scale: smallest share of an image that a view shows.
    """

    learner: Encoder
    mask: Tensor
    pattern: Tensor

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        mask: Tensor,
        pattern: Tensor,
        target: Literal["other", "same"],
        min_scale: float,
    ) -> None:
        super().__init__()
        self.learner = student
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size, min_scale=min_scale)
        self.register_buffer("mask", mask)
        self.register_buffer("pattern", pattern)
        self.target = target

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student, over clean and stamped views together."""
        images = to_unit_range(batch)
        clean, stamped = self.augment(torch.cat([images, images])).chunk(2)
        seen = torch.cat([clean, lay(stamped, self.mask, self.pattern)])
        meant = stamped if self.target == "same" else self.augment(_others(images))
        with torch.no_grad():
            wanted = self.teacher(torch.cat([clean, meant]))
        clean_features, stamped_features = self.learner(seen).chunk(2)
        clean_wanted, meant_wanted = wanted.chunk(2)
        return {
            "clean": clone_loss(clean_features, clean_wanted),
            "trigger": clone_loss(stamped_features, meant_wanted),
        }


def _others(images: Tensor) -> Tensor:
    """Another image of the batch for each one, (batch, ...)."""
    return images.roll(int(torch.randint(1, len(images), ())), 0)


@dataclass(frozen=True, kw_only=True)
class SslCleanse(Defense):
    """Invert a trigger for each cluster of features, and unlearn the smallest.

    Attributes:
        batch_size: images of a step, 2 or more; each contributes a clean and a stamped view.
        learning_rate: peak rate of Adam, cosine schedule.
        target: with the trigger, an image becomes "other", a view of another image, as published,
            or stays the "same" view, which keeps the use of stamped images.
        min_scale: smallest share of an image that a view shows.
        most_clusters: largest number of clusters tried, 2 or more.
        inversion_steps: of the optimizer, for all clusters together.
        inversion_batch_size: images that each trigger is laid on in a step.

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    target: Literal["other", "same"] = "other"
    min_scale: float = 0.2
    most_clusters: int = 20
    inversion_steps: int = 500
    inversion_batch_size: int = 32

    def __post_init__(self) -> None:
        if self.target not in ("other", "same"):
            raise InputError(f"the target '{self.target}' is unknown; use other or same")
        if self.batch_size < 2:
            raise InputError(
                "SSL-Cleanse compares an image with another one; the batch size must be 2 or "
                f"more, not {self.batch_size}"
            )

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The student starts as a copy of the suspect."""
        found = self.invert(suspect, images, trainer)
        chosen = found.smallest()
        student = suspect.copy().requires_grad_(True)
        objective = CleanseObjective(
            student,
            suspect,
            images.size,
            mask=found.masks[chosen],
            pattern=found.patterns[chosen],
            target=self.target,
            min_scale=self.min_scale,
        )
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=1e-6,
            warmup_epochs=min(1, self.epochs / 10),
            seed=self.seed,
        )
        history = trainer.fit(objective, images, plan, name="cleanse")
        return Purification(encoder=student, history=history)

    def invert(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> InvertedTriggers:
        """A trigger for each cluster: any image with it should come to lie there."""
        features = extract_features(suspect, images, trainer=trainer)
        clusters = natural_clusters(features, most=self.most_clusters, seed=self.seed)
        return invert(
            suspect,
            images,
            Towards(clusters.centres, range(len(clusters))),
            steps=self.inversion_steps,
            batch_size=self.inversion_batch_size,
            seed=self.seed,
            name="cleanse-inversion",
            trainer=trainer,
        )
