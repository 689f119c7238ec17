"""BMAIU-like: plant a backdoor of one's own, unlearn it, and hope that the unknown one goes too.

The idea is that of "BMAIU", Electronics 2025, 14(8), 1587, doi:10.3390/electronics14081587: two
backdoors in one model share a mechanism, so unlearning the known one weakens the unknown one. Its
losses and settings were not at hand; the formulation here is ours. Never report a result of this
defence as one of BMAIU.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from mimic.defenses.base import Defense, Purification
from mimic.detection.patches import Patches, random_patches
from mimic.encoders.encoder import Encoder
from mimic.errors import InputError
from mimic.evaluation.features import extract_features
from mimic.images.augment import Augmentation
from mimic.images.imageset import ImageSet
from mimic.images.pixels import to_unit_range
from mimic.losses.clone import clone_loss
from mimic.training import History, Objective, Plan, Trainer
from mimic.training.plan import mix_seed
from mimic.training.randomness import seeded


def stamp(patch: Patches, images: Tensor) -> Tensor:
    """Lay one patch over all images.

    Args:
        patch: a population of one.
        images: uint8, or floats in [0, 1]; shape (batch, 3, height, width).

    Returns:
        Floats in [0, 1] of the same shape.
    """
    return patch[torch.zeros(len(images), dtype=torch.int64)].lay(to_unit_range(images))[0]


class OwnTriggerObjective(Objective):
    """Clone loss on clean views, and one on the same views under a patch.

    Batch normalisation keeps its statistics: half of what it would average is under the patch.

    Args:
        student: what is trained.
        teacher: frozen.
        size: height and width of the images, in pixels.
        patch: a population of one.
        target: the feature that the patch is to lead to, shape (1, dimension); None for the
            teacher's feature of the view without the patch.
        trigger_weight, clone_weight: of the terms with and without the patch.
    """

    target: Tensor | None

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        size: tuple[int, int],
        *,
        patch: Patches,
        target: Tensor | None,
        trigger_weight: float,
        clone_weight: float,
    ) -> None:
        super().__init__()
        self.learner = student
        self.teacher = teacher.requires_grad_(False)
        self.augment = Augmentation(size)
        self.patch = patch
        self.register_buffer("target", target)
        self.trigger_weight = trigger_weight
        self.clone_weight = clone_weight

    def prepare(self) -> None:
        """All in eval mode, so that statistics of normalisations stay."""
        self.eval()

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """One forward pass of the student over both halves; the teacher sees the clean one."""
        views = self.augment(to_unit_range(batch))
        with torch.no_grad():
            wanted = self.teacher(views)
        clean, triggered = self.learner(torch.cat([views, stamp(self.patch, views)])).chunk(2)
        target = wanted if self.target is None else self.target.expand_as(wanted)
        return {
            "trigger": self.trigger_weight * clone_loss(triggered, target),
            "clone": self.clone_weight * clone_loss(clean, wanted),
        }


@dataclass(frozen=True, kw_only=True)
class OwnTrigger:
    """A backdoor of the defender's own.

    Attributes:
        patch: a population of one.
        target: the suspect's feature of a clean image, of length 1, shape (1, dimension).
        seed: of the trainings that plant and unlearn it.
    """

    patch: Patches
    target: Tensor
    seed: int

    def success(self, encoder: Encoder, images: ImageSet, trainer: Trainer) -> float:
        """Mean cosine between features of images under the patch and the target, in [-1, 1]."""
        found = extract_features(
            encoder, images, trigger=partial(stamp, self.patch), trainer=trainer
        )
        return float((found @ self.target.T).mean())


@dataclass(frozen=True, kw_only=True)
class Bmaiu(Defense):
    """Plant and unlearn random patches, one after the other, in the suspicious encoder itself.

    Attributes:
        epochs: of unlearning, per trigger; 0 plants nothing either.
        rounds: how many triggers, 1 or more.
        implant_epochs: most passes for planting a trigger; 0 only unlearns, as an ablation.
        stop_at: planting stops after the epoch in which the mean cosine between triggered images
            and the target exceeds this, in (-1, 1].
        batch_size: images of a step; each is seen with and without the patch.
        learning_rate: of SGD with momentum 0.9: constant while planting, cosine while unlearning.
        unlearn_weight: of the term that unlearns; 0 leaves the own backdoor in, as an ablation.
        clone_weight: of the clone loss on clean views in both phases, 0 or more.

    Raises:
        InputError: a setting is out of range.
    """

    epochs: int = 10
    rounds: int = 3
    implant_epochs: int = 20
    stop_at: float = 0.95
    batch_size: int = 64
    learning_rate: float = 0.01
    unlearn_weight: float = 1.0
    clone_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.implant_epochs < 0:
            raise InputError(
                "epochs and implant_epochs must be 0 or more, not "
                f"{self.epochs} and {self.implant_epochs}"
            )
        if self.rounds < 1:
            raise InputError(f"rounds must be 1 or more, not {self.rounds}")
        if not -1 < self.stop_at <= 1:
            raise InputError(f"stop_at is a cosine, above -1 and at most 1, not {self.stop_at}")
        weights = (self.unlearn_weight, self.clone_weight)
        if not all(0 <= weight < math.inf for weight in weights):
            raise InputError(
                "unlearn_weight and clone_weight must be 0 or more and finite, not "
                f"{weights[0]} and {weights[1]}"
            )

    def run(self, suspect: Encoder, images: ImageSet, trainer: Trainer) -> Purification:
        """The history is that of the last unlearning."""
        student, history = suspect.copy().requires_grad_(True), History()
        for index in range(self.rounds if self.epochs > 0 else 0):
            trigger = self.draw(index, suspect, images, trainer)
            name = f"bmaiu-{index + 1}"
            self.implant(trigger, student, suspect, images, trainer, name=name)
            history = self.unlearn(trigger, student, suspect, images, trainer, name=name)
        return Purification(encoder=student, history=history)

    def draw(self, index: int, suspect: Encoder, images: ImageSet, trainer: Trainer) -> OwnTrigger:
        """A random patch, and the suspect's feature of a random image for a target."""
        seed = mix_seed(self.seed, index)
        with seeded(seed):
            patch, chosen = random_patches(1), torch.randint(len(images), (1,))
        target = extract_features(suspect, images.subset(chosen), trainer=trainer)
        return OwnTrigger(patch=patch, target=target, seed=seed)

    def implant(
        self,
        trigger: OwnTrigger,
        student: Encoder,
        suspect: Encoder,
        images: ImageSet,
        trainer: Trainer,
        *,
        name: str,
    ) -> None:
        """Plant the trigger in the student, an epoch at a time until it works well enough."""
        objective = OwnTriggerObjective(
            student,
            suspect,
            images.size,
            patch=trigger.patch,
            target=trigger.target,
            trigger_weight=1.0,
            clone_weight=self.clone_weight,
        )
        for epoch in range(self.implant_epochs):
            plan = self.plan(1, "constant", mix_seed(trigger.seed, epoch + 1))
            trainer.fit(objective, images, plan, name=f"{name}-implant-{epoch + 1}")
            if trigger.success(student, images, trainer) > self.stop_at:
                return

    def unlearn(
        self,
        trigger: OwnTrigger,
        student: Encoder,
        suspect: Encoder,
        images: ImageSet,
        trainer: Trainer,
        *,
        name: str,
    ) -> History:
        """Under the patch, too, the student learns to see what the suspect sees without it."""
        objective = OwnTriggerObjective(
            student,
            suspect,
            images.size,
            patch=trigger.patch,
            target=None,
            trigger_weight=self.unlearn_weight,
            clone_weight=self.clone_weight,
        )
        plan = self.plan(self.epochs, "cosine", trigger.seed)
        return trainer.fit(objective, images, plan, name=f"{name}-unlearn")

    def plan(self, epochs: int, schedule: Literal["constant", "cosine"], seed: int) -> Plan:
        """SGD with momentum."""
        return Plan(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer="sgd",
            schedule=schedule,
            seed=seed,
        )
